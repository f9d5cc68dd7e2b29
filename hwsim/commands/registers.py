"""`hwsim registers`: the register map for drivers and documents."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.files.shown import say

_NAMES = {"rdl": "hne.rdl", "c": "hne.h", "html": "hne-registers"}


@click.command("registers")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(_NAMES)),
    required=True,
    help="rdl: SystemRDL 2.0; c: a C header; html: a folder of pages, both made by PeakRDL.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File or folder to make  [default: hne.rdl, hne.h, hne-registers]",
)
@click.option("--force", is_flag=True, help="Replace a folder of such pages.")
def command(format_name: str, output: Path | None, force: bool) -> None:
    """Write the register map of the engine's AXI4-Lite port, from the table that the Verilog is
    made from.

    Example: hwsim registers --format c -o driver/hne.h
    """
    from hwsim.bus.rdl import write_c, write_html, write_rdl
    from hwsim.bus.registers import REGISTERS
    from hwsim.errors import ImageError

    target = output or Path(_NAMES[format_name])
    if format_name == "html":
        if target.exists() and not force:
            raise click.ClickException(
                f"{target} already exists: add --force, or choose another -o"
            )
        try:
            write_html(target, overwrite=force)
        except ImageError as error:
            raise ImageError(f"{target}: {error}") from None
    else:
        (write_c if format_name == "c" else write_rdl)(target)
    say(f"{target}: {len(REGISTERS)} registers")
