"""The picture of ``hwsim leak``: time by class, and the leak against what padding costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from hwsim.report.plots import BLUE, GREY, INK, VERMILLION, png

#: (scope, observer) -> words and look; none is told from another by colour alone, and where they
#: coincide each is narrower than the one below it.
_CURVES: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("layers", "layers"): (
        "layers padded, layers seen",
        dict(color="#f0b183", marker="s", linestyle="-", linewidth=5.0, markersize=10),
    ),
    ("layers", "total"): (
        "layers padded, total seen",
        dict(color=BLUE, marker="o", linestyle="-", linewidth=2.4, markersize=6),
    ),
    ("total", "total"): (
        "total padded, total seen",
        dict(color=INK, marker="D", linestyle=(0, (4, 3)), linewidth=1.1, markersize=4,
             markerfacecolor="white", markeredgewidth=0.9),
    ),
}  # fmt: skip


def picture(result: Mapping[str, Any]) -> bytes:
    """PNG: the spread of every class's cycles; with a curve, information and accuracy by cost."""
    curve = result["curve"]
    figure = Figure(figsize=(14.0 if curve else 5.6, 4.8), facecolor="white")
    axes = figure.subplots(1, 3 if curve else 1, squeeze=False)[0]
    _classes(axes[0], result)
    if curve:
        entropy = f"information, bits of {curve[0]['entropy']:.2f} about the class"
        _leak(axes[1], result, "information", entropy)
        _leak(axes[2], result, "accuracy", "class guessed right")
        axes[2].axhline(curve[0]["chance"], color=GREY, linewidth=0.9, linestyle=":")
        axes[2].annotate(
            f"chance, {curve[0]['chance']:.1%}", (0.01, curve[0]["chance"]), xytext=(0, -3),
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7.5,
            color=GREY, va="top",
        )  # fmt: skip
        axes[2].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes[2].set_ylim(bottom=0)
        axes[1].legend(fontsize=7.5, frameon=False, loc="upper right", bbox_to_anchor=(0.92, 1))
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
    """A value of the curve against its cost: even steps up to 1%, then those of a logarithm."""
    interval = "interval" if key == "accuracy" else f"{key}_interval"
    for (scope, observer), (words, look) in _CURVES.items():
        points = [
            one for one in result["curve"] if (one["scope"], one["observer"]) == (scope, observer)
        ]
        if not points:
            continue
        cost = [100 * (one["of_unpadded"] - 1) for one in points]
        axes.plot(cost, [one[key] for one in points], label=words, **look)
        _shade(axes, cost, [one[interval] for one in points], str(look["color"]))
        # Floors of the whole cost nearly what those of layers do: one name for both.
        if scope == "layers":
            for more, one in zip(cost, points, strict=True):
                axes.annotate(
                    one["pad"], (more, 0), xytext=(0, 3), fontsize=6.5, rotation=90, color=GREY,
                    xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
                )  # fmt: skip
    cycles = result["cycles"]
    unskipped = 100 * (cycles["unskipped"] / cycles["unpadded"] - 1)
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.6)
    axes.set_xlim(-0.15, 1.6 * max(unskipped, 1.0))
    axes.xaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100, 200, 500]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    axes.axvline(unskipped, color=INK, linewidth=0.9, linestyle=":")
    axes.annotate(
        "no skipping", (unskipped, 0.6), xytext=(-3, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", rotation=90, fontsize=7.5, color=INK, ha="right", va="center",
    )  # fmt: skip
    axes.set_xlabel("cycles more than unpadded", fontsize=9)
    axes.set_title(f"{what}; shaded: 95%", fontsize=9, loc="left", color=INK)
    low, high = axes.get_ylim()
    # Room for the names of the floors.
    axes.set_ylim(low - 0.14 * (high - low) if key != "accuracy" else 0, high)


def _shade(
    axes: Axes, x: Sequence[float], intervals: Sequence[Sequence[float]], color: str
) -> None:
    low, high = zip(*intervals, strict=True)
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
