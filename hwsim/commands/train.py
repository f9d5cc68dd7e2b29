"""`hwsim train`: make a network of the zoo anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from hwsim.commands import training_options as options
from hwsim.commands.options import message_console


@click.command("train")
@click.argument("name")
@options.step_options("the network's", "the network's", "the network's")
@options.seed_option
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    help="bfloat16 is faster where the CPU has it  [default: bfloat16]",
)
@options.adversarial_options
@options.sponge_option
@options.generated_option
@options.data_options
@options.name_option("NAME, with the attack")
@options.out_option
def command(
    name: str,
    save_as: str | None,
    samples: int | None,
    data_note: str | None,
    out: Path,
    adversarial: str | None,
    epsilon: float | None,
    steps: int | None,
    share: float | None,
    sponge: Any,
    generated: Any,
    **given: Any,
) -> None:
    """Train the network NAME by its recipe; interrupted, the same command goes on.

    Every option replaces one number of the recipe that `hwsim zoo show NAME` prints. A finished
    epoch is kept; going on from it ends in the same weights.

    \b
    Examples:
      hwsim train mnist-cnn-h16 --epochs 12
      hwsim train mnist-cnn --adversarial pgd --epsilon 0.1
      hwsim train mnist-cnn-h16-banked --sponge 5
      hwsim train lenet5 --samples 3000 --generated mnist-dcgan-s0
      hwsim attack hfgsm --model runs/zoo/mnist-cnn-h16
    """
    from hwsim.models import zoo
    from hwsim.report.pages import prepare_run_directory

    if name not in zoo.SPECS:
        raise click.ClickException(f"unknown model {name!r}: choose from {', '.join(zoo.SPECS)}")
    attacked = options.adversary(adversarial, epsilon, steps, share)
    prepare_run_directory(out)
    screen = message_console()
    asked = options.given(**given)
    recipe = zoo.SPECS[name].recipe
    recipe = recipe.lasting(asked.pop("epochs", recipe.epochs))
    recipe = dataclasses.replace(recipe, **asked, adversarial=attacked, sponge=sponge)
    title = save_as or name + (f"-{adversarial}" if adversarial else "")
    title = save_as or title + ("-sponge" if sponge else "") + ("-gan" if generated else "")
    spec = zoo.SPECS[name]
    data = options.load_data(screen, spec.dataset, samples or spec.images, data_note, generated)
    with screen.status("loading torch"):
        from hwsim.models.train_network import Hooks, train_model
        from hwsim.training.adversarial import perturbation
        from hwsim.training.finetuning import folder_of
    images = len(data.learn)
    with options.training_bar(screen, title, images, recipe.batch, recipe.epochs) as on_batch:
        card = train_model(
            name,
            recipe=recipe,
            data=data,
            places=folder_of(out),
            save_as=title,
            hooks=Hooks(perturb=perturbation(recipe), on_batch=on_batch),
        )
    options.measured(screen, card, data, out)
