"""A trained network taken further: on its engine, against an attack, or both."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.recipe import Recipe
from hwsim.models.train_network import Data, Hooks, OnBatch, Places, teach
from hwsim.networks.open import CALIBRATION_IMAGES, pixels, place
from hwsim.numbers.config import EngineConfig
from hwsim.training.adversarial import perturbation
from hwsim.training.trainable import TrainableEngine


def open_trained(name: str) -> tuple[nn.Module, zoo.Card]:
    """Weights and card of a network of the zoo, or of one that ``hwsim train`` wrote, by path."""
    where = place(name)
    return zoo.load(*where), zoo.card(*where)


def derived_card(
    start: zoo.Card,
    name: str,
    recipe: Recipe,
    data: Data,
    stored: zoo.Stored = "bfloat16",
    **facts: Any,
) -> zoo.Card:
    """The card of what is made from ``start``: no paper's, and no longer measured.

    facts: what was done beside the recipe; they identify a checkpoint.
    """
    note = data.notes
    if data.note is None and data.learn.digest == start.dataset_digest:
        note = start.dataset_note  # what was known of the same files
    made_from = {"start": start.name, "start_sha256": start.sha256}
    changes = {
        "name": name,
        "stored": stored,
        "recipe": recipe.facts() | data.facts() | made_from | facts,
        "dataset_digest": data.learn.digest,
        "test_digest": data.test.digest,
        "dataset_note": note,
        "test_accuracy": 0.0,
        "unrounded_accuracy": None,
        "fixed_accuracy": {},
        "paper_accuracy": None,
        "paper_note": None,
    }
    return zoo.Card.model_validate(start.model_dump() | changes)


def finetune(
    start: str,
    recipe: Recipe,
    data: Data,
    places: Places,
    *,
    save_as: str,
    hardware: EngineConfig | None = None,
    on_batch: OnBatch = lambda epoch, step, loss: None,
) -> zoo.Card:
    """Train the network ``start`` on, and save it as ``save_as``.

    hardware: the engine whose integer datapath is its forward pass; None for the float network.
    The binary points are chosen anew before every epoch. Raises InputError as ``train_model`` does.
    """
    module, card = open_trained(start)
    facts: dict[str, Any] = {}
    stored: zoo.Stored = "bfloat16"
    hooks = Hooks(perturb=perturbation(recipe), on_batch=on_batch)
    if hardware is not None:
        recipe = dataclasses.replace(recipe, precision="float32")
        stored = "float32"  # the words that were learnt are those of the weights as they are
        widths = {"act_w", "wgt_w", "acc_w", "mult_w"}
        facts["hardware"] = hardware.model_dump(include=widths)
        learner = TrainableEngine(module, pixels(calibration(data.learn)), hardware)
        hooks = dataclasses.replace(hooks, learner=learner, on_epoch=lambda epoch: learner.refit())
    card = derived_card(card, save_as, recipe, data, stored, **facts)
    return teach(module, card, recipe, data, places, hooks)


def calibration(learn: Dataset) -> Dataset:
    """The training images from which binary points are chosen."""
    return learn.take(min(CALIBRATION_IMAGES, len(learn)))


def folder_of(out: Path) -> Places:
    """Where a command writes: weights and card in ``out``, checkpoints below it."""
    return Places(out, out / "checkpoints")
