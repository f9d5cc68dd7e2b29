"""`hwsim finetune`: train a network on, through its engine or against an attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hwsim.commands import training_options as options
from hwsim.commands.options import bits_option, config_option, message_console

#: Small steps: the network is good already.
EPOCHS, BATCH, LR = 1, 128, 1e-4


@click.command("finetune")
@click.argument("model")
@click.option("--hardware", is_flag=True, help="Learn through the engine's integer datapath.")
@config_option
@bits_option
@options.step_options(str(EPOCHS), str(LR), str(BATCH))
@options.seed_option
@options.adversarial_options
@options.generated_option
@options.data_options
@options.name_option("MODEL-tuned")
@options.out_option
def command(
    model: str,
    hardware: bool,
    config: str | None,
    bits: int | None,
    save_as: str | None,
    samples: int | None,
    data_note: str | None,
    out: Path,
    adversarial: str | None,
    epsilon: float | None,
    steps: int | None,
    share: float | None,
    generated: Any,
    **given: Any,
) -> None:
    """Train MODEL on: a network of the zoo, or the path of one.

    With --hardware every forward pass is the engine's, bit for bit, and the real weights learn by
    its straight-through gradient: what rounding costs at few bits is learnt back. With
    --adversarial the batches hold images of an attack; with both, of an attack on the engine.

    \b
    Examples:
      hwsim finetune mnist-cnn-h64 --hardware --bits 4 --samples 10000
      hwsim finetune mnist-cnn --adversarial pgd --epsilon 0.1 --epochs 3
    """
    from hwsim.numbers.config import load_config
    from hwsim.report.pages import prepare_run_directory

    if not hardware and (config or bits):
        raise click.UsageError("--config and --bits are options of --hardware: name that too")
    attacked = options.adversary(adversarial, epsilon, steps, share)
    prepare_run_directory(out)
    engine = load_config(config or "default")
    engine = engine if bits is None else engine.with_bits(bits)
    if hardware and engine.act_w != engine.wgt_w:
        raise click.UsageError(
            f"{config} has {engine.act_w}-bit activations and {engine.wgt_w}-bit weights: "
            "--hardware wants one width, name it with --bits"
        )
    screen = message_console()
    with screen.status("loading torch"):
        from hwsim.models.recipe import Recipe
        from hwsim.training.finetuning import finetune, folder_of, open_trained
    start = open_trained(model)[1]
    facts = start.recipe
    fields = {"epochs": EPOCHS, "batch": BATCH, "lr": LR, "seed": start.seed} | options.given(
        **given
    )
    recipe = Recipe(
        **fields, weight_decay=0.0, shift=facts.get("shift", 0), flip=facts.get("flip", False),
        adversarial=attacked,
    )  # fmt: skip
    data = options.load_data(screen, start.dataset, samples, data_note, generated)
    title = save_as or f"{start.name}-tuned"
    images = len(data.learn)
    with options.training_bar(screen, title, images, recipe.batch, recipe.epochs) as on_batch:
        card = finetune(
            model,
            recipe,
            data,
            folder_of(out),
            save_as=title,
            hardware=engine if hardware else None,
            on_batch=on_batch,
        )
    width = engine.wgt_w if hardware else 8
    options.measured(screen, card, data, out, width, config or "default")
