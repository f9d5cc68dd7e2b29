"""A trained network pruned with masked fine-tuning, and its card: what ``hwsim prune`` calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import nn

from hwsim.defenses.augmentation import augment_module
from hwsim.defenses.pruning_rounds import Round
from hwsim.defenses.retraining import prune_and_retrain, remaining
from hwsim.models import zoo
from hwsim.models.recipe import Recipe
from hwsim.models.train_network import (
    Data,
    Hooks,
    OnBatch,
    Places,
    check_shape,
    finish,
    with_checkpoint,
    writable,
)
from hwsim.training.finetuning import derived_card, open_trained


def prune_network(
    start: str,
    compression: float,
    recipe: Recipe,
    data: Data,
    places: Places,
    *,
    save_as: str,
    on_round: Callable[[Round, int], None] = lambda now, rounds: None,
    on_batch: OnBatch = lambda epoch, step, loss: None,
) -> zoo.Card:
    """Prune the network ``start`` to 1/compression of its weights and save it as ``save_as``.

    recipe: of the fine-tuning after each round, ``recipe.epochs`` epochs of it, whose learning
    rate rises and falls in every round. on_round(round, rounds in all): called before it.
    Interrupted, the same call goes on from the last finished epoch. Raises InputError as
    ``train_model`` does, and for a compression that cannot be reached.
    """
    module, card = open_trained(start)
    writable(places.out)
    check_shape(module, card.name, data.learn)
    total = len(remaining(module, compression))
    wanted = {"to": compression}
    card = derived_card(card, save_as, recipe, data, pruning=wanted)

    def epochs(number: int) -> Path:
        return places.checkpoint(save_as, data.learn, f"-round-{number}")

    def retrain(module: nn.Module, now: Round) -> None:
        on_round(now, total)
        # Another order of the images in every round.
        of_round = dataclasses.replace(recipe, seed=recipe.seed + now.number)
        here, hooks = epochs(now.number), Hooks(on_batch=on_batch)
        # Only now is the round before kept as a whole, whoever was killed in between.
        epochs(now.number - 1).unlink(missing_ok=True)
        with_checkpoint(module, card, of_round, data.learn, here, hooks)

    last = prune_and_retrain(
        module, compression, retrain,
        state=places.checkpoint(save_as, data.learn, "-rounds"), facts=card.recipe,
    )  # fmt: skip
    epochs(last.number).unlink(missing_ok=True)
    reached = {"rounds": last.number, "left": last.left, "reached": last.compression}
    done = card.model_copy(update={"recipe": card.recipe | {"pruning": wanted | reached}})
    return finish(module, done, data.test, places)


def augmented(start: str, tau: float, places: Places, data: Data, *, save_as: str) -> zoo.Card:
    """The network ``start`` with the weights and biases of its last layer times tau (M2, C2)."""
    module, card = open_trained(start)
    writable(places.out)
    recipe = card.recipe | {"augmentation": tau}
    changes = dict(name=save_as, recipe=recipe, fixed_accuracy={})
    card = zoo.Card.model_validate(card.model_dump() | changes)
    return finish(augment_module(module, tau), card, data.test, places)
