"""`hwsim leak`: what the time of an engine that skips zeros tells, and what hiding it costs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import progress_bar, skip_option, typed_command
from hwsim.importer.names import is_image


def parse_noises(_: click.Context, __: click.Parameter, text: str) -> tuple[float, ...]:
    """Callback: ``100,1000`` -> (100.0, 1000.0); click.BadParameter otherwise."""
    found = []
    for part in text.split(","):
        try:
            noise = float(part)
        except ValueError:
            raise click.BadParameter(f"{part!r} is no number of cycles") from None
        if not 0 <= noise < math.inf:
            raise click.BadParameter(f"{part} is no number of cycles of at least 0")
        found.append(noise)
    return tuple(found)


def check_pad(_: click.Context, __: click.Parameter, text: str) -> str:
    """Callback: the text, if it is a padding; click.BadParameter otherwise."""
    from hwsim.cost.padding import Padding
    from hwsim.errors import InputError

    try:
        return Padding.of(text).name
    except InputError as error:
        raise click.BadParameter(str(error)) from None


@click.command("leak")
@click.argument("model", default="mnist-cnn-h64")
@click.option(
    "--observe",
    type=click.Choice(["both", "layers", "total"]),
    default="both",
    show_default=True,
    help="What an observer sees: the cycles of every layer, or of the whole inference.",
)
@click.option(
    "--noise",
    "noises",
    default="100",
    show_default=True,
    callback=parse_noises,
    help="Standard deviations in cycles, separated by commas, of Gaussian noise on the whole; 0: "
    "none.",
)
@click.option(
    "--pad",
    default="none",
    show_default=True,
    callback=check_pad,
    metavar="none|worst|qNN",
    help="Fast images wait: for the most that any input can take, or, as in q95, for a quantile "
    "of images that are not tested.",
)
@click.option(
    "--pad-of",
    "scope",
    type=click.Choice(["layers", "total"]),
    default="layers",
    show_default=True,
    help="What waits: every layer, or the whole.",
)
@click.option(
    "--image",
    "padded",
    type=click.Path(path_type=Path),
    metavar="FILE.hne",
    help="Memory image to make of the network with the floors that --pad gave its layers.",
)
@click.option(
    "--no-curve",
    is_flag=True,
    help="Without the leak under a row of paddings, against what they cost.",
)
@click.option(
    "--samples",
    type=click.IntRange(2),
    help="Test images, spread evenly over all  [default: 2000, of your own data at most half]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of noise, of who learns from which images, and of classifiers.",
)
@skip_option
@opening_options
def command(
    model: str,
    observe: str,
    noises: tuple[float, ...],
    pad: str,
    scope: str,
    padded: Path | None,
    no_curve: bool,
    samples: int | None,
    seed: int,
    skip: bool,
    opening: Opening,
) -> None:
    """Tell the class of an image from the cycles of an engine that skips zeros.

    MODEL: network of the zoo, path of a trained one, image .hne, .onnx, .tflite, .pt2, or
    file.py:function, which is executed; mnist-cnn-h64 unless given. An engine of your own choice,
    by --config or as an image, must skip zeros, or --skip makes it; any other does.
    Secrets: the class, the engine's answer, and whether an image was trained on. For each: mutual
    information, classifiers of scikit-learn, and Welch's t-test.

    \b
    Examples:
      hwsim leak
      hwsim leak mnist-cnn-h16-banked --samples 10000
      hwsim leak mnist-cnn --pad q95 --noise 100,1000
      hwsim leak mnist-cnn-h16 --pad worst --image constant.hne
      hwsim leak net.onnx --data test.npz --calibration train.npz
    """  # fmt: skip
    from hwsim.runs.guessers import require

    source = click.get_current_context().get_parameter_source("noises")
    if observe == "layers" and source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--noise is on the whole, which --observe layers leaves out")
    if padded is not None:
        if pad == "none" or scope != "layers":
            raise click.UsageError("--image takes floors of layers: add --pad, no --pad-of total")
        if padded.suffix != ".hne":
            raise click.UsageError(f"--image {padded}: the name of an image must end in .hne")
        if padded.exists():
            raise click.ClickException(f"{padded} already exists: choose another --image")
    require()
    with opening.networks(model) as opened:
        from hwsim.cost.padding import Padding
        from hwsim.report.leak_report import render, write
        from hwsim.runs.leak import LeakSettings, LeakStudy

        (subject,) = opened.subjects
        network = subject.network
        if skip or (opening.config is None and not is_image(model)):
            network = replace(network, program=network.program.skipping())
        samples = subject.count(samples, min(2000, len(subject.test)), spare=True)
        test = subject.test.take(samples)
        settings = LeakSettings(observe, noises, Padding.of(pad, scope), seed, not no_curve)  # type: ignore[arg-type]
        study = LeakStudy(network, test, subject.training(samples, opened.on_progress), settings)
    config = network.program.config
    parts = ["leak", network.name, config.name, f"{config.act_w}bit"]
    parts += [] if pad == "none" else [pad] if scope == "layers" else [pad, "total"]
    folder, _ = opening.folder("-".join(parts))
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(f"leak of {network.name}", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        study.on_progress = show
        result: dict[str, Any] = study.run()
    result["command"] = typed_command()
    paths = write(result, folder)
    if padded is not None:
        from hwsim.rom import image as rom

        rom.save(network.program.with_floors(result["pad"]["floors"]), padded)
        paths["image"] = padded
    opening.keep(result)
    opening.answer.print(render(result))
    opened.say(opening.answer)
    for path in paths.values():
        opening.answer.print(f"-> {path}", highlight=False)
