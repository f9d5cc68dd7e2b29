"""The pictures of a run: success against epsilon, and a strip of attacked images.

Figures are built without pyplot, so nothing opens a window and nothing is global. Colours are
from the Okabe-Ito palette, which colour-blind readers can tell apart, and no curve is marked by
colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, PercentFormatter
from numpy.typing import NDArray

from hwsim.report import budgets
from hwsim.report.schema import PAIRS
from hwsim.report.words import pair_label

BLUE, VERMILLION, INK, GREY = "#0072B2", "#D55E00", "#1b1f24", "#68717a"
_SIGNED = LinearSegmentedColormap.from_list("signed", [BLUE, "#f7f7f7", VERMILLION])
_DPI = 150
#: The strip of images: its sides in inches, and what its rows take of the height.
STRIP = (10.0, 5.0)
_ROWS = (1.42, 1.12, 1.62)

#: Colour says who judges; filled and solid means crafted on the judge itself. Where curves
#: coincide, as they do at 8 bits, each is narrower than the one below it, so that all four show.
_STYLES: dict[str, dict[str, Any]] = {
    "float_float": dict(
        color="#7fb8d8", linewidth=5.0, linestyle="-", marker="o", markersize=12,
        markerfacecolor="#7fb8d8", markeredgecolor=BLUE,
    ),
    "engine_engine": dict(
        color=VERMILLION, linewidth=2.2, linestyle="-", marker="s", markersize=6,
        markerfacecolor=VERMILLION, markeredgecolor="white", markeredgewidth=0.7,
    ),
    "float_engine": dict(
        color="#8a3c00", linewidth=1.3, linestyle=(0, (5, 3)), marker="^", markersize=9,
        markerfacecolor="none", markeredgewidth=1.2,
    ),
    "engine_float": dict(
        color="#003f66", linewidth=1.3, linestyle=(0, (1, 1.6)), marker="D", markersize=8,
        markerfacecolor="none", markeredgewidth=1.2,
    ),
}  # fmt: skip
_BANDS = {"float": BLUE, "engine": VERMILLION}
#: The adaptive counterpart, crafted on its judge: one look for both, they hardly ever part.
_ADAPTIVE: dict[str, Any] = dict(
    color=INK, linewidth=1.0, linestyle=(0, (3, 1, 1, 1)), marker="x", markersize=7,
    markeredgewidth=1.3,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Examples:
    """A few attacked images with what both machines answer.

    originals, adversarials: (n, C, H, W) floats in [0, 1]; one channel is drawn grey, three as
    RGB, any other number as its mean. labels and the four predictions: (n,) class indices,
    before = on the original, after = on the adversarial. class_names: indexed by class.
    budget: what the attack could spend, ``ε = 0.1``. crafted_on: ``float`` or ``engine``.
    """

    originals: NDArray[np.floating]
    adversarials: NDArray[np.floating]
    labels: NDArray[np.integer]
    float_before: NDArray[np.integer]
    float_after: NDArray[np.integer]
    engine_before: NDArray[np.integer]
    engine_after: NDArray[np.integer]
    class_names: Sequence[str]
    budget: str
    crafted_on: str = "engine"

    #: A strip wider than this is illegible.
    LIMIT = 8

    def __len__(self) -> int:
        return min(self.LIMIT, len(self.labels))

    def name(self, index: int) -> str:
        """The class's name, shortened so that it fits under an image."""
        name = str(self.class_names[index]) if index < len(self.class_names) else str(index)
        return name if len(name) <= 11 else name[:10] + "…"


def success_png(result: Mapping[str, Any], only: str | None = None) -> bytes:
    """The success picture as PNG bytes; ``only`` success or success_escalated: that panel alone."""
    panels = _panels(result, only)
    figure = Figure(figsize=(10, 4.8) if len(panels) > 1 else (6.4, 4.8), facecolor="white")
    _draw_success(figure, result, panels)
    return png(figure)


def examples_png(images: Examples) -> bytes:
    """The strip of attacked images as PNG bytes."""
    figure = Figure(figsize=STRIP, facecolor="white")
    _draw_examples(figure, images)
    return png(figure)


def combined_png(result: Mapping[str, Any], images: Examples | None) -> bytes:
    """Success above, strip below; without images the success picture alone."""
    if images is None or len(images) == 0:
        return success_png(result)
    above = 4.8
    figure = Figure(figsize=(STRIP[0], above + STRIP[1]), facecolor="white")
    halves = figure.add_gridspec(2, 1, height_ratios=[above, STRIP[1]])
    _draw_success(figure.add_subfigure(halves[0]), result, _panels(result))
    _draw_examples(figure.add_subfigure(halves[1]), images)
    return png(figure)


def png(figure: Figure) -> bytes:
    """The picture as PNG bytes; the same numbers give the same bytes."""
    buffer = io.BytesIO()
    # Without the version tag the same numbers give the same bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class _Panel:
    """One pair of axes: which numbers, and what they are called and counted on."""

    values: str
    intervals: str
    heading: str
    counted: str


def _panels(result: Mapping[str, Any], only: str | None = None) -> list[_Panel]:
    denominator, norm = result["denominator"], budgets.norm(result)
    panels = [
        _Panel(
            "success",
            "interval",
            f"One fixed {'ε' if norm == 'linf' else 'budget'}",
            f"of the images that the judge gets right: float {denominator['float']:,}, "
            f"engine {denominator['fixed']:,}",
        ),
        _Panel(
            "success_escalated",
            "interval_escalated",
            f"{'ε' if norm == 'linf' else 'Budget'} raised until the answer flips",
            f"Algorithm 1: cumulative, of all {result['samples']:,} images",
        ),
    ]
    return [panel for panel in panels if only is None or panel.values == only]


def _draw_success(
    figure: Figure | SubFigure, result: Mapping[str, Any], panels: list[_Panel]
) -> None:
    wide = len(panels) > 1
    model = str(result["model"])
    if len(model) > 30:  # a path: its end tells most
        model = "…" + model[-29:]
    title = (
        f"{str(result['attack']).upper()} on {model}: float network and {result['bits']}-bit engine"
    )
    _heading(figure, title, 13 if wide else 10.5)
    left = 0.075 if wide else 0.115
    grid = figure.add_gridspec(
        1, len(panels), left=left, right=0.98, top=0.80, bottom=0.285 if wide else 0.34, wspace=0.1
    )
    for column, panel in enumerate(panels):
        axes = figure.add_subplot(grid[column])
        _draw_panel(axes, result, panel)
        axes.set_title(panel.heading, fontsize=11, color=INK, loc="left", pad=21)
        axes.text(0, 1.045, panel.counted, transform=axes.transAxes, fontsize=8.5, color=GREY)
        if column:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("attack success")
    _centred(
        figure, 0.135 if wide else 0.195, _axis(result), 9.5 if wide else 8.5, INK,
    )  # fmt: skip
    handles = [Line2D([], [], label=pair_label(pair), **_STYLES[pair]) for pair in PAIRS]
    if result.get("adaptive") and any(panel.values == "success" for panel in panels):
        handles.append(Line2D([], [], label="margin loss", **_ADAPTIVE))
    figure.legend(
        handles=handles, ncols=5 if wide else 3, loc="lower center",
        bbox_to_anchor=(0.53, 0.045), frameon=False, fontsize=10, handlelength=3.6,
        columnspacing=2.2 if wide else 1.6,
    )  # fmt: skip
    # Only where some panel has intervals.
    shaded = any(result.get(panel.intervals) for panel in panels)
    mark = "Bars" if len(result["epsilons"]) == 1 else "Shaded"
    note = f"   {mark}: 95% interval." if shaded else ""
    _centred(figure, 0.02, f"crafted on → judged by.{note}", 9, GREY)


def _heading(figure: Figure | SubFigure, text: str, size: float) -> None:
    figure.suptitle(text, x=0.5, y=0.975, fontsize=size, fontweight="bold", color=INK)


def _centred(figure: Figure | SubFigure, y: float, text: str, size: float, color: str) -> None:
    figure.text(0.53, y, text, ha="center", fontsize=size, color=color)


def _draw_panel(axes: Axes, result: Mapping[str, Any], panel: _Panel) -> None:
    eps = _places(result)
    order = np.argsort(eps)
    # A single epsilon has no curve: its four points stand side by side instead of on each other.
    alone = len(eps) == 1
    for position, (pair, (_, judge)) in enumerate(PAIRS.items()):
        x = eps[order] + (0.008 * (position - 1.5) if alone else 0.0)
        y = _floats(result[panel.values][pair])[order]
        given = (result.get(panel.intervals) or {}).get(pair)
        if given is not None:
            low, high = np.array([_floats(span or (None, None)) for span in given])[order].T
            if alone:
                # Rounding may put an edge of the interval on the wrong side of 0% or 100%.
                reach = np.maximum([y - low, high - y], 0.0)
                axes.errorbar(
                    x, y, reach, fmt="none", ecolor=INK, elinewidth=1.2, capsize=7, zorder=9
                )
            else:
                axes.fill_between(x, low, high, alpha=0.12, linewidth=0, color=_BANDS[judge])
        axes.plot(x, y, zorder=3 + position, clip_on=False, **_STYLES[pair])
    if result.get("adaptive") and panel.values == "success":
        for pair, shares in result["adaptive"]["success"].items():
            shift = 0.008 * (2.5 + (pair == "engine_engine")) if alone else 0.0
            axes.plot(eps[order] + shift, _floats(shares)[order], zorder=8, **_ADAPTIVE)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    span = float(np.ptp(eps))
    margin = 0.05 * span if span else 0.03
    axes.set_xlim(eps.min() - margin, eps.max() + margin)
    _label_epsilons(axes, result, eps, order)
    axes.grid(True, color="#d9dde1", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _label_epsilons(
    axes: Axes, result: Mapping[str, Any], eps: NDArray[np.float64], order: NDArray[np.intp]
) -> None:
    """Ticks where something was measured, but only where the label before leaves room."""
    room = max(0.075 * float(np.ptp(eps)), 1e-9)
    places: list[float] = []
    labels: list[str] = []
    for i in order:
        if not places or eps[i] - places[-1] >= room:
            places.append(float(eps[i]))
            below = budgets.detail(result, int(i)).split("/")[0]
            labels.append(f"{budgets.label(result, int(i))}\n{below}")
    axes.set_xticks(places, labels, linespacing=1.35)


def _places(result: Mapping[str, Any]) -> NDArray[np.float64]:
    """Where each budget stands on the axis; no bound stands a little beyond the largest one."""
    count = len(result["epsilons"])
    eps = np.array(
        [np.inf if budgets.unbounded(result, i) else result["effective_epsilons"][i]
         for i in range(count)]
    )  # fmt: skip
    finite = eps[np.isfinite(eps)]
    beyond = finite.max() + 0.15 * max(float(np.ptp(finite)), finite.max()) if len(finite) else 0.0
    return np.where(np.isfinite(eps), eps, beyond)


def _axis(result: Mapping[str, Any]) -> str:
    """What the budget is, and what stands below its ticks."""
    norm = budgets.norm(result)
    if norm == "linf":
        return f"{budgets.axis(result)}; below it in whole steps of {budgets.step(result)}"
    if norm == "l0" and result.get("values"):
        return f"{budgets.axis(result)}; below it as a share of all {result['values']:,}"
    return budgets.axis(result)


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _draw_examples(figure: Figure | SubFigure, images: Examples) -> None:
    count = len(images)
    originals = _channels_last(images.originals[:count])
    adversarials = _channels_last(images.adversarials[:count])
    shift = adversarials - originals
    # Full colour is the largest change in the strip: an amplified view, and it says how much.
    full = max(float(np.abs(shift).max(initial=0.0)), 1e-9)
    magnified = f"{1 / full:.0f}" if full <= 0.1 else f"{1 / full:.2g}"
    _heading(
        figure,
        f"Before and after the attack, crafted on the {images.crafted_on} at {images.budget}",
        11.5,
    )
    # One pair of axes for all images, in inches: a pair for each takes longer than all the rest.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    rows = {
        "original": originals,
        f"perturbation\n(magnified {magnified}×)": shift,
        "adversarial": adversarials,
    }
    for row, (label, pictures) in enumerate(rows.items()):
        for column in range(count):
            box = _Box.of(row, column, count, pictures.shape[1], pictures.shape[2])
            _draw_image(axes, pictures[column], box, full if row == 1 else None)
            if column == 0:
                _left(axes, box, 0.5, label, 9.5)
            if row == 0:
                name = images.name(int(images.labels[column]))
                axes.annotate(
                    name, box.at(0.5, 1), (0, 4), textcoords="offset points", ha="center",
                    fontsize=9.5, color=INK,
                )  # fmt: skip
                if column == 0:
                    _left(axes, box, 1.11, "label", 9)
                _predictions(axes, box, images, column, images.float_before, images.engine_before)
            elif row == 2:
                _predictions(axes, box, images, column, images.float_after, images.engine_after)
    axes.set(xlim=(0, STRIP[0]), ylim=(0, STRIP[1]), aspect="auto")
    _centred(
        figure, 0.018, "× marks a wrong answer.   Perturbation: "
        + ("blue is darker, white unchanged, orange brighter." if shift.shape[-1] == 1
           else "grey is unchanged; each colour channel is shown with its sign."),
        9, GREY,
    )  # fmt: skip


@dataclass(frozen=True)
class _Box:
    """Where an image of the strip stands, in inches from its lower left corner."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, row: int, column: int, count: int, rows: int, columns: int) -> _Box:
        """At the top of its place, for an image of so many rows and columns of pixels.

        Places are as wide as in a full strip, so that a few images do not grow into giants.
        """
        wide, high = STRIP
        place = 0.86 * wide / Examples.LIMIT
        left = 0.13 * wide + place * (Examples.LIMIT - count) / 2
        width = place * count / (count + 0.1 * (count - 1))
        share = 0.86 * high / sum(_ROWS)
        scale = min(width / columns, share * _ROWS[row] / rows)
        size = scale * columns, scale * rows
        x = left + 1.1 * width * column + (width - size[0]) / 2
        return cls(x, share * sum(_ROWS[row:]) - size[1], *size)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place by shares of its sides."""
        return self.x + x * self.width, self.y + y * self.height


def _left(axes: Axes, box: _Box, y: float, text: str, size: float) -> None:
    axes.text(*box.at(-0.13, y), text, ha="right", va="center", fontsize=size, color=INK)


def _channels_last(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, C, H, W) -> (n, H, W, 3) or (n, H, W, 1)."""
    array = np.asarray(images, dtype=np.float64)
    if array.shape[1] not in (1, 3):
        array = array.mean(axis=1, keepdims=True)
    return array.transpose(0, 2, 3, 1)


def _draw_image(axes: Axes, image: NDArray[np.float64], box: _Box, full: float | None) -> None:
    """An image in [0, 1], or, with ``full``, a signed difference in −full … full."""
    mono = image.shape[-1] == 1
    look: dict[str, Any] = {}
    if full is None:
        look = dict(cmap="gray", vmin=0, vmax=1)
        image = np.clip(image[..., 0] if mono else image, 0, 1)
    elif mono:
        look = dict(cmap=_SIGNED, vmin=-full, vmax=full)
        image = image[..., 0]
    else:
        image = np.clip(0.5 + image / (2 * full), 0, 1)
    left, low = box.at(0, 0)
    right, high = box.at(1, 1)
    axes.imshow(image, extent=(left, right, low, high), aspect="auto", **look)
    axes.add_patch(
        Rectangle(
            (left, low), box.width, box.height, fill=False, edgecolor="#b8bec4", linewidth=0.6
        )
    )


def _predictions(
    axes: Axes,
    box: _Box,
    images: Examples,
    column: int,
    by_float: NDArray[np.integer],
    by_engine: NDArray[np.integer],
) -> None:
    """Two lines under an image, each in bold with a cross where the answer is wrong."""
    answers = {"float says": by_float[column], "engine says": by_engine[column]}
    for line, (who, answer) in enumerate(answers.items()):
        y = -0.11 - 0.155 * line
        if column == 0:
            _left(axes, box, y, who, 9)
        wrong = int(answer) != int(images.labels[column])
        axes.text(
            *box.at(0.5, y), images.name(int(answer)) + (" ×" if wrong else ""),
            ha="center", va="center", fontsize=9, color="#a83f00" if wrong else INK,
            fontweight="bold" if wrong else "normal",
        )  # fmt: skip
