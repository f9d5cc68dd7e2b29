"""`hwsim rom`: look at memory images and verify them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console


@click.group("rom")
def command() -> None:
    """Look at memory images and verify them."""


@command.command("show")
@click.argument("image", type=click.Path(path_type=Path))
def show(image: Path) -> None:
    """Layers, words, binary points, provenance and history of IMAGE.

    Example: hwsim rom show h16.hne
    """
    from hwsim import rom

    Console().print(rom.render(image))


@command.command("verify")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--config", help="Also refuse an image that this engine cannot run.")
def verify(image: Path, config: str | None) -> None:
    """Check every digest, word, range and bound of IMAGE.

    Example: hwsim rom verify h16.hne
    """
    from hwsim import rom
    from hwsim.config import load_config

    engine = load_config(config) if config else None
    for finding in rom.verify(image, config=engine):
        click.echo(f"ok  {finding.name}: {finding.holds}")
