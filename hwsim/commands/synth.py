"""`hwsim synth`: what the Verilog costs on an FPGA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from hwsim.commands.options import json_option, message_console, result_console


def progress(what: str) -> Callable[[str, float], None]:
    """Prints each stage of the tools once, with the time since their start."""
    seen: set[str] = set()

    def show(stage: str, seconds: float) -> None:
        if stage not in seen:
            seen.add(stage)
            text = f"{int(seconds) // 60}:{int(seconds) % 60:02d}  {what}: {stage}"
            message_console().print(text, highlight=False)

    return show


@click.command("synth")
@click.argument("configs", nargs=-1)
@json_option
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Put the tables into this Markdown file, between its <!-- synth --> comments.",
)
def command(configs: tuple[str, ...], json_path: Path | None, docs: Path | None) -> None:
    """Cells, flip-flops, DSPs and memory bits of every module on a Lattice ECP5.

    CONFIGS are names or .toml files; all named configurations if none is given. Fails if a memory
    did not become block RAM or a multiplier no DSP. Memories beyond the largest device are black
    boxes. The first run takes minutes, a further one a second.

    \b
    Examples:
      hwsim synth small
      hwsim synth --json runs/synth.json
    """
    from hwsim.files.markdown import get, put
    from hwsim.files.output import prepare_json_path
    from hwsim.fpga.synthesis import synthesize
    from hwsim.fpga.synthesis_table import markdown, render
    from hwsim.numbers.config import config_names, load_config
    from hwsim.report.pages import write_json

    if json_path is not None:
        prepare_json_path(json_path)
    if docs is not None:
        get(prepare_json_path(docs), "synth")  # before the work, not behind it
    chosen = [load_config(name) for name in configs or config_names()]
    found = [synthesize(config, progress(config.name)) for config in chosen]
    result_console().print(render(found))
    if json_path is not None:
        write_json({"configs": [one.to_dict() for one in found]}, json_path)
    if docs is not None:
        put(docs, "synth", markdown(found))
