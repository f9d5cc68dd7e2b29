"""`hwsim prune`: iterative pruning with masked fine-tuning between the rounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands import training_options as options
from hwsim.commands.options import finite, message_console, progress_bar

if TYPE_CHECKING:
    from hwsim.defenses.pruning_rounds import Round

BATCH, LR = 128, 3e-4


@click.command("prune")
@click.argument("model")
@click.option(
    "--to",
    "compression",
    type=float,
    callback=finite,
    default=7.0,
    show_default=True,
    help="All weights by those left.",
)
@options.step_options("1 a round", str(LR), str(BATCH))
@options.seed_option
@options.data_options
@click.option(
    "--augment",
    type=float,
    callback=lambda c, p, v: None if v is None else finite(c, p, v),
    help="Also save the result with its last layer times this: logits augmentation.",
)
@options.name_option("MODEL-p7")
@options.out_option
def command(
    model: str,
    compression: float,
    augment: float | None,
    save_as: str | None,
    samples: int | None,
    data_note: str | None,
    out: Path,
    **given: Any,
) -> None:
    """Prune MODEL, a network of the zoo or the path of one, round by round.

    A round zeroes the smallest 10% of the nonzero weights of every fully connected layer and 5% of
    those of every convolution, real weights where they are hashed, and then trains the rest for
    --epochs while the zeros are held. Interrupted, the same command goes on.

    \b
    Examples:
      hwsim prune mnist-cnn --to 7 --samples 10000         M1 of the zoo
      hwsim prune mnist-cnn --to 7 --augment 8             M1 and M2, all images
      hwsim prune c0 --to 7                                C1 of the zoo
    """
    from hwsim.report.pages import prepare_run_directory

    prepare_run_directory(out)
    screen = message_console()
    with screen.status("loading torch"):
        from hwsim.defenses.augmentation import check_tau
        from hwsim.defenses.pruning_rounds import check_compression
        from hwsim.models.recipe import Recipe
        from hwsim.training.finetuning import folder_of, open_trained
        from hwsim.training.prune import augmented, prune_network
    check_compression(compression)
    if augment is not None:
        check_tau(augment)  # now rather than after an hour of training
    start = open_trained(model)[1]
    facts = start.recipe
    fields = {"epochs": 1, "batch": BATCH, "lr": LR, "seed": start.seed} | options.given(**given)
    recipe = Recipe(
        **fields, weight_decay=0.0, shift=facts.get("shift", 0), flip=facts.get("flip", False)
    )
    data = options.load_data(screen, start.dataset, samples, data_note)
    title = save_as or f"{start.name}-p{compression:g}"
    with progress_bar(screen) as bar:
        task = bar.add_task(title, total=None)

        def on_round(now: Round, rounds: int) -> None:
            text = f"{title} round {now.number}, {now.compression:.2f} times fewer"
            bar.update(task, description=text, total=rounds, completed=now.number - 1)

        card = prune_network(
            model, compression, recipe, data, folder_of(out), save_as=title, on_round=on_round
        )
    options.measured(screen, card, data, out)
    if augment is not None:
        card = augmented(
            str(out / title), augment, folder_of(out), data, save_as=f"{title}-a{augment:g}"
        )
        options.measured(screen, card, data, out)
