"""`hwsim zoo`: the trained networks that ship with hwsim."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from models import zoo


@click.group("zoo")
def command() -> None:
    """List the trained networks and show their cards."""


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.2f}%"


@command.command("list")
def list_() -> None:
    """All networks: compression, size, accuracy beside the paper's.

    Example: hwsim zoo list
    """
    table = Table("network", "scheme", box=None, header_style="bold")
    for title in ("rate", "parameters", "float", "8 bits", "4 bits", "paper"):
        table.add_column(title, justify="right")
    for name in zoo.names():
        card = zoo.card(name)
        rate = "1" if card.rate == 1 else f"1/{round(1 / card.rate)}"
        fixed = card.fixed_accuracy
        table.add_row(
            name, card.scheme, rate, f"{card.parameters:,}", _share(card.test_accuracy),
            _share(fixed.get(8)), _share(fixed.get(4)), _share(card.paper_accuracy),
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        "Accuracy on the full test set; paper: Liu et al. 2018, Fig. 3, where it gives a number.",
        style="dim",
    )


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """The card of NAME: data, recipe, seed, accuracy, digest.

    Example: hwsim zoo show mnist-cnn-h64
    """
    card = zoo.card(name)
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in card.model_dump().items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}={v}" for k, v in value.items())
        table.add_row(key.replace("_", " "), "—" if value is None else str(value))
    Console().print(table)
