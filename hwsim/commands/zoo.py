"""`hwsim zoo`: the trained networks that ship with hwsim."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from hwsim.commands.options import result_console
from models import zoo


@click.group("zoo")
def command() -> None:
    """List the trained networks and show their cards.

    \b
    Examples:
      hwsim zoo list
      hwsim zoo show mnist-cnn-h16
    """


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _rate(value: float) -> str:
    return "1" if value == 1 else f"1/{1 / value:.4g}"


@command.command("list")
def list_() -> None:
    """All networks: compression, size, accuracy beside the paper's.

    Example: hwsim zoo list
    """
    table = Table(
        "network", "scheme", box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0)
    )
    for title in ("rate", "parameters", "float", "8 bits", "4 bits", "paper"):
        table.add_column(title, justify="right")
    for name in zoo.names():
        card = zoo.card(name)
        fixed = card.fixed_accuracy
        table.add_row(
            name,
            card.scheme,
            _rate(card.rate),
            f"{card.parameters:,}",
            _share(card.test_accuracy),
            _share(fixed.get(8)),
            _share(fixed.get(4)),
            _share(card.paper_accuracy),
        )
    console = result_console()
    console.print(table)
    console.print("Accuracy: full test set. Paper: Liu et al. 2018, Fig. 3.", style="dim")


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """The card of NAME: data, recipe, seed, accuracy, digest.

    Example: hwsim zoo show mnist-cnn-h16
    """
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in zoo.card(name).model_dump().items():
        if value not in (None, {}):
            table.add_row(key.replace("_", " "), _words(key, value))
    result_console().print(table)


def _words(key: str, value: Any) -> str:
    if key == "fixed_accuracy":
        return ", ".join(f"{_share(share)} with {bits} bits" for bits, share in value.items())
    if key.endswith("_accuracy"):
        return _share(value)
    if key == "rate":
        return _rate(value)
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {entry}" for name, entry in value.items())
    return f"{value:,}" if key == "parameters" else str(value)
