"""`hwsim transfer`: images crafted on each network, counted on all the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.commands.data_options import check_classes, data_options, say_data, say_notes
from hwsim.commands.options import (
    bits_option,
    check_widest,
    config_option,
    epsilons_option,
    in_units,
    json_option,
    loading,
    message_console,
    out_option,
    parse_names,
    progress_bar,
    result_console,
    say_range,
    typed_command,
)

if TYPE_CHECKING:
    from hwsim.networks.subject import DataChoice


@click.command("transfer")
@click.option(
    "--models",
    default="mnist-cnn,mnist-cnn-h16,mnist-cnn-h64",
    show_default=True,
    callback=parse_names,
    help="Networks of the zoo, paths of trained ones, images .hne, or files .onnx, .tflite, .pt2, "
    "file.py:function; each in float and on the engine.",
)
@click.option(
    "--attacks",
    default="fgsm,pgd,mi,mi-ni,mi-dim,mi-tim,mi-sim,sfgrm",
    show_default=True,
    callback=parse_names,
    help="fgsm, pgd, mi or sfgrm; behind the last two any of -ni, -dim, -tim, -sim.",
)
@epsilons_option("16/255,0.2,0.3")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Test images, spread evenly over all  [default: 200]",
)
@data_options
@config_option
@bits_option
@json_option
@out_option
def command(
    models: tuple[str, ...],
    attacks: tuple[str, ...],
    eps: list[float],
    samples: int | None,
    config: str | None,
    bits: int | None,
    json_path: Path | None,
    out: Path,
    choice: DataChoice,
) -> None:
    """Craft images on each network, in float and on the engine, and count them on all.

    Attacks: mi is MI-FGSM, sfgrm is S-FGRM; ni, dim, tim and sim add Nesterov's look-ahead,
    diverse inputs, translation and scale invariance. All take every step. What is done stays
    done: interrupted, the same command goes on, and with more attacks it adds them.

    \b
    Examples:
      hwsim transfer
      hwsim transfer --models mnist-cnn,mnist-cnn-h64 --attacks mi,sfgrm
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory, write_json

    check_widest(eps, *models)
    prepare_run_directory(out)
    if json_path is not None:
        prepare_json_path(json_path)
    screen, answer = message_console(), result_console()
    with loading(screen, "loading and compiling the networks") as on_progress:
        from hwsim.engine.space import space_of
        from hwsim.networks.subject import open_subjects
        from hwsim.report.transfer_report import render_screen, write_transfer
        from hwsim.runs.transfer import TransferSettings, TransferStudy

        subjects = open_subjects(models, config, bits, on_progress, choice)
        networks = [subject.network for subject in subjects]
        check_classes(networks)
        bounds = space_of(networks[0].program).bounds
        settings = TransferSettings(
            attacks,
            in_units(eps, bounds),
            subjects[0].count(samples, 200),
            command=typed_command(),
        )
        study = TransferStudy(settings, networks, subjects[0].test)
    folder = prepare_run_directory(out / study.name)
    partial = prepare_json_path(folder / "counts.json")
    with progress_bar(screen) as bar:
        task = bar.add_task("transfer", total=study.work)
        counted = study.count(partial, lambda done: bar.update(task, completed=done))
    with screen.status("drawing"):
        result = study.result(counted)
        paths = write_transfer(result, folder)
        if json_path is not None:
            write_json(result, json_path)
    render_screen(result, answer, paths)
    say_range(answer, bounds)
    say_notes(answer, *networks)
    say_data(answer, subjects[0].test)
