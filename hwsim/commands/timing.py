"""`hwsim timing`: cycles, stalls, energy and memory of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.bandwidth import bandwidth as port_option
from hwsim.commands.data_options import data_options
from hwsim.commands.options import (
    bits_option,
    config_option,
    json_option,
    loading,
    message_console,
    progress_bar,
    result_console,
    skip_option,
)
from hwsim.files.shown import say

if TYPE_CHECKING:
    from hwsim.cost.distribution import Arrays
    from hwsim.networks.subject import DataChoice, OpenedNetwork
    from hwsim.program.program import Program

#: Images whose cycles are counted at a time.
CHUNK = 500


@click.command("timing")
@click.argument("image")
@data_options
@config_option
@bits_option
@skip_option
@click.option(
    "--batch",
    "together",
    type=int,
    default=1,
    show_default=True,
    help="So many images together, up to batch of the configuration: fc layers run once for all.",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1),
    help="Also run so many test images: how cycles and energy spread. Needs an engine that skips.",
)
@click.option(
    "--bandwidth",
    callback=port_option,
    help="Also with weights off chip, at so many bytes a cycle.",
)
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
    help="rtl: also run the Verilog on one image, or a batch, and compare every counter.",
)
@json_option
def command(
    image: str,
    config: str | None,
    bits: int | None,
    skip: bool,
    together: int,
    count: int | None,
    bandwidth: float | None,
    trace: Path | None,
    backend: str,
    json_path: Path | None,
    choice: DataChoice,
) -> None:
    """Cycles, stalls, utilization, energy and memory of IMAGE, an .hne folder or a trained network.

    Also of .onnx, .tflite, .pt2 and file.py:function, which is executed; float ones need --data.
    With --skip it is about an image without a zero, the slowest.

    \b
    Examples:
      hwsim timing h16.hne --trace trace.json
      hwsim timing mnist-cnn-h16 --config wide
      hwsim timing mnist-cnn-h16-banked --backend rtl
      hwsim timing mnist-cnn-h16-banked --skip --images 10000
      hwsim timing mnist-cnn-h16 --config batch8.toml --batch 8
      hwsim timing mnist-cnn-h16 --bandwidth 4
      hwsim timing net.tflite
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import write_json

    for path in (trace, json_path):
        if path is not None:
            prepare_json_path(path)
    with loading(message_console(), "loading and counting cycles") as on_progress:
        from hwsim.cost.offchip import report_off_chip
        from hwsim.cost.perfetto import write_trace
        from hwsim.cost.timing import analyze
        from hwsim.cost.timing_table import render
        from hwsim.networks.subject import open_program, open_subject

        subject = None
        if count is None:
            program = open_program(image, config, bits, on_progress, choice)
        else:
            subject = open_subject(image, config, bits, on_progress, choice, alone=True)
            program = subject.network.program
        program = program.skipping() if skip else program
        if count is not None:
            _check_images(program, count)
        found = analyze(program, together)
        if bandwidth is not None:
            report_off_chip(found, bandwidth)  # a batch is refused before anything is written
        if trace is not None:
            write_trace(found, trace)
    result = found.to_dict()
    console = result_console()
    console.print(render(found))
    taken, nj = None, found.energy.nj
    if subject is not None and count is not None:
        from hwsim.cost import distribution_table
        from hwsim.cost.distribution import distribution
        from hwsim.engine.cycles import timing_of

        counted = _counted(program, subject, count)
        spread = distribution(program, timing_of(program), counted)
        taken, nj = counted["cycles"], spread.energy_nj.mean
        console.print()
        console.print(distribution_table.render(spread))
        result["images"] = spread.to_dict()
    if bandwidth is not None:
        from dataclasses import asdict

        from hwsim.cost import offchip_table

        away = report_off_chip(found, bandwidth, taken)
        console.print()
        console.print(offchip_table.render(away, bandwidth, program.config.clock_mhz, nj, count))
        result["off_chip"] = {
            "bandwidth": bandwidth, **asdict(away), "energy_nj": nj + away.fetch_nj,
        }  # fmt: skip
    if backend == "rtl":
        from hwsim.rtl import counters, rtl_table

        with loading(message_console(), "compiling the RTL (once a configuration) and running it"):
            found, run = rtl_table.count(program, found)
        console.print()
        console.print(rtl_table.render(found, run))
        counters.check(found, run)
        result["rtl"] = rtl_table.as_dict(found, run)
    if json_path is not None:
        write_json(result, json_path)
    if trace is not None:
        say(f"trace: {trace} (open in ui.perfetto.dev or chrome://tracing)")


def _check_images(program: Program, count: int) -> None:
    """InputError where no layer leaves anything out, so that images have nothing to tell."""
    from hwsim.engine.cycles import timing_of
    from hwsim.errors import InputError

    if not timing_of(program).varying:
        raise InputError(
            f"--images {count}: all images take the same cycles here: add --skip, for a network "
            "with an fc layer that is not wider than skip_columns, or a convolution with more "
            "outputs than the array has rows"
        )


def _counted(program: Program, subject: OpenedNetwork, count: int) -> Arrays:
    """``costs`` of the first ``count`` test images."""
    import numpy as np

    from hwsim.cost.distribution import costs
    from hwsim.engine.cycles import counted
    from hwsim.engine.module import Engine

    images = subject.network.inputs(subject.test.take(count))
    engine, found = Engine(program), []
    with progress_bar(message_console()) as bar:
        task = bar.add_task("counting cycles", total=count)
        for batch in images.split(CHUNK):
            found.append(counted(engine.datapath, engine.grid(batch), costs))
            bar.advance(task, len(batch))
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
