"""`hwsim train`: make a network of the zoo anew."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from hwsim.commands.options import progress_bar


@click.command("train")
@click.argument("name")
@click.option("--epochs", type=click.IntRange(1), default=12, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=3e-3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--precision", type=click.Choice(["bfloat16", "float32"]), default="bfloat16", show_default=True
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/zoo"), show_default=True,
    help="Folder for the weights and the card.",
)  # fmt: skip
def command(
    name: str, epochs: int, batch: int, lr: float, seed: int, precision: str, out: Path
) -> None:
    """Train the network NAME; interrupted, the same command goes on from the last epoch.

    Example: hwsim train mnist-cnn-h16 --epochs 12
    """
    from hwsim.report import prepare_run_directory
    from models import zoo
    from models.data import load_dataset
    from models.train import Recipe
    from models.training import train_model

    zoo.build(name)  # an unknown name is refused before any data is fetched
    prepare_run_directory(out)
    recipe = Recipe(epochs=epochs, batch=batch, lr=lr, seed=seed, precision=precision)
    learn, test = load_dataset("mnist", "train"), load_dataset("mnist", "test")
    console = Console(stderr=True)
    steps = -(-len(learn) // batch)
    with progress_bar(console) as bar:
        task = bar.add_task(name, total=steps * epochs)

        def on_batch(epoch: int, step: int, loss: float) -> None:
            done = epoch * steps + step + 1
            bar.update(
                task,
                completed=done,
                description=f"{name} epoch {epoch + 1}/{epochs} loss {loss:.3f}",
            )

        card = train_model(
            name, recipe=recipe, dataset=(learn, test), out_dir=out, on_batch=on_batch
        )
    click.echo(
        f"{name}: test accuracy {100 * card.test_accuracy:.2f}%  ->  {out}/{name}.safetensors"
    )
    if card.dataset_note:
        click.echo(f"note: {card.dataset_note}")
