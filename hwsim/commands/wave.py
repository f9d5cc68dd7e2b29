"""`hwsim wave`: what every signal of the Verilog does during one inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.data_options import data_options
from hwsim.commands.options import bits_option, config_option, loading, message_console
from hwsim.files.shown import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwsim.networks.subject import DataChoice
    from hwsim.program.program import Program


@click.command("wave")
@click.argument("image")
@click.option(
    "--index", type=click.IntRange(0), default=0, show_default=True, help="Which test image."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Trace to make  [default: IMAGE.fst]"
)
@click.option(
    "--first", type=click.IntRange(0), default=0, show_default=True, help="Cycle to begin with."
)
@click.option("--cycles", type=click.IntRange(1), help="How many cycles  [default: all]")
@data_options
@config_option
@bits_option
@click.option("--force", is_flag=True, help="Also write a trace of more than 1 GiB.")
def command(
    image: str,
    index: int,
    output: Path | None,
    first: int,
    cycles: int | None,
    config: str | None,
    bits: int | None,
    force: bool,
    choice: DataChoice,
) -> None:
    """Trace the Verilog while IMAGE, an .hne folder or a trained network, classifies an image.

    Also of .onnx, .tflite, .pt2 and file.py:function, which is executed; float ones need --data.
    Writes an FST file and a save file for GTKWave, which groups the signals by unit.

    \b
    Examples:
      hwsim wave mnist-cnn-h64 --cycles 5000 -o h64.fst
      hwsim wave tiny.hne --index 3 && gtkwave tiny.fst tiny.gtkw
    """
    from hwsim.files.output import prepare_json_path

    target = output or Path(Path(image.rstrip("/")).stem + ".fst")
    if target.suffix != ".fst":
        raise click.ClickException(f"{target}: a trace must end in .fst")
    with loading(message_console(), "loading the network, compiling the RTL") as on_progress:
        from hwsim.networks.subject import open_program
        from hwsim.rtl import waves
        from hwsim.rtl.build import build

        waves.check_readers()
        for path in (target, waves.save_path(target)):
            prepare_json_path(path)
        program = open_program(image, config, bits, on_progress, choice)
        total = waves.total_cycles(program)
        if first >= total:
            raise click.ClickException(f"one inference has {total:,} cycles: --first {first}")
        last = min(total, first + cycles) if cycles else total
        chosen, what = _input(image, program, index, choice)
        build(program.config, waves=True)
        size = waves.expected_bytes(program, chosen, first, last)
    about = f"{last - first:,} of {total:,} cycles, about {size / 1e6:,.1f} MB"
    if size > waves.LARGE and not force:
        raise click.ClickException(f"{about}: choose fewer --cycles, or add --force")
    say(f"{target}: {what}; {about}", err=True)
    # Up to the end: the estimate of the length leaves out a few cycles at the edges.
    run = waves.record(program, chosen, target, first, last if cycles else 1 << 40)
    made = target.stat().st_size
    stopped = "no class, because it was stopped before the end"
    answer = f", {stopped if run.status else f'class {run.argmax}'}"
    say(f"{target}: {run.simulated - first:,} cycles, {made / 1e6:,.1f} MB{answer}")
    say(f"look at it: gtkwave {target} {waves.save_path(target)}")


def _input(
    image: str, program: Program, index: int, choice: DataChoice
) -> tuple[NDArray[Any], str]:
    """Integers (C, H, W), and what they are."""
    import numpy as np

    from hwsim.engine.module import Engine
    from hwsim.errors import InputError
    from hwsim.models.datasets.dataset import load_dataset
    from hwsim.networks.open import fitted
    from hwsim.networks.subject import images_of

    if choice.data is not None:
        x, own = images_of(image, program, choice.data, choice.bounds)
        if index >= len(own):
            raise InputError(f"--index {index}: {choice.data} has images 0 … {len(own) - 1}")
        grid = Engine(program).grid(x[index : index + 1])
        return grid[0].transpose(2, 0, 1), f"image {index} of {choice.data}"
    name = program.provenance.get("dataset")
    if not isinstance(name, str):
        values = np.random.default_rng(index).integers(
            0, program.config.act_max + 1, program.input_shape
        )
        return values, f"the image names no data set: random pixels, seed {index}"
    test = load_dataset(name, "test")
    if index >= len(test):
        raise InputError(f"--index {index}: {test.name} has test images 0 … {len(test) - 1}")
    grid = Engine(program).grid(fitted(test, program, "the network")[index : index + 1])
    return grid[0].transpose(2, 0, 1), f"test image {index} of {test.name}, a {test.labels[index]}"
