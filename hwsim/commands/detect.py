"""`hwsim detect`: how well statistics tell adversarial images, and from whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.data_options import check_classes, data_options, say_data, say_notes
from hwsim.commands.options import (
    bits_option,
    config_option,
    json_option,
    loading,
    message_console,
    out_option,
    progress_bar,
    result_console,
    say_range,
    typed_command,
)

if TYPE_CHECKING:
    from hwsim.networks.subject import DataChoice


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
@data_options
@config_option
@bits_option
@json_option
@out_option
def command(
    model: str,
    attacks: str,
    samples: int | None,
    config: str | None,
    bits: int | None,
    json_path: Path | None,
    out: Path,
    choice: DataChoice,
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
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory, write_json

    prepare_run_directory(out)
    if json_path is not None:
        prepare_json_path(json_path)
    screen, answer = message_console(), result_console()
    with loading(screen, "loading and compiling the network") as on_progress:
        from hwsim.networks.subject import open_subject
        from hwsim.report.detection_report import render, write
        from hwsim.runs.detection import DetectionStudy

        subject = open_subject(model, config, bits, on_progress, choice)
        network = subject.network
        check_classes([network])
        samples = subject.count(samples, 40, spare=True)
        test = subject.test.take(samples)
        train = subject.training(samples, on_progress)
        names = tuple(dict.fromkeys(part.strip().lower() for part in attacks.split(",")))
        study = DetectionStudy(network, test, train, names)
    chosen = network.program.config
    folder = prepare_run_directory(out / f"detect-{network.name}-{chosen.name}-{chosen.act_w}bit")
    partial = prepare_json_path(folder / "partial.json")
    with progress_bar(screen) as bar:
        task = bar.add_task(f"detect on {network.name}", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        study.on_progress = show
        result: dict[str, Any] = study.run(partial)
    result["command"] = typed_command()
    paths = write(result, folder)
    if json_path is not None:
        write_json(result, json_path)
    partial.unlink(missing_ok=True)
    answer.print(render(result))
    say_range(answer, study.grid.bounds)
    say_notes(answer, network)
    say_data(answer, subject.test)
    for path in paths.values():
        answer.print(f"-> {path}", highlight=False)
