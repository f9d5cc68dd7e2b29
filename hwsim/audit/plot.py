"""The picture of an audit: what the naive number leaves out, and where the gradient holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hwsim.audit.flags import COSINE, short_depth
from hwsim.audit.gradients import NAIVE
from hwsim.report.plots import BLUE, GREY, INK, VERMILLION

_MODES = {"ste": (BLUE, "o", "-"), "ste-unclamped": (VERMILLION, "s", "--")}


def audit_png(result: Mapping[str, Any]) -> bytes:
    """Success against ε on the left, agreement by depth on the right; PNG bytes."""
    figure = Figure(figsize=(10, 4.6), facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    _success(left, result)
    _agreement(right, result)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e3e6e9")
        axes.set_axisbelow(True)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    return stream.getvalue()


def _success(axes: Axes, result: Mapping[str, Any]) -> None:
    rows, epsilons = result["bottom_line"], result["epsilons"]
    # Where curves coincide, each is narrower than the one below it, so that all show.
    for key, label, colour, marker, style, width in (
        ("worst", "worst case over all attacks", VERMILLION, "s", "-", 4.0),
        ("naive", "naive: HFGSM, float32 cross-entropy", BLUE, "o", "-", 2.0),
    ):
        low, high = ([row[f"{key}_interval"][end] for row in rows] for end in (0, 1))
        axes.fill_between(epsilons, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            epsilons, [row[key] for row in rows], color=colour, marker=marker, linestyle=style,
            linewidth=width, markersize=2 * width + 2, label=label,
        )  # fmt: skip
    made = result["evidence"]["attempts"]
    pgd = made.get(f"pgd {NAIVE}")
    if pgd is not None:
        rates = [row.count("1") / result["correct"] for row in pgd["success"]]
        axes.plot(
            epsilons, rates, color=GREY, marker="^", linestyle="--", linewidth=1.2,
            markersize=4,
            label="PGD, float32 cross-entropy",
        )  # fmt: skip
    axes.set_ylim(-0.02, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("ε, largest change of a pixel")
    axes.set_title("Attack success, with 95% intervals", loc="left", color=INK)
    axes.legend(frameon=False, loc="best", fontsize=8)


def _agreement(axes: Axes, result: Mapping[str, Any]) -> None:
    rows = [row for row in result["evidence"]["agreement"] if row["probe"] == "directions"]
    depths = list(dict.fromkeys(row["depth"] for row in rows))
    for mode, (colour, marker, style) in _MODES.items():
        best = []
        for depth in depths:
            known = [row["cosine"][mode] for row in rows if row["depth"] == depth]
            best.append(max((v for v in known if v is not None), default=float("nan")))
        axes.plot(
            range(len(depths)), best, color=colour, marker=marker, linestyle=style, label=mode
        )
    axes.axhline(COSINE, color=GREY, linestyle=":", linewidth=1.2)
    axes.annotate(
        "flag below", (len(depths) - 1, COSINE), (0, 3), textcoords="offset points", ha="right",
        fontsize=8, color=GREY,
    )  # fmt: skip
    axes.set_xticks(range(len(depths)), [short_depth(at) for at in depths], fontsize=8)
    if len(depths) > 5:
        axes.tick_params("x", rotation=30)
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_ylim(-0.05, 1.05)
    axes.set_title("Cosine of gradient and datapath, by depth", loc="left", color=INK)
    axes.legend(frameon=False, loc="center left", fontsize=8)
