"""The screen that an audit ends with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hwsim.audit.flag_texts import BY_KEY
from hwsim.audit.report import headline, span
from hwsim.report.terminal import WIDTH, show
from hwsim.report.words import percent

_SIGNS = {True: ("RAISED", "bold red"), False: ("clear", "green"), None: ("no data", "yellow")}


def render_terminal(
    result: Mapping[str, Any], console: Console, paths: Mapping[str, Path] | None = None
) -> None:
    """Print an audit; ``result`` as hwsim.audit.report describes it."""
    width = min(WIDTH, console.width)
    title = f"Audit of {result['model']}: robust, or hiding its gradients?"
    parts: list[RenderableType] = [
        Rule(Text(title, style="bold"), align="left", style="dim"),
        Text(headline(result), style="bold red" if result["raised"] else "bold"),
        Text(),
        _flags(result),
    ]
    for verdict in result["verdicts"]:
        if verdict["raised"]:
            flag = BY_KEY[verdict["key"]]
            parts += [Text(), Text(flag.title, style="bold red")]
            parts += [_indented(flag.meaning), _indented(f"What to do: {flag.advice}")]
    parts += [
        Text(),
        Text("Success per ε, in % of images [95% interval]", style="bold"),
        _bottom_line(result),
        _indented(
            f"of {result['correct']:,} images that the engine classifies correctly, out of "
            f"{result['samples']:,}. Worst case: fooled by any attack of the suite within ε.",
            "dim",
        ),
    ]
    parts += [_indented(f"Left out: {name}: {why}", "yellow") for name, why in _skipped(result)]
    if paths:
        parts.append(Text())
        parts += [Text(f"  {path}", style="green") for path in paths.values()]
    show(parts, console, width)


def _skipped(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(result["evidence"]["skipped"].items())


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _flags(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("flag", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for verdict in result["verdicts"]:
        sign, style = _SIGNS[verdict["raised"]]
        table.add_row(
            Text(verdict["key"], style="cyan"), Text(sign, style=style), Text(verdict["finding"])
        )
    return table


def _bottom_line(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="")
    table.add_column(Text("  ε", style="cyan"), no_wrap=True)
    table.add_column("naive: HFGSM", no_wrap=True)
    table.add_column("worst case", no_wrap=True)
    table.add_column("strongest single attack", overflow="fold")
    for row in result["bottom_line"]:
        table.add_row(
            Text(f"  {row['epsilon']:g}"),
            _rate(row, "naive"),
            _rate(row, "worst"),
            Text(f"{row['strongest']}, {percent(row['strongest_rate'])}"),
        )
    return table


def _rate(row: Mapping[str, Any], key: str) -> Text:
    return Text(percent(row[key])) + Text(f" [{span(row[f'{key}_interval'])}]", style="dim")
