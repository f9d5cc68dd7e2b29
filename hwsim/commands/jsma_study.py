"""`hwsim jsma-study`: which class is easily turned into which."""

from __future__ import annotations

import click

from hwsim.commands.data_options import MODEL
from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import finite, progress_bar, typed_command


@click.command("jsma-study")
@click.option(
    "--model",
    default="mnist-cnn-h64",
    show_default=True,
    help=MODEL[0].upper() + MODEL[1:] + ".",
)
@click.option(
    "--per-class",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Test images of each class; each is searched once for every other class, on float and "
    "on the engine.",
)
@click.option(
    "--theta",
    type=float,
    default=1.0,
    show_default=True,
    callback=finite,
    help="Change of a value, -1 … 1 but not 0; negative darkens.",
)
@click.option(
    "--output",
    type=click.Choice(["logits", "probabilities"]),
    default="probabilities",
    show_default=True,
    help="What the saliency map differentiates. logits: as published.",
)
@click.option(
    "--block",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Iterations on one map before it is computed anew. 1: as published.",
)
@opening_options
def command(
    model: str,
    per_class: int,
    theta: float,
    output: str,
    block: int,
    opening: Opening,
) -> None:
    """Drive test images of each class to every other class with JSMA, float and fixed point.

    Shows success, distortion, hardness and adversarial distance by class pair as heatmaps, and
    HJSMA's success by the number of changed elements.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim jsma-study
      hwsim jsma-study --model mnist-cnn --per-class 20
      hwsim jsma-study --model net.onnx --data x.npz --per-class 3
      hwsim jsma-study --output logits --theta -1 --per-class 2
    """
    with opening.networks(model) as opened:
        from hwsim.report.jsma_report import render_study, write_study
        from hwsim.runs.classpairs import JsmaStudy, StudySettings

        (network,) = opened.networks
        settings = StudySettings(
            model=model,
            per_class=per_class,
            theta=theta,
            output=output,
            block=block,
            command=typed_command(),
        )
        study = JsmaStudy(settings, network, opened.test)
    folder, partial = opening.folder(study.name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(f"JSMA on {network.name}", total=2 * len(study.inputs))
        state = study.count(partial, lambda done, total: bar.update(task, completed=done))
    with opening.screen.status("drawing"):
        result = study.result(state)
        paths = write_study(result, folder)
        opening.keep(result)
        partial.unlink(missing_ok=True)
    render_study(result, opening.answer, paths)
    opened.say(opening.answer)
