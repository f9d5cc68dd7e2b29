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
#: Where something guards the memories.
GUARD_HEADS = ("noticed", "zeroed besides")
PARTS = ("trials", "answers changed", "worst", "masked", "caught")
#: Bits of a Mbit.
MBIT = 10**6
#: Layers and bits that a screen shows of a memory.
SHOWN = 12


def heads(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Of ``rows``."""
    return HEADS + (GUARD_HEADS if _guarded(result) else ())


def _guarded(result: Mapping[str, Any]) -> bool:
    return bool(result["protect"] != "none")


def caption(result: Mapping[str, Any]) -> str:
    """What the columns count."""
    plan = result["plan"]
    guarded = ""
    if _guarded(result):
        guarded = (
            f" Behind {result['protect']}; noticed: words with a fault that were corrected, "
            "saturated or zeroed, or that stop the image, a trial; zeroed besides: sound words of "
            "the same groups, a trial."
        )
    return (
        f"{result['network']}: {result['images']:,} images a trial, {plan['model']} upsets, seed "
        f"{plan['seed']}; clean accuracy {percent(result['clean']['accuracy'])}. Accuracy: mean "
        "over trials with its 95% interval; answers changed: silently, against those without "
        "faults; trials with one: that change any; masked: trials in which no logit moves; caught: "
        "trials that end in an error status, without an answer; wraps: sums that left their width."
        + guarded
    )


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One of each memory and rate."""
    return [
        (
            cell["memory"],
            upsets(result, cell),
            f"{cell['trials']:,}",
            f"{cell['faults']:,.1f}",
            _accuracy(cell),
            percent(cell["accuracy_worst"]),
            percent(cell["changed"], 2),
            percent(cell["harmful"]),
            percent(cell["masked"]),
            percent(cell["caught"]),
            f"{cell['sums'] + cell['products']:,}",
            *(
                f"{cell[name] / cell['trials']:,.1f}"
                for name in (("corrected", "zeroed") if _guarded(result) else ())
            ),
        )
        for cell in result["cells"]
    ]


def upsets(result: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """How many: of a trial, or of a Mbit."""
    if cell["rate"] is None:
        return f"{result['plan']['flips']} a trial"
    return f"{cell['rate'] * MBIT:g} a Mbit"


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
    found: list[Any] = [_table(heads(result), rows(result)), Text(caption(result), style="dim")]
    for cell in result["cells"]:
        for by, title in (("layer", "layer"), ("bit", "bit, 0 the lowest")):
            every = part_rows(cell, by)
            if len(every) > SHOWN:
                every = [*every[: SHOWN - 1], ("…", "", "", "", "", "")]
            found += [Text(""), _table((f"{cell['memory']}: {title}", *PARTS), every)]
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
    """The tables into a Markdown file, between the comments that carry ``name``.

    Of rates without those by bit: a trial that hits every bit tells nothing of any.
    """
    text = [markdown.table(heads(result), rows(result)), "", caption(result)]
    if result["plan"]["flips"] is None:
        by_layer = [
            (cell["memory"], upsets(result, cell), *row)
            for cell in result["cells"]
            for row in part_rows(cell, "layer")
        ]
        text += ["", markdown.table(("memory", "upsets", "layer", *PARTS), by_layer)]
        text += ["", "A trial counts for every layer that it hit."]
    for cell in result["cells"] if result["plan"]["flips"] is not None else ():
        for by in ("layer", "bit"):
            text += ["", markdown.table((f"{cell['memory']}, {by}", *PARTS), part_rows(cell, by))]
    markdown.put(path, name, "\n".join([f"`{result['command']}`", "", *text]))
