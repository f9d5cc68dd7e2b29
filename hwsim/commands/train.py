"""`hwsim train`: make a network of the zoo anew."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.options import finite, loading, message_console, progress_bar


@click.command("train")
@click.argument("name")
@click.option(
    "--epochs", type=click.IntRange(1), default=12, show_default=True, help="Passes over the data."
)
@click.option(
    "--batch", type=click.IntRange(1), default=256, show_default=True, help="Images a step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    default=3e-3,
    show_default=True,
    help="Peak learning rate of the one-cycle schedule.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of initialisation, order and augmentation.",
)
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    default="bfloat16",
    show_default=True,
    help="bfloat16 is faster where the CPU has it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/zoo"),
    show_default=True,
    help="Folder for weights, card and checkpoints.",
)
def command(
    name: str, epochs: int, batch: int, lr: float, seed: int, precision: str, out: Path
) -> None:
    """Train the network NAME; interrupted, the same command goes on from the last epoch.

    \b
    Examples:
      hwsim train mnist-cnn-h16 --epochs 12
      hwsim attack hfgsm --model runs/zoo/mnist-cnn-h16
    """
    from hwsim.report import prepare_run_directory
    from models import zoo

    if name not in zoo.SPECS:
        raise click.ClickException(f"unknown model {name!r}: choose from {', '.join(zoo.SPECS)}")
    prepare_run_directory(out)
    screen = message_console()
    with loading(screen, "loading the data") as on_progress:
        from models.data import load_dataset
        from models.train import Recipe
        from models.training import train_model

        recipe = Recipe(epochs=epochs, batch=batch, lr=lr, seed=seed, precision=precision)
        learn = load_dataset("mnist", "train", on_progress=on_progress)
        test = load_dataset("mnist", "test", on_progress=on_progress)
    steps = -(-len(learn) // batch)
    with progress_bar(screen) as bar:
        task = bar.add_task(name, total=steps * epochs)

        def on_batch(epoch: int, step: int, loss: float) -> None:
            done = epoch * steps + step + 1
            text = f"{name} epoch {epoch + 1}/{epochs} loss {loss:.3f}"
            bar.update(task, completed=done, description=text)

        card = train_model(
            name,
            recipe=recipe,
            dataset=(learn, test),
            out_dir=out,
            checkpoint_dir=out / "checkpoints",
            on_batch=on_batch,
        )
    click.echo(f"{out / name}.safetensors: {100 * card.test_accuracy:.2f}% of {len(test):,} images")
    if card.dataset_note:
        click.echo(f"note: {card.dataset_note}")
