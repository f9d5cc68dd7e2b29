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
      hwsim rom export a.hne --format mif -o quartus
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


@command.command("export")
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["mem", "coe", "mif", "hex"]),
    required=True,
    help="mem: $readmemh, and INIT_DIR of the Verilog; coe: Vivado; mif, hex: Quartus.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to make  [default: the image's name and the format]",
)
@click.option("--force", is_flag=True, help="Replace a folder of such files.")
def export(image: Path, format_name: str, output: Path | None, force: bool) -> None:
    """Write a file for every RAM of the engine that IMAGE fills, as FPGA tools read them.

    A line of weights.mem is a word of every bank; here each bank, and each row of index.mem, has a
    file of its own, as it has a RAM of its own in the Verilog.

    Example: hwsim rom export h16.hne --format coe -o vivado
    """
    from hwsim.rom import image as rom
    from hwsim.rom.vendor import export as write
    from hwsim.rom.vendor import file_name

    target = output or Path(f"{image.name.removesuffix('.hne')}-{format_name}")
    if target.exists() and not force:  # said before the work, and again after it
        raise click.ClickException(f"{target} already exists: add --force, or choose another -o")
    for ram in write(rom.load(image), target, format_name, overwrite=force):
        say(
            f"{target / file_name(ram, format_name)}: {ram.width} bits x {ram.depth:,} words, "
            f"{ram.used:,} of them used"
        )
