"""`hwsim transfer`: images crafted on each network, counted on all the others."""

from __future__ import annotations

import click

from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import (
    check_widest,
    epsilons_option,
    in_units,
    parse_names,
    progress_bar,
    typed_command,
)


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
@opening_options
def command(
    models: tuple[str, ...],
    attacks: tuple[str, ...],
    eps: list[float],
    samples: int | None,
    opening: Opening,
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
    check_widest(eps, *models)
    with opening.networks(*models) as opened:
        from hwsim.report.transfer_report import render_screen, write_transfer
        from hwsim.runs.transfer import TransferSettings, TransferStudy

        settings = TransferSettings(
            attacks,
            in_units(eps, opened.bounds),
            opened.subjects[0].count(samples, 200),
            command=typed_command(),
        )
        study = TransferStudy(settings, opened.networks, opened.test)
    folder, partial = opening.folder(study.name, "counts.json")
    with progress_bar(opening.screen) as bar:
        task = bar.add_task("transfer", total=study.work)
        counted = study.count(partial, lambda done: bar.update(task, completed=done))
    with opening.screen.status("drawing"):
        result = study.result(counted)
        paths = write_transfer(result, folder)
        opening.keep(result)
    render_screen(result, opening.answer, paths)
    opened.say(opening.answer)
