"""An imported network as one HTML page: the graph as it was understood, and how far its runtimes
are from the engine, layer by layer.

It takes the dict that ``hwsim import --json`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.files.output import write_output
from hwsim.files.shown import shown
from hwsim.report.html import render_page
from hwsim.report.words import percent

#: Of a row of the drawing, and between its lanes, in its own units.
HEIGHT, LANE = 40, 11


def write_import(result: Mapping[str, Any], path: Path) -> None:
    """Write the page, whole or not at all. Raises InputError."""
    write_output(path, render_import(result).encode())


def render_import(result: Mapping[str, Any]) -> str:
    """The page, which loads nothing from elsewhere."""
    compared = result.get("comparison") or {"runtimes": [], "missing": "", "images": 0}
    runs = [one for one in compared["runtimes"] if not one["error"]]
    columns = [one for one in runs if one["layers"]]
    graph = result["graph"]
    lines, width = drawing([node["inputs"] for node in graph])
    largest = max((layer["largest_lsb"] for one in columns for layer in one["layers"]), default=0)
    found = [layers_by_node(graph, one["layers"]) for one in columns]
    return render_page(
        "import.html",
        result,
        compared=compared,
        runs=runs,
        failed=[one for one in compared["runtimes"] if one["error"]],
        columns=columns,
        rows=[(node, lines[n], [cells[n] for cells in found]) for n, node in enumerate(graph)],
        width=width,
        height=HEIGHT,
        largest=largest,
        headline=headline(result),
        rounding=rounding,
        percent=percent,
        shown=shown,
    )


def headline(result: Mapping[str, Any]) -> str:
    """The finding in a sentence."""
    compared = result.get("comparison")
    if compared is None:
        return "The file has no runtime of its own to compare with."
    if compared["missing"]:
        return f"There is no comparison: {compared['missing']}."
    runs = [one for one in compared["runtimes"] if not one["error"]]
    if not runs:
        return "No runtime runs the file."
    shares = [f"{one['name']} on {percent(one['equal_answers'])}" for one in runs]
    listed = shares[0] if len(shares) == 1 else ", ".join(shares[:-1]) + f" and {shares[-1]}"
    return f"Of {compared['images']:,} images the engine answers as {listed}."


def layers_by_node(
    graph: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any] | None]:
    """What was compared of each node, by its name, in order; None where nothing was."""
    left = list(layers)
    found: list[Mapping[str, Any] | None] = []
    for node in graph:
        same = left and left[0]["name"] == node["name"]
        found.append(left.pop(0) if same else None)
    return found


def rounding(run: Mapping[str, Any], models: Mapping[str, str]) -> list[str]:
    """How many layers each model of rounding gives bit for bit; a layer is counted once."""
    layers = [set(layer["rounds_as"]) for layer in run["layers"]]
    counts = {name: sum(name in one for one in layers) for name in models}
    lines, left = [], layers
    for name in sorted(counts, key=lambda one: -counts[one]):
        took = [one for one in left if name in one]
        left = [one for one in left if name not in one]
        if took:
            lines.append(f"{len(took)} of {len(layers)} layers round {models[name]}")
    if left:
        lines.append(f"{len(left)} of {len(layers)} in no way that hwsim knows")
    return lines


def drawing(inputs: Sequence[Sequence[int]]) -> tuple[list[list[str]], int]:
    """Paths of an SVG for each row of a table, and the width of its view.

    inputs: rows that each row reads. A row stands below what it reads, so what it reads right
    above is a straight line; everything else turns into a lane of its own until it arrives.
    """
    long = [(j, i) for i, sources in enumerate(inputs) for j in sources if i - j > 1]
    lanes: list[list[tuple[int, int]]] = []
    for j, i in sorted(long, key=lambda edge: edge[0] - edge[1]):
        free = (k for k, lane in enumerate(lanes) if all(i <= a or b <= j for a, b in lane))
        k = next(free, len(lanes))
        if k == len(lanes):
            lanes.append([])
        lanes[k].append((j, i))
    middle, first = HEIGHT // 2, LANE
    rows: list[list[str]] = []
    for row, sources in enumerate(inputs):
        paths = []
        if row - 1 in sources:
            paths.append(f"M{first} 0V{middle}")
        if row + 1 < len(inputs) and row in inputs[row + 1]:
            paths.append(f"M{first} {middle}V{HEIGHT}")
        for k, lane in enumerate(lanes):
            x = first + LANE * (k + 1)
            for j, i in lane:
                if j == row:
                    paths.append(f"M{first} {middle}C{x} {middle} {x} {middle} {x} {HEIGHT}")
                elif i == row:
                    paths.append(f"M{x} 0C{x} {middle} {x} {middle} {first} {middle}")
                elif j < row < i:
                    paths.append(f"M{x} 0V{HEIGHT}")
        rows.append(paths)
    return rows, 2 * LANE + LANE * len(lanes)
