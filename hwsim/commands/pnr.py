"""`hwsim pnr`: the clock that the Verilog reaches on an FPGA."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import json_option, message_console, result_console
from hwsim.commands.synth import progress


@click.command("pnr")
@click.argument("config", default="small")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Seed of the placer.",
)
@json_option
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put the table into this Markdown file, between its <!-- pnr --> comments.",
)
def command(config: str, seed: int, json_path: Path | None, docs: Path | None) -> None:
    """Place and route CONFIG on a Lattice LFE5U-85F: clock, utilization, limiting path.

    Takes about ten minutes the first time, and a second after that, unless the Verilog changed.

    \b
    Examples:
      hwsim pnr
      hwsim pnr small --json runs/pnr.json
    """
    from hwsim.files.markdown import get, put
    from hwsim.files.output import prepare_json_path
    from hwsim.fpga.place_route import place
    from hwsim.fpga.synthesis_table import markdown_placement, render_placement
    from hwsim.numbers.config import load_config
    from hwsim.report.pages import write_json

    if json_path is not None:
        prepare_json_path(json_path)
    if docs is not None:
        get(prepare_json_path(docs), "pnr")  # before the work, not behind it
    chosen = load_config(config)
    message_console().print(f"placing and routing {chosen.name}: about ten minutes the first time")
    found = place(chosen, progress(chosen.name), seed)
    result_console().print(render_placement(found))
    if json_path is not None:
        write_json(found.to_dict(), json_path)
    if docs is not None:
        put(docs, "pnr", markdown_placement(found))
