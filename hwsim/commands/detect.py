"""`hwsim detect`: how well statistics tell adversarial images, and from whom."""

from __future__ import annotations

from typing import Any

import click

from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import (
    progress_bar,
    typed_command,
)


@click.command("detect")
@click.argument("model", default="mnist-cnn-h64")
@click.option(
    "--attacks",
    default="hfgsm,pgd,jsma,cw-l2",
    show_default=True,
    help="Attacks to be detected, separated by commas.",
)
@click.option(
    "--samples", type=click.IntRange(2),
    help="Test images, spread evenly over all  [default: 40, of your own data at most half]",
)  # fmt: skip
@opening_options
def command(
    model: str,
    attacks: str,
    samples: int | None,
    opening: Opening,
) -> None:
    """Try to tell adversarial images of the engine from clean ones, and let the attacker know.

    MODEL: network of the zoo, path of a trained one, image .hne, .onnx, .tflite, .pt2, or
    file.py:function, which is executed; mnist-cnn-h64 unless given.
    Detectors: the sum of squared differences of neighbouring pixels, and the disagreement of the
    float network with the engine. Each attack is made twice: by someone who knows no detector, and
    by someone who knows it and hides from it. Interrupted, the same command goes on.

    \b
    Examples:
      hwsim detect
      hwsim detect mnist-cnn --bits 4
      hwsim detect mnist-cnn-h16 --attacks hfgsm,pgd --samples 20
      hwsim detect net.onnx --data test.npz --calibration train.npz
    """
    with opening.networks(model) as opened:
        from hwsim.report.detection_report import render, write
        from hwsim.runs.detection import DetectionStudy

        (subject,) = opened.subjects
        network = subject.network
        samples = subject.count(samples, 40, spare=True)
        test = subject.test.take(samples)
        train = subject.training(samples, opened.on_progress)
        names = tuple(dict.fromkeys(part.strip().lower() for part in attacks.split(",")))
        study = DetectionStudy(network, test, train, names)
    chosen = network.program.config
    name = f"detect-{network.name}-{chosen.name}-{chosen.act_w}bit"
    folder, partial = opening.folder(name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(f"detect on {network.name}", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        study.on_progress = show
        result: dict[str, Any] = study.run(partial)
    result["command"] = typed_command()
    paths = write(result, folder)
    opening.keep(result)
    partial.unlink(missing_ok=True)
    opening.answer.print(render(result))
    opened.say(opening.answer)
    for path in paths.values():
        opening.answer.print(f"-> {path}", highlight=False)
