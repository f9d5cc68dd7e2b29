"""What a transfer study leaves behind: result.json, result.png, report.html, and a screen.

Keys of a result: models (``<network> float`` and ``<network> engine``), networks, attacks, epsilons
and effective_epsilons, samples, correct {model: images}, success {attack: {crafted on: {judge:
counts, one per ε}}}, zero_gradient {attack: {crafted on: counts}}, backward {attack: {crafted on:
passes an image}}, dataset, config, bits, gradient, versions, command, seconds.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hwsim.files.output import write_together
from hwsim.report.budgets import steps
from hwsim.report.html import rendered
from hwsim.report.pages import FILES, prepare_run_directory
from hwsim.report.schema import to_json
from hwsim.report.words import percent

F64 = NDArray[np.float64]

#: Panels beside each other.
COLUMNS = 3


def rates(result: Mapping[str, Any], attack: str, position: int) -> F64:
    """(models, models) success at one ε, crafted on × judged by; NaN where nothing counts."""
    names = result["models"]
    total = np.array([result["correct"][name] for name in names], np.float64)
    counts = [
        [result["success"][attack][craft][judge][position] for judge in names] for craft in names
    ]
    return np.array(counts) / np.where(total > 0, total, np.nan)


def kinds(result: Mapping[str, Any]) -> dict[str, F64]:
    """Masks (models, models) of the three questions that a matrix answers."""
    names = result["models"]
    network = np.array([name.rsplit(" ", 1)[0] for name in names])
    same = network[:, None] == network
    own = np.eye(len(names), dtype=bool)
    return {
        "the model itself": own,
        "its twin (float ↔ engine)": same & ~own,
        "another network": ~same,
    }


def summary(result: Mapping[str, Any], position: int) -> list[tuple[str, list[float], float]]:
    """(attack, mean success per kind, backward passes an image) at one ε."""
    rows = []
    for attack in result["attacks"]:
        matrix = rates(result, attack, position)
        means = [
            float(matrix[m].mean()) if m.any() else float("nan") for m in kinds(result).values()
        ]
        passes = float(np.mean(list(result["backward"][attack].values())))
        rows.append((attack, means, passes))
    return rows


def headline(result: Mapping[str, Any]) -> str:
    """The finding at the middle ε, for a reader who has seen nothing else."""
    position = len(result["epsilons"]) // 2
    table = summary(result, position)
    usable = [row for row in table if row[1][2] == row[1][2]]
    if not usable:
        return "One network only: nothing to transfer to but its twin."
    best = max(usable, key=lambda row: row[1][2])
    least = min(usable, key=lambda row: row[1][2])
    text = (
        f"At ε = {steps(result, position)}, images crafted on one network fool another on "
        f"{percent(best[1][2])} of the images with {best[0]}, on {percent(least[1][2])} with "
        f"{least[0]} (means over pairs)."
    )
    gap = np.nanmax([abs(row[1][0] - row[1][1]) for row in table])
    return text + (
        f" Between a float network and its own engine success changes by at most "
        f"{100 * gap:.1f} points."
    )


def heatmaps(result: Mapping[str, Any], position: int) -> bytes:
    """PNG: one matrix per attack at one ε, rows crafted on, columns judged by, in % of images."""
    names, attacks = result["models"], result["attacks"]
    short = _short(names)
    columns = min(COLUMNS, len(attacks))
    lines = -(-len(attacks) // columns)
    side = 0.46 * len(names) + 0.5
    figure = Figure(
        figsize=(columns * side + 2.0, lines * side + 1.9), facecolor="white", layout="constrained"
    )
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, attack in zip(grid.flat, attacks, strict=False):
        matrix = 100 * rates(result, attack, position)
        axes.imshow(matrix, cmap="cividis", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(matrix):
            text = "–" if np.isnan(value) else f"{value:.0f}"
            ink = "black" if value > 45 else "white"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
        for edge in range(2, len(names), 2):
            axes.axhline(edge - 0.5, color="white", linewidth=1.2)
            axes.axvline(edge - 0.5, color="white", linewidth=1.2)
        axes.set_title(attack, fontsize=10, fontweight="bold")
        axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), short, fontsize=8)
        axes.tick_params(length=0)
        first = axes.get_subplotspec().colspan.start == 0
        axes.tick_params(labelleft=first)
    for index, axes in enumerate(grid.flat):
        below = index + columns
        axes.tick_params(labelbottom=below >= len(attacks))
        axes.set_visible(index < len(attacks))
    figure.suptitle(
        f"Success in % at ε = {steps(result, position)}: crafted on (rows), judged by (columns)",
        fontsize=11,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def _short(names: list[str]) -> list[str]:
    """The names without what the networks' names all begin with, if something is left of each."""
    networks = {name.rsplit(" ", 1)[0] for name in names}
    first = min(networks, key=len)
    if len(networks) > 1 and all(name.startswith(first) for name in networks):
        cut = first.rfind("-") + 1
        return [name[cut:] for name in names]
    return names


def write_transfer(result: Mapping[str, Any], directory: Path) -> dict[str, Path]:
    """Write result.json, result.png (the middle ε) and report.html; return their paths.

    Each file appears whole or not at all. Raises InputError where the folder cannot be written.
    """
    folder = prepare_run_directory(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / name for kind, name in FILES.items()}
    pictures = [heatmaps(result, i) for i in range(len(result["epsilons"]))]
    middle, page = pictures[len(pictures) // 2], render_html(result, pictures).encode()
    write_together(paths, {"png": middle, "html": page, "json": to_json(result).encode()})
    return paths


def render_html(result: Mapping[str, Any], pictures: list[bytes]) -> str:
    """The study as one HTML page that loads nothing from elsewhere."""
    positions = range(len(result["epsilons"]))
    zeros = {
        attack: sum(map(sum, table.values())) for attack, table in result["zero_gradient"].items()
    }
    return rendered(
        "transfer.html",
        r=result,
        headline=headline(result),
        kinds=list(kinds(result)),
        summaries=[summary(result, i) for i in positions],
        steps=[steps(result, i) for i in positions],
        png=[base64.b64encode(data).decode() for data in pictures],
        percent=percent,
        zeros={attack: count for attack, count in zeros.items() if count},
        crafted=len(result["models"]) * len(result["epsilons"]) * result["samples"],
        raw=to_json(result),
    )


def render_screen(result: Mapping[str, Any], console: Console, paths: Mapping[str, Path]) -> None:
    """Print the headline, one table per ε and where the files are."""
    console.print(headline(result), style="bold")
    for position in range(len(result["epsilons"])):
        table = Table("attack", box=None, header_style="bold", title_justify="left")
        table.title = f"mean success at ε = {steps(result, position)}, judged by"
        for kind in kinds(result):
            table.add_column(kind, justify="right")
        table.add_column("passes", justify="right")
        for attack, means, passes in summary(result, position):
            table.add_row(attack, *(percent(value) for value in means), f"{passes:.0f}")
        console.print(table)
    lowest = min(result["correct"].values())
    console.print(
        f"{result['samples']} images; counted on those that the judge gets right unattacked, "
        f"at least {lowest}.",
        style="dim",
    )
    console.print(f"-> {paths['json'].parent}")
