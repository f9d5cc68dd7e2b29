"""The picture of ``hwsim leak``: time by class, and the leak against what padding costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from hwsim.report.plots import BLUE, GREY, INK, VERMILLION, png

#: (scope, observer) -> words and look; none is told from another by colour alone.
_CURVES: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("layers", "layers"): (
        "layers padded, layers seen", dict(color=VERMILLION, marker="s", linestyle="-"),
    ),
    ("layers", "total"): (
        "layers padded, total seen", dict(color=BLUE, marker="o", linestyle="-"),
    ),
    ("total", "total"): (
        "total padded, total seen",
        dict(color=BLUE, marker="D", linestyle="--", markerfacecolor="white"),
    ),
}  # fmt: skip


def picture(result: Mapping[str, Any]) -> bytes:
    """PNG: the spread of every class's cycles; with a curve, information and accuracy by cost."""
    curve = result["curve"]
    figure = Figure(figsize=(13.5 if curve else 5.6, 4.6), facecolor="white")
    axes = figure.subplots(1, 3 if curve else 1, squeeze=False)[0]
    _classes(axes[0], result)
    if curve:
        most = curve[0]["entropy"]
        _leak(axes[1], result, "information", "information about the class (bits)")
        axes[1].axhline(most, color=GREY, linewidth=0.9, linestyle=":")
        axes[1].annotate(
            f"entropy of the class, {most:.2f}", (0.99, most), xytext=(0, -3), fontsize=7.5,
            xycoords=("axes fraction", "data"), textcoords="offset points", color=GREY,
            ha="right", va="top",
        )  # fmt: skip
        axes[1].set_ylim(-0.04 * most, 1.06 * most)
        _leak(axes[2], result, "accuracy", "class guessed right")
        chance = curve[0]["chance"]
        axes[2].axhline(chance, color=GREY, linewidth=0.9, linestyle=":")
        axes[2].annotate(
            f"chance, {chance:.1%}", (0.99, chance), xytext=(0, -3), fontsize=7.5, color=GREY,
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="top",
        )  # fmt: skip
        axes[2].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes[2].set_ylim(bottom=0)
        axes[1].legend(fontsize=7.5, frameon=False, loc="center right")
    for one in axes:
        one.tick_params(labelsize=8)
        one.spines[["top", "right"]].set_visible(False)
        one.grid(True, color="#e3e6e9", linewidth=0.6)
        one.set_axisbelow(True)
    name = str(result["model"])
    name = name if len(name) <= 40 else "…" + name[-39:]
    figure.suptitle(
        f"Timing leak of {name} on {result['config']}, {result['bits']} bits",
        fontsize=12, fontweight="bold", color=INK,
    )  # fmt: skip
    figure.tight_layout()
    return png(figure)


def _classes(axes: Axes, result: Mapping[str, Any]) -> None:
    """Boxes from the quarter to three quarters of a class's images, whiskers from 5% to 95%."""
    keys = ("whislo", "q1", "med", "q3", "whishi")
    boxes = [
        {**dict(zip(keys, one["quantiles"], strict=True)), "label": str(one["class"])}
        for one in result["by_class"]
    ]
    axes.bxp(
        boxes, showfliers=False, patch_artist=True, widths=0.6,
        boxprops=dict(facecolor="#cfe3f1", edgecolor=BLUE, linewidth=0.9),
        medianprops=dict(color=VERMILLION, linewidth=1.6),
        whiskerprops=dict(color=BLUE, linewidth=0.9), capprops=dict(color=BLUE, linewidth=0.9),
    )  # fmt: skip
    if len(boxes) > 20:
        axes.set_xticks([])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("class", fontsize=9)
    axes.set_ylabel("cycles of an image", fontsize=9)
    axes.set_title("time by class: 5, 25, 50, 75, 95%", fontsize=9, loc="left", color=INK)


def _leak(axes: Axes, result: Mapping[str, Any], key: str, what: str) -> None:
    interval = "interval" if key == "accuracy" else f"{key}_interval"
    for (scope, observer), (words, look) in _CURVES.items():
        points = [
            one for one in result["curve"] if (one["scope"], one["observer"]) == (scope, observer)
        ]
        if not points:
            continue
        cost = [one["of_unskipped"] for one in points]
        axes.plot(
            cost, [one[key] for one in points], label=words, markersize=5, linewidth=1.4, **look
        )
        _shade(axes, cost, [one[interval] for one in points], str(look["color"]))
        if scope == observer:
            for one in points:
                # Others stand too near each other to be read.
                if one["pad"] in ("q0", "q90", "worst"):
                    axes.annotate(
                        one["pad"], (one["of_unskipped"], one[key]), xytext=(4, 5), fontsize=7,
                        textcoords="offset points", color=look["color"],
                    )  # fmt: skip
    axes.axvline(1.0, color=GREY, linewidth=0.9, linestyle=":")
    axes.annotate(
        "no skipping", (1.0, 0.99), xytext=(-3, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", rotation=90, fontsize=7.5, color=GREY, ha="right", va="top",
    )  # fmt: skip
    axes.set_xlabel("mean cycles ÷ those without skipping", fontsize=9)
    axes.set_title(f"{what}, shaded: 95%", fontsize=9, loc="left", color=INK)


def _shade(
    axes: Axes, x: Sequence[float], intervals: Sequence[Sequence[float]], color: str
) -> None:
    low, high = zip(*intervals, strict=True)
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
