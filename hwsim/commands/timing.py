"""`hwsim timing`: cycles, stalls, energy and memory of an image."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from hwsim.commands.options import bits_option, config_option


@click.command("timing")
@click.argument("image")
@config_option
@bits_option
@click.option(
    "--trace", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a Chrome/Perfetto trace of the units over time.",
)  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False))
def command(
    image: str, config: str, bits: int | None, trace: Path | None, json_path: Path | None
) -> None:
    """Cycles, stalls, utilization, energy and memory of IMAGE, an .hne folder or a zoo network.

    Example: hwsim timing h16.hne --trace trace.json
    """
    from hwsim import report, rom
    from hwsim.networks import open_network
    from hwsim.timing import analyze
    from hwsim.timing_table import render
    from hwsim.trace import write_trace

    for path in (trace, json_path):
        if path is not None:
            report.prepare_json_path(path)
    is_image = image.rstrip("/").endswith(".hne")
    program = rom.load(image) if is_image else open_network(image, config, bits).program
    found = analyze(program)
    Console().print(render(found))
    if trace is not None:
        write_trace(found, trace)
        click.echo(f"trace: {trace} (open in ui.perfetto.dev or chrome://tracing)")
    if json_path is not None:
        report.write_json(found.to_dict(), json_path)
