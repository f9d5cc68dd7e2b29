"""The screen of `hwsim safecompress`: task accuracy beside attacks, in float and on the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hwsim.report.terminal import WIDTH, show

#: Heading -> attacker.
_ATTACKERS = {"black box": "bmia", "white box": "wmia", "both": "mmia"}


def render_screen(result: Mapping[str, Any], console: Console, out: Path) -> None:
    """Print what ``hwsim safecompress`` found; weights and cards lie in ``out``."""
    width = min(WIDTH, console.width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("network, weights", overflow="fold")
    table.add_column("on")
    for title in ("members", "others", *_ATTACKERS):
        table.add_column(title, justify="right")
    for name, row in result["networks"].items():
        left, whole = row["left"]
        # In one column, so that the table fits into 80.
        lead = [name, f"{left:,} of {whole:,}"]
        for machine, found in row.items():
            if machine in ("method", "left"):
                continue
            where = "float" if machine == "float" else f"{machine} bits"
            cells = [_attacked(found[kind]) for kind in _ATTACKERS.values()]
            shares = (f"{found['members']:.1%}", f"{found['task']:.1%}")
            table.add_row(lead.pop(0) if lead else "", where, *shares, *cells)
        if lead:
            table.add_row(*lead)
    data = result["dataset"]
    judged = result["judged_on"]
    parts: list[RenderableType] = [
        Rule(Text("Compressed, and attacked", style="bold"), align="left", style="dim"),
        Text(
            f"{result['members']:,} members of {data['name']}; answers that are right, and how "
            "often an attacker tells members from others: 50% is chance",
            style="dim",
        ),
        Text(),
        table,
        Text(),
        Text(
            f"Attackers learn on {judged // 2:,} members and as many others and are judged on "
            f"{judged - judged // 2:,} of both, ± the half of their 95% interval; nobody was asked "
            "about them during the training.",
            style="dim",
        ),
        Text(f"-> {out}", style="dim"),
    ]
    if result["note"]:
        parts.append(Text(f"note: {result['note']}", style="dim"))
    show(parts, console, width)


def _attacked(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['accuracy']:.1%} ±{50 * (high - low):.1f}"
