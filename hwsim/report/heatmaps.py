"""The pictures of a class-pair study: heatmaps by source and target class, and two curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from hwsim.report.plots import BLUE, GREY, INK, VERMILLION, png

#: Key of a machine's table -> title, what is written into a cell, least range of the colours.
_MAPS = {
    "success_by_pair": ("Success at Υ = 14.5%", "%", (0.0, 1.0)),
    "distortion_by_pair": ("Distortion of successes", "%", None),
    "hardness": ("Hardness H(s, t)", "%", None),
    "distance": ("Adversarial distance A(s, t)", "", None),
}
_LINES = {
    "float": dict(color=BLUE, linestyle="-", marker="o"),
    "engine": dict(color=VERMILLION, linestyle="--", marker="s", markerfacecolor="none"),
}


def heatmaps_png(result: Mapping[str, Any], keys: Sequence[str] = tuple(_MAPS)) -> bytes:
    """Two rows, float and engine; columns success, distortion, hardness and distance, or ``keys``.

    A column shares its colours, so the machines compare. Cells of no number stay white.
    """
    machines = result["machines"]
    size = (4.25 * len(keys), 4.35 * len(machines) + 0.7)
    figure = Figure(figsize=size, facecolor="white")
    figure.suptitle(
        f"JSMA on {result['model']}: from each class to each other, F = {result['output']}, "
        f"θ = {result['theta']:g}",
        fontsize=14 if len(keys) > 2 else 10.5, fontweight="bold", color=INK,
    )  # fmt: skip
    axes = figure.subplots(len(machines), len(keys), squeeze=False)
    for column, key in enumerate(keys):
        title, unit, span = _MAPS[key]
        tables = [_floats(machine[key]) for machine in machines.values()]
        low, high = span or _span(tables)
        for row, (name, table) in enumerate(zip(machines, tables, strict=True)):
            place = axes[row][column]
            _heatmap(place, table, low, high, unit, list(result["classes"]))
            place.set_title(f"{title}, {name}", fontsize=11, color=INK)
            if column == 0:
                place.set_ylabel("source class", fontsize=10, color=INK)
            if row == len(machines) - 1:
                place.set_xlabel("target class", fontsize=10, color=INK)
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    return png(figure)


def curves_png(result: Mapping[str, Any]) -> bytes:
    """Success of JSMA by Υ, and of HJSMA by the number of changed elements, each machine a line."""
    figure = Figure(figsize=(10, 4.2), facecolor="white")
    left, right = figure.subplots(1, 2)
    for name, machine in result["machines"].items():
        style: dict[str, Any] = dict(_LINES[name], label=name, markersize=5)
        left.plot(100 * _floats(machine["levels"]), _floats(machine["success_by_level"]), **style)
        elements, share = _floats(machine["hjsma_elements"]), _floats(machine["hjsma_success"])
        right.plot(elements, share, markevery=4, **style)
    published = result["published"]
    left.plot(
        [100 * published["max_distortion"]], [published["success"]], linestyle="", marker="*",
        markersize=13, color=GREY, label="published, another network", zorder=5,
    )  # fmt: skip
    left.set_title("JSMA, targeted, all class pairs", fontsize=11, color=INK)
    left.set_xlabel("Υ: largest distortion, % of the values", color=INK)
    right.set_title("HJSMA, one gradient (Algorithm 1)", fontsize=11, color=INK)
    right.set_xlabel("i: changed elements", color=INK)
    for axes in (left, right):
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(True, color="#d9dde1", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9, colors=INK)
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    left.set_ylabel("success", color=INK)
    figure.tight_layout()
    return png(figure)


def _floats(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _span(tables: list[NDArray[np.float64]]) -> tuple[float, float]:
    known = np.concatenate([t[~np.isnan(t)] for t in tables])
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def _heatmap(
    axes: Axes, table: NDArray[np.float64], low: float, high: float, unit: str, names: list[str]
) -> None:
    axes.imshow(np.ma.masked_invalid(table), cmap="viridis", vmin=low, vmax=max(high, low + 1e-9))
    short = [name if len(name) <= 6 else name[:5] + "…" for name in names]
    axes.set_xticks(range(len(names)), short, fontsize=8, rotation=0 if len(max(short)) < 3 else 60)
    axes.set_yticks(range(len(names)), short, fontsize=8)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    middle = (low + high) / 2
    for (s, t), value in np.ndenumerate(table):
        if not np.isnan(value):
            digits = 100 * value if unit == "%" else value
            text = f"{digits:.0f}" if unit == "%" and high > 0.3 else f"{digits:.1f}"
            text = text if unit == "%" else f"{value:.2f}"[1:] if value < 1 else "1"
            color = INK if value > middle else "white"
            axes.text(t, s, text, ha="center", va="center", fontsize=8, color=color)
