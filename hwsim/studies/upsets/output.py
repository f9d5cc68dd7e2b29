"""What a campaign leaves behind: tables on a screen, in Markdown, and result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwsim.files import markdown
from hwsim.report.words import percent

HEADS = (
    "memory", "upsets", "trials", "faults", "accuracy", "worst", "answers changed",
    "trials with one", "masked", "caught", "wraps",
)  # fmt: skip
PARTS = ("trials", "answers changed", "worst", "masked", "caught")
#: Layers and bits that a screen shows of a memory.
SHOWN = 12


def caption(result: Mapping[str, Any]) -> str:
    """What the columns count."""
    plan = result["plan"]
    return (
        f"{result['network']}: {result['images']:,} images a trial, {plan['model']} upsets, seed "
        f"{plan['seed']}; clean accuracy {percent(result['clean']['accuracy'])}. Accuracy: mean "
        "over trials with its 95% interval; answers changed: silently, against those without "
        "faults; trials with one: that change any; masked: trials in which no logit moves; caught: "
        "trials that end in an error status, without an answer; wraps: sums that left their width."
    )


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One of each memory and rate."""
    flips = result["plan"]["flips"]
    return [
        (
            cell["memory"],
            f"{flips} a trial" if cell["rate"] is None else f"{cell['rate']:g} a bit",
            f"{cell['trials']:,}",
            f"{cell['faults']:,.1f}",
            _accuracy(cell),
            percent(cell["accuracy_worst"]),
            percent(cell["changed"], 2),
            percent(cell["harmful"]),
            percent(cell["masked"]),
            percent(cell["caught"]),
            f"{cell['sums'] + cell['products']:,}",
        )
        for cell in result["cells"]
    ]


def _accuracy(cell: Mapping[str, Any]) -> str:
    if cell["accuracy"] is None:
        return "–"
    return f"{percent(cell['accuracy'], 2)} ± {100 * cell['accuracy_half_interval']:.2f}"


def part_rows(cell: Mapping[str, Any], by: str) -> list[tuple[str, ...]]:
    """By layer, or by bit."""
    return [
        (
            one["name"],
            f"{one['trials']:,}",
            percent(one["changed"], 2),
            percent(one["worst"]),
            percent(one["masked"]),
            percent(one["caught"]),
        )
        for one in cell[f"by_{by}"]
    ]


def render(result: Mapping[str, Any], paths: Mapping[str, Path]) -> Group:
    """Everything, for a terminal."""
    found: list[Any] = [_table(HEADS, rows(result)), Text(caption(result), style="dim")]
    for cell in result["cells"]:
        for by, title in (("layer", "layer"), ("bit", "bit, 0 the lowest")):
            every = part_rows(cell, by)
            if len(every) > SHOWN:
                every = [*every[: SHOWN - 1], ("…", "", "", "", "", "")]
            heads = (f"{cell['memory']}: {title}", *PARTS)
            found += [Text(""), _table(heads, every)]
    several = any(cell["faults"] > 1 for cell in result["cells"])
    if several:
        found.append(Text("A trial counts for every layer and bit that it hit.", style="dim"))
    found += [Text(f"-> {path}") for path in paths.values()]
    return Group(*found)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    return table


def put(result: Mapping[str, Any], path: Path, name: str) -> None:
    """The tables into a Markdown file, between the comments that carry ``name``."""
    text = [markdown.table(HEADS, rows(result)), "", caption(result)]
    for cell in result["cells"]:
        for by in ("layer", "bit"):
            text += ["", markdown.table((f"{cell['memory']}, {by}", *PARTS), part_rows(cell, by))]
    markdown.put(path, name, "\n".join([f"`{result['command']}`", "", *text]))
