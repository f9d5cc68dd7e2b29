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
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="So many seeds from --seed on, from one synthesis: a table of their clocks.",
)
@json_option
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put the table into this Markdown file, between its <!-- pnr --> comments, or "
    "<!-- pnr-seeds --> where there are several seeds.",
)
def command(config: str, seed: int, seeds: int, json_path: Path | None, docs: Path | None) -> None:
    """Place and route CONFIG on a Lattice LFE5U-85F: clock, utilization, limiting path.

    Takes about ten minutes the first time, and a second after that, unless the Verilog changed.
    Several seeds take eight minutes each; interrupted, the same command goes on with the next one.

    \b
    Examples:
      hwsim pnr
      hwsim pnr small --json runs/pnr.json
      hwsim pnr small --seeds 5
    """
    from hwsim.files.markdown import get, put
    from hwsim.files.output import prepare_json_path
    from hwsim.fpga.place_route import place_seeds
    from hwsim.fpga.synthesis_table import (
        markdown_placement,
        markdown_seeds,
        render_placement,
        render_seeds,
    )
    from hwsim.numbers.config import load_config
    from hwsim.report.pages import write_json

    if json_path is not None:
        prepare_json_path(json_path)
    place = "pnr" if seeds == 1 else "pnr-seeds"
    if docs is not None:
        get(prepare_json_path(docs), place)  # before the work, not behind it
    chosen = load_config(config)
    console = message_console()
    console.print(f"placing and routing {chosen.name}: about ten minutes the first time")
    found = []
    called = chosen.name if seeds == 1 else f"{chosen.name}, seed {{}}"
    wanted = range(seed, seed + seeds)
    for one in place_seeds(chosen, lambda number: progress(called.format(number)), wanted):
        found.append(one)
        if seeds > 1:
            console.print(f"{chosen.name}, seed {one.seed}: {one.mhz:.1f} MHz")
    result_console().print(render_placement(found[0]) if seeds == 1 else render_seeds(found))
    if json_path is not None:
        content = [one.to_dict() for one in found]
        write_json(content[0] if seeds == 1 else {"seeds": content}, json_path)
    if docs is not None:
        put(docs, place, markdown_placement(found[0]) if seeds == 1 else markdown_seeds(found))
