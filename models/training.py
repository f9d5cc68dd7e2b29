"""Train a network of the zoo from its name to its card: what ``hwsim train`` calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hwsim.errors import InputError
from models import zoo
from models.data import Dataset, images_as_float, load_dataset
from models.train import Recipe, accuracy, train


def train_model(
    name: str,
    *,
    recipe: Recipe | None = None,
    dataset: str | tuple[Dataset, Dataset] | None = None,
    data_note: str | None = None,
    out_dir: Path,
    checkpoint_dir: Path = Path("runs/train"),
    on_batch: Callable[[int, int, float], None] = lambda epoch, step, loss: None,
) -> zoo.Card:
    """Train ``zoo.SPECS[name]``, test it, and save weights and card in ``out_dir``.

    recipe, dataset: the spec's where None; dataset is a name or the (train, test) splits.
    data_note: a sentence about these files for the card. on_batch(epoch, step, loss): after every
    batch.
    Each finished epoch is kept in ``checkpoint_dir/name``; the same call goes on from there, and
    ends in the same weights as if it had not been interrupted. The checkpoint's name holds the
    digest of the training data, so that a run never goes on with other data.

    Raises InputError for an unknown name, missing data, images of the wrong shape for the
    network, a checkpoint of another recipe, and folders that cannot be written.
    """
    spec = zoo.spec(name)
    recipe = recipe or spec.recipe
    module = zoo.build(name, recipe.seed).eval()
    _writable(out_dir)  # now rather than after minutes of training
    dataset = dataset or spec.dataset
    if isinstance(dataset, str):
        learn, test = load_dataset(dataset, "train"), load_dataset(dataset, "test")
    else:
        learn, test = dataset
    try:
        with torch.no_grad():
            module(_images(learn.take(1)))
    except RuntimeError:
        shape = tuple(learn.images.shape[1:])
        raise InputError(f"{name} does not take {learn.name} images of shape {shape}") from None
    checkpoint = checkpoint_dir / name / f"{learn.name}-{learn.digest[:12]}.safetensors"
    try:
        train(
            module,
            _images(learn),
            torch.from_numpy(learn.labels),
            recipe,
            checkpoint=checkpoint,
            on_batch=on_batch,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{checkpoint}: cannot write the checkpoint: {reason}") from None
    zoo.round_weights(module, spec.stored)
    hits = accuracy(module, _images(test), torch.from_numpy(test.labels))
    return zoo.save(module, make_card(name, recipe, learn, test, hits, data_note), out_dir)


def make_card(
    name: str,
    recipe: Recipe,
    learn: Dataset,
    test: Dataset,
    test_accuracy: float,
    data_note: str | None = None,
) -> zoo.Card:
    """The card of ``zoo.SPECS[name]`` trained by ``recipe``; ``zoo.save`` completes it."""
    spec = zoo.SPECS[name]
    notes = [note for note in (data_note, learn.note, test.note) if note]
    published = learn.name == spec.dataset
    return zoo.Card(
        name=name,
        architecture=spec.architecture,
        scheme=spec.scheme,
        rate=spec.rate,
        seed=recipe.seed,
        hash_banks=spec.hash_banks,
        hash_seed=spec.hash_seed,
        stored=spec.stored,
        dataset=learn.name,
        dataset_digest=learn.digest,
        test_digest=test.digest,
        dataset_note="; ".join(notes) or None,
        recipe=recipe.facts(),
        test_accuracy=test_accuracy,
        paper_accuracy=spec.paper_accuracy if published else None,
        paper_note=spec.paper_note if published else None,
    )


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        allowed = os.access(folder, os.W_OK)
    except OSError:
        allowed = False
    if not allowed:
        raise InputError(f"{folder}: cannot write there; choose another output folder")


def _images(dataset: Dataset) -> Tensor:
    return torch.from_numpy(images_as_float(dataset))
