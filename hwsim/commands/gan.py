"""`hwsim gan`: images that nobody has drawn, with labels, to train networks with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands import training_options as options
from hwsim.commands.options import message_console, progress_bar, result_console
from hwsim.models.gan.recipe import DATASETS, GanRecipe

if TYPE_CHECKING:
    from hwsim.models.gan.files import GeneratorFile

#: Of a picture: images of each class.
ROWS = 10


@click.group("gan")
def command() -> None:
    """Make labelled images with a small DCGAN, and train networks with them.

    \b
    Examples:
      hwsim gan train mnist --samples 3000
      hwsim gan show mnist-dcgan-s0 --png digits.png
      hwsim train lenet5 --samples 3000 --generated mnist-dcgan-s0
    """


@command.command("train")
@click.argument("dataset", type=click.Choice(DATASETS))
@options.step_options("25", "0.002", "32")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
    help="Of initialisation, order and noise.",
)  # fmt: skip
@click.option(
    "--channels", type=click.IntRange(1, 256), default=16, show_default=True,
    help="Maps at 14x14 of both networks; twice as many at 7x7.",
)  # fmt: skip
@options.data_options
@options.name_option("DATASET-dcgan-sSEED")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/gan"), show_default=True,
    help="Folder for the generator, its picture and the checkpoint.",
)  # fmt: skip
def train(
    dataset: str,
    save_as: str | None,
    samples: int | None,
    data_note: str | None,
    out: Path,
    **given: Any,
) -> None:
    """Train a generator of DATASET; interrupted, the same command goes on.

    It is told which class to make, so that its images have labels. A finished epoch is kept; going
    on from it ends in the same weights. A minute and a half of one core for 3,000 images.

    \b
    Examples:
      hwsim gan train mnist --samples 3000 --seed 1
      hwsim gan train fashion-mnist --samples 10000 --epochs 15 --name clothes
    """
    from hwsim.report.pages import prepare_run_directory

    recipe = GanRecipe(**options.given(**given))
    prepare_run_directory(out)
    screen = message_console()
    data = options.load_data(screen, dataset, samples, data_note)
    title = save_as or f"{dataset}-dcgan-s{recipe.seed}"
    with screen.status("loading torch"):
        from hwsim.models.gan.make import make
        from hwsim.training.finetuning import folder_of
    steps = len(data.learn) // recipe.batch
    with progress_bar(screen) as bar:
        task = bar.add_task(title, total=steps * recipe.epochs)

        def on_batch(epoch: int, step: int, told: float, fooled: float) -> None:
            text = f"{title} epoch {epoch + 1}/{recipe.epochs} losses {told:.2f} {fooled:.2f}"
            bar.update(task, completed=epoch * steps + step + 1, description=text)

        made = make(title, recipe, data, folder_of(out), on_batch)
    _draw(made, out / f"{title}.png")
    _say(made, out / f"{title}.safetensors", out / f"{title}.png")


@command.command("show")
@click.argument("generator")
@click.option("--png", type=click.Path(path_type=Path), help="Draw some of its images here.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
    help="Of the images that are drawn.",
)  # fmt: skip
def show(generator: str, png: Path | None, seed: int) -> None:
    """What is known of GENERATOR, the name of one that ships or a file of ``hwsim gan train``.

    Example: hwsim gan show mnist-dcgan-s0 --png digits.png
    """
    with message_console().status("loading torch"):
        from hwsim.models.gan import files
    path = files.place(generator)
    found = files.load(path)
    if png is not None:
        _draw(found, png, seed)
    _say(found, path, png)


def _draw(made: GeneratorFile, path: Path, seed: int = 0) -> None:
    from hwsim.files.output import write_output
    from hwsim.models.datasets.known import CATALOG
    from hwsim.models.gan.files import sampled
    from hwsim.report.sheet import sheet_png

    names = CATALOG[made.dataset].classes
    images, _ = sampled(made.generator, ROWS * len(names), seed)
    write_output(path, sheet_png(images, names))


def _say(made: GeneratorFile, path: Path, png: Path | None) -> None:
    """All that its file tells."""
    from rich.text import Text

    facts, found = made.facts, made.facts["quality"]
    numbers = sum(parameter.numel() for parameter in made.generator.parameters())
    learnt = ", ".join(f"{name} {value:g}" for name, value in facts["recipe"].items())
    lines = {
        "learnt from": f"{facts['images']:,} images of {facts['dataset']}",
        "recipe": learnt,
        "parameters": f"{numbers:,}",
        "vary": f"{found['spread']:.2f} of the distance of two real images of a class",
        "nearest": f"{found['nearest']:.2f} of a test image's distance to what it learnt from",
        "digest": made.digest,
        "file": str(path),
    }
    if found["read"] is not None:
        lines["read as meant"] = (
            f"{100 * found['read']:.1f}% by {found['judge']}, real ones "
            f"{100 * found['read_real']:.1f}%"
        )
    if facts["note"]:
        lines["note"] = facts["note"]
    if png is not None:
        lines["picture"] = str(png)
    console = result_console()
    for name, text in lines.items():
        console.print(Text(f"{name:<14} {text}"), soft_wrap=True)
