"""How the studies' pictures look: one colour a line of the study, a panel a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

#: Okabe and Ito's palette, dark enough on white, and a marker each: never colour alone.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7a5f00", "#56B4E9", "#1b1f24")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GREY, LINE = "#1b1f24", "#68717a", "#d9dee3"


def styles(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each label, in order."""
    looks = cycle(zip(COLORS, MARKERS, strict=True))
    return {
        label: {"color": color, "marker": marker}
        for label, (color, marker) in zip(labels, looks, strict=False)
    }


def panels(figure: Figure, names: Sequence[str]) -> list[Axes]:
    """Axes side by side with one scale, titled ``names``."""
    figure.set_facecolor("white")
    found = list(figure.subplots(1, len(names), squeeze=False, sharey=True)[0])
    for axes, name in zip(found, names, strict=True):
        plain(axes)
        axes.set_title(name, fontsize=10, loc="left", fontweight="bold")
    return found


def plain(axes: Axes) -> Axes:
    """Only the spines and grid lines that help."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=GREY)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def percents(axes: Axes, low: float = -0.03, high: float = 1.03) -> None:
    """The y axis in percent."""
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None if low < 0.5 else 2))


def legend(figure: Figure, axes: Axes, extra: Sequence[Line2D] = ()) -> None:
    """One legend for all panels, below them."""
    handles, _ = axes.get_legend_handles_labels()
    every = [*handles, *extra]
    figure.legend(
        handles=every, loc="lower center", ncols=min(5, len(every)), fontsize=8, frameon=False
    )


def stroke(label: str, **style: Any) -> Line2D:
    """A legend entry that stands for a way of drawing."""
    return Line2D([], [], label=label, **({"color": GREY} | style))


NAIVE = stroke("as in the paper", linestyle="-")
ADAPTIVE = stroke("adaptive attack", linestyle="--", linewidth=1.2)
PAPER = stroke("the paper's number", linestyle="", marker="*", markersize=10)


def curves(
    figure: Figure,
    machines: Sequence[str],
    labels: Sequence[str],
    x: Sequence[float],
    naive: Callable[[str, str], Sequence[float]],
    adaptive: Callable[[str, str], Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    paper: Mapping[str, Sequence[tuple[float, float]]] = {},
) -> None:
    """Success against x for each label: solid as in the paper, dashed adaptive, stars published.

    naive, adaptive: (label, machine) -> shares, one for each x. paper: label -> points (x, share).
    """
    looks = styles(labels)
    for axes, machine in zip(panels(figure, machines), machines, strict=True):
        for label in labels:
            look = looks[label]
            axes.plot(x, naive(label, machine), linewidth=1.8, markersize=5, label=label, **look)
            axes.plot(
                x, adaptive(label, machine), "--", linewidth=1.2, color=look["color"],
                marker=look["marker"], markersize=3.5, markerfacecolor="white",
            )  # fmt: skip
            for at, share in paper.get(label, ()):
                axes.plot(at, share, "*", markersize=13, color=look["color"], zorder=5,
                          markeredgecolor="white", clip_on=False)  # fmt: skip
        axes.set_xlabel(xlabel, fontsize=9)
        axes.set_xticks(x)
        percents(axes)
    first = figure.axes[0]
    first.set_ylabel(ylabel, fontsize=9)
    legend(figure, first, [NAIVE, ADAPTIVE, *([PAPER] if paper else [])])
    figure.tight_layout(rect=(0, 0.13, 1, 1))
