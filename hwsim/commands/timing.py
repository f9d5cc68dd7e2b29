"""`hwsim timing`: cycles, stalls, energy and memory of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.data_options import data_options
from hwsim.commands.options import (
    bits_option,
    config_option,
    json_option,
    loading,
    message_console,
    result_console,
)
from hwsim.files.shown import say

if TYPE_CHECKING:
    from hwsim.networks.subject import DataChoice


@click.command("timing")
@click.argument("image")
@data_options
@config_option
@bits_option
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Write a Chrome/Perfetto trace of the units over time.",
)
@click.option(
    "--backend",
    type=click.Choice(["python", "rtl"]),
    default="python",
    show_default=True,
    help="rtl: also run the Verilog on one image and compare every counter.",
)
@json_option
def command(
    image: str,
    config: str | None,
    bits: int | None,
    trace: Path | None,
    backend: str,
    json_path: Path | None,
    choice: DataChoice,
) -> None:
    """Cycles, stalls, utilization, energy and memory of IMAGE, an .hne folder or a trained network.

    Also of .onnx, .tflite, .pt2 and file.py:function, which is executed; float ones need --data.

    \b
    Examples:
      hwsim timing h16.hne --trace trace.json
      hwsim timing mnist-cnn-h16 --config wide
      hwsim timing mnist-cnn-h16-banked --backend rtl
      hwsim timing net.tflite
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import write_json

    for path in (trace, json_path):
        if path is not None:
            prepare_json_path(path)
    with loading(message_console(), "loading and counting cycles") as on_progress:
        from hwsim.cost.perfetto import write_trace
        from hwsim.cost.timing import analyze
        from hwsim.cost.timing_table import render
        from hwsim.networks.subject import open_program

        program = open_program(image, config, bits, on_progress, choice)
        found = analyze(program)
        if trace is not None:
            write_trace(found, trace)
    result = found.to_dict()
    console = result_console()
    console.print(render(found))
    if backend == "rtl":
        from hwsim.rtl import counters, rtl_table

        with loading(message_console(), "compiling the RTL (once a configuration) and running it"):
            run = rtl_table.count(program)
        console.print()
        console.print(rtl_table.render(found, run))
        counters.check(found, run)
        result["rtl"] = rtl_table.as_dict(found, run)
    if json_path is not None:
        write_json(result, json_path)
    if trace is not None:
        say(f"trace: {trace} (open in ui.perfetto.dev or chrome://tracing)")
