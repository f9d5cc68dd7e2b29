"""`hwsim jsma-study`: which class is easily turned into which."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import (
    bits_option,
    config_option,
    finite,
    loading,
    message_console,
    out_option,
    progress_bar,
    result_console,
    typed_command,
)


@click.command("jsma-study")
@click.option(
    "--model",
    default="mnist-cnn-h64",
    show_default=True,
    help="Network of the zoo, path of a trained one, or image .hne.",
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
@config_option
@bits_option
@out_option
def command(
    model: str,
    per_class: int,
    theta: float,
    output: str,
    block: int,
    config: str | None,
    bits: int | None,
    out: Path,
) -> None:
    """Drive test images of each class to every other class with JSMA, float and fixed point.

    Shows success, distortion, hardness and adversarial distance by class pair as heatmaps, and
    HJSMA's success by the number of changed elements.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim jsma-study
      hwsim jsma-study --model mnist-cnn --per-class 20
      hwsim jsma-study --output logits --theta -1 --per-class 2
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.report.pages import prepare_run_directory

    prepare_run_directory(out)
    screen, answer = message_console(), result_console()
    with loading(screen, "loading and compiling the network") as on_progress:
        from hwsim.models.datasets.dataset import load_dataset
        from hwsim.networks.open import open_network
        from hwsim.report.jsma_report import render_study, write_study
        from hwsim.runs.classpairs import JsmaStudy, StudySettings

        network = open_network(model, config, bits, on_progress)
        test = load_dataset(network.dataset, "test", on_progress=on_progress)
        settings = StudySettings(
            model=model,
            per_class=per_class,
            theta=theta,
            output=output,
            block=block,
            command=typed_command(),
        )
        study = JsmaStudy(settings, network, test)
    folder = prepare_run_directory(out / study.name)
    partial = prepare_json_path(folder / "partial.json")
    with progress_bar(screen) as bar:
        task = bar.add_task(f"JSMA on {network.name}", total=2 * len(study.inputs))
        state = study.count(partial, lambda done, total: bar.update(task, completed=done))
    with screen.status("drawing"):
        result = study.result(state)
        paths = write_study(result, folder)
        partial.unlink(missing_ok=True)
    render_study(result, answer, paths)
