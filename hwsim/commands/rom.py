"""`hwsim rom`: look at memory images, verify, rewrite and compare them."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import result_console
from hwsim.commands.rewrite import diff, rewrite
from hwsim.files.shown import say


@click.group("rom")
def command() -> None:
    """Look at memory images; verify, rewrite and compare them.

    \b
    Examples:
      hwsim rom show h16.hne
      hwsim rom verify h16.hne --config default
      hwsim rom rewrite a.hne b.hne --apply inhibition=0.1 --on-overflow rescale
      hwsim rom diff a.hne b.hne
    """


command.add_command(rewrite)
command.add_command(diff)


@command.command("show")
@click.argument("image", type=click.Path(path_type=Path))
def show(image: Path) -> None:
    """Layers, words, binary points, provenance and history of IMAGE.

    Example: hwsim rom show h16.hne
    """
    from hwsim.rom import image as rom

    result_console().print(rom.render(image))


@command.command("verify")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--config", help="Also refuse an image that this engine cannot run.")
def verify(image: Path, config: str | None) -> None:
    """Check every digest, word, range and bound of IMAGE.

    Example: hwsim rom verify h16.hne --config default
    """
    from hwsim.numbers.config import load_config
    from hwsim.rom import image as rom

    engine = load_config(config) if config else None
    for finding in rom.verify(image, config=engine):
        say(f"ok  {finding.name}: {finding.holds}")
    if engine is not None:
        say(f"ok  engine: {engine.name} runs it")
