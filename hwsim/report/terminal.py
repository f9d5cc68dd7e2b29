"""The screen that a run ends with: readable by someone who has never seen the code."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hwsim.report import budgets
from hwsim.report.schema import PAIRS
from hwsim.report.screen import Screen
from hwsim.report.words import (
    attacked_through,
    cautions,
    duration,
    effort,
    energy,
    goal,
    headline,
    judged_by,
    judged_on,
    memory_rows,
    pair_label,
    percent,
)

#: Wider screens gain nothing: the eye loses the line.
WIDTH = 100

#: For terminals that cannot show more than ASCII.
_ASCII = str.maketrans(
    {"→": "->", "ε": "eps", "∞": "inf", "×": "x", "µ": "u", "–": "-", "−": "-", "≥": ">=",
     "…": "...", "─": "-", "━": "-", "·": "|", "≤": "<="}
)  # fmt: skip


def render_terminal(
    result: Mapping[str, Any], console: Console, paths: Mapping[str, Path] | None = None
) -> None:
    """Print a run; ``result`` as hwsim.report.report describes it, ``paths`` as ``write_run``
    returns it.

    Uses at most 100 columns; 80 are enough. Falls back to ASCII where the terminal has no UTF-8.
    """
    width = min(WIDTH, console.width)
    parts: list[RenderableType] = [
        Rule(Text(_title(result), style="bold"), align="left", style="dim"),
        _facts(result),
        Text(),
        Text("How often the attack succeeds, in % of images [95% interval]", style="bold"),
        _success(result, width),
        _indented(
            f"{_legend(result)}crafted on → judged by; counted on inputs that the judge classifies "
            f"correctly. Success: {goal(result)}.",
            "dim",
        ),
        Text(),
        Text(
            f"The same, raising {_spent(result)} until the answer flips (Algorithm 1)", style="bold"
        ),
        _escalated(result, width),
        _indented(
            f"cumulative; of all {result['samples']:,} images, against the model's own answer.",
            "dim",
        ),
        Text(),
        _costs(result, paths),
    ]
    show(parts, console, width)


def show(parts: list[RenderableType], console: Console, width: int) -> None:
    """Print ``parts`` one below the other; in ASCII where the terminal has no UTF-8."""
    if (console.encoding or "utf-8").lower().startswith("utf"):
        console.print(Group(*parts), width=width)
        return
    plain = Screen(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with plain.capture() as capture:
        plain.print(Group(*parts))
    text = capture.get().translate(_ASCII).encode("ascii", "replace").decode()
    console.print(Text(text), end="", no_wrap=True, overflow="ignore")


def _title(result: Mapping[str, Any]) -> str:
    return f"{str(result['attack']).upper()} on {result['model']}: float against fixed point"


def _spent(result: Mapping[str, Any]) -> str:
    return "ε" if budgets.norm(result) == "linf" else "the budget"


def _legend(result: Mapping[str, Any]) -> str:
    """What the first column and the last are, where they do not explain themselves."""
    norm = budgets.norm(result)
    plain = norm == "linf" and not budgets.range_words(result)
    axis = "" if plain else f"{budgets.HEAD[norm]}: {budgets.axis(result)[3:]}. "
    beside = "the same attack on the margin of the logits, crafted on its judge"
    return axis + (f"margin loss: {beside}. " if result.get("adaptive") else "")


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _grid(rows: list[tuple[str, RenderableType]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True, min_width=18)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), value)
    return grid


def _facts(result: Mapping[str, Any]) -> RenderableType:
    data, clean, zero = result["dataset"], result["clean"], result["zero_gradient"]
    kind = "targeted" if result.get("targeted") else "untargeted"
    both = "float {}   engine {}".format
    rows: list[tuple[str, RenderableType]] = [
        (
            "engine",
            Text(
                f"{result['config']}, {result['bits']}-bit words; {kind}, "
                f"{attacked_through(result)}"
            ),
        ),
        ("engine's answers", Text(f"from {judged_by(result)}")),
        ("images", Text(f"{result['samples']:,} of {data['name']} ({data['source']})")),
        (
            "correct unattacked",
            Text(both(percent(clean["float"], 2), percent(clean["fixed"], 2)), style="bold"),
        ),
        (
            "zero gradient",
            Text(both(percent(zero["float"]), percent(zero["engine"])) + " of images"),
        ),
    ]
    parts: list[RenderableType] = [Text(headline(result)), Text(), _grid(rows)]
    found = cautions(result)
    if found:
        marks = Table.grid(padding=(0, 1))
        for text in found:
            marks.add_row(Text("!", style="bold red"), Text(text, style="bold red"))
        parts.append(marks)
    return Group(*parts)


def _table(result: Mapping[str, Any], under: list[str], width: int, cell: int = 15) -> Table:
    gap = 1 if width < 90 else 4 if cell == 15 else 2
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="", pad_edge=False)
    first = budgets.HEAD[budgets.norm(result)]
    table.add_column(Text(f"  {first}", style="cyan"), no_wrap=True, min_width=7)
    table.add_column(Text(budgets.detail_head(result), style="dim"), no_wrap=True)
    for pair, below in zip(PAIRS, under, strict=True):
        # The two white-box columns are the comparison that the run is about.
        own = len(set(PAIRS[pair])) == 1
        head = Text.assemble((pair_label(pair), "bold" if own else ""), (f"\n{below}", "dim"))
        table.add_column(head, no_wrap=True, min_width=cell if own else min(cell, 15))
    return table


def _row_head(result: Mapping[str, Any], position: int) -> tuple[Text, Text]:
    detail = budgets.detail(result, position).split("/")[0]
    return Text(f"  {budgets.label(result, position):<5}"), Text(detail, style="dim")


def _success(result: Mapping[str, Any], width: int) -> Table:
    adaptive = (result.get("adaptive") or {}).get("success")
    wide = width >= 90
    under = [f"of {judged_on(result, pair):,}" for pair in PAIRS]
    table = _table(result, under, width, 14 if adaptive and wide else 15)
    if adaptive and wide:
        head = Text.assemble(("margin loss", "bold"), ("\nfloat | engine", "dim"))
        table.add_column(head, no_wrap=True)
    spans = result.get("interval") or {}
    for position in range(len(result["epsilons"])):
        cells = []
        for pair in PAIRS:
            cell = Text(f"{_bare(result['success'][pair][position]):>5}")
            span = spans[pair][position] if pair in spans else None
            if span:
                low, high = (f"{100 * edge:.0f}" for edge in span)
                cell += Text(f" [{low}–{high}]", style="dim")
            cells.append(cell)
        beside = {pair: f"{_bare(row[position]):>5}" for pair, row in (adaptive or {}).items()}
        if adaptive and wide:
            cells.append(Text(" | ".join(beside.values())))
        table.add_row(*_row_head(result, position), *cells)
        if adaptive and not wide:  # no room for a column: a row of its own
            table.add_row("  margin", "loss", *(Text(beside.get(pair, "")) for pair in PAIRS))
    return table


def _escalated(result: Mapping[str, Any], width: int) -> Table:
    table = _table(result, [f"of {result['samples']:,}"] * len(PAIRS), width)
    for position in range(len(result["epsilons"])):
        shares = (result["success_escalated"][pair][position] for pair in PAIRS)
        table.add_row(*_row_head(result, position), *(Text(f"{_bare(s):>5}") for s in shares))
    return table


def _bare(share: float | None) -> str:
    return percent(share).removesuffix("%")


def _costs(result: Mapping[str, Any], paths: Mapping[str, Path] | None) -> Table:
    timing = result["timing"]
    stalls = {name: count for name, count in timing["stalls"].items() if count}
    stalled = ", ".join(f"{name} {count:,} cycles" for name, count in stalls.items())
    if conflicts := timing.get("bank_conflicts"):
        stalled += f" (bank conflicts cost the expander {conflicts:,})"
    rows: list[tuple[str, RenderableType]] = [
        (
            "one inference",
            Text(
                f"{result['cycles']:,} cycles = {duration(timing['microseconds'])} at "
                f"{timing['clock_mhz']:g} MHz, about {energy(result['energy_nj'])}, "
                f"MACs busy {percent(timing['utilization'], 0)}"
            ),
        ),
        ("  array waited for", Text(stalled or "nothing")),
        (
            "weight memory",
            Text(
                ", ".join(
                    f"{name} {size}" + ("" if name == "dense" else f" ({ratio})")
                    for name, _, size, ratio in memory_rows(result)
                )
            ),
        ),
    ]
    rows[:0] = [(name, Text(text)) for name, text in effort(result)]
    if paths:
        for position, kind in enumerate(k for k in ("html", "png", "json") if k in paths):
            rows.append(("files" if position == 0 else "", Text(str(paths[kind]), style="green")))
    return _grid(rows)
