"""`hwsim zoo`: the trained networks that ship with hwsim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.status import Status
from rich.table import Table
from rich.text import Text

from hwsim.commands.options import message_console, result_console
from hwsim.files.shown import say
from hwsim.models import zoo
from hwsim.models.specs import STUDY_DISTRIBUTION, STUDY_NETWORKS
from hwsim.networks.zoo_table import rate, share


@click.group("zoo")
def command() -> None:
    """List the trained networks and show their cards.

    \b
    Examples:
      hwsim zoo list
      hwsim zoo show mnist-cnn-h16
      hwsim zoo upgrade runs/zoo/mnist-cnn-h16
    """


@command.command("list")
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put the tables, recipes without weights included, into this Markdown file.",
)
def list_(docs: Path | None) -> None:
    """All networks: compression, size, accuracy beside the paper's.

    Example: hwsim zoo list
    """
    if docs is not None:
        from hwsim.files.markdown import put
        from hwsim.networks.zoo_table import page_table

        for dataset in sorted({spec.dataset for spec in zoo.SPECS.values()}):
            put(docs, dataset, page_table(dataset))
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
            rate(card.rate),
            f"{card.parameters:,}",
            share(card.test_accuracy),
            share(fixed.get(8)),
            share(fixed.get(4)),
            share(card.paper_accuracy),
        )
    console = result_console()
    console.print(table)
    console.print("Accuracy: full test set. Paper: see hwsim zoo show NAME.", style="dim")
    waiting = [name for name in zoo.RECIPES if name not in zoo.names()]
    if apart := [name for name in waiting if name in STUDY_NETWORKS]:
        waiting = [name for name in waiting if name not in apart]
        console.print(f"In {STUDY_DISTRIBUTION}: {', '.join(apart)}.", style="dim")
    if waiting:
        console.print(f"Recipes without weights: {', '.join(waiting)}.", style="dim")


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


@command.command("upgrade")
@click.argument("name", nargs=-1, required=True)
def upgrade(name: tuple[str, ...]) -> None:
    """Give the cards of NAME ..., made by an older hwsim, a digest of their content.

    The weights must be those of the card. That nobody changed the rest of it since, only you know.

    Example: hwsim zoo upgrade runs/zoo/mnist-cnn-h16
    """
    from hwsim.networks.open import place

    for one in name:
        made = zoo.upgrade(*place(one))
        said = "its card has a digest already, and matches it" if made is None else "upgraded"
        say(f"{one}: {said}")


@command.command("measure")
@click.argument("name", nargs=-1, required=True)
@click.option(
    "--bits",
    default="16,8,6,4",
    show_default=True,
    callback=lambda _, __, text: parse_widths(text),
    help="Widths of activations and weights.",
)
def measure(name: tuple[str, ...], bits: list[int]) -> None:
    """Count the hits of NAME ... on the engine, on all test images, and keep them in the cards.

    Interrupted, the same command goes on where it stopped.

    Example: hwsim zoo measure runs/zoo/mnist-cnn-h16 --bits 8
    """
    screen = message_console()
    for one in name:
        with screen.status(f"compiling {one}") as status:
            from hwsim.runs.fixed_accuracy import measure as counted

            def show(
                width: int, done: int, total: int, status: Status = status, one: str = one
            ) -> None:
                status.update(Text(f"{one}: {width} bits, {done:,} of {total:,} images"))

            card = counted(one, bits, on_progress=show)
        say(f"{card.name}: {_words('fixed_accuracy', card.fixed_accuracy)}")


def parse_widths(text: str) -> list[int]:
    """``8,4`` -> [8, 4]; click.BadParameter for anything but widths of 4 … 16."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(4 <= width <= 16 for width in found):
        raise click.BadParameter(f"{text!r}: give widths of 4 … 16, such as 8,4")
    return found


def _words(key: str, value: Any) -> str:
    if key == "fixed_accuracy":
        return ", ".join(f"{share(hits)} with {bits} bits" for bits, hits in value.items())
    if key.endswith("_accuracy"):
        return share(value)
    if key == "rate":
        return rate(value)
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {entry}" for name, entry in value.items())
    return f"{value:,}" if key == "parameters" else str(value)
