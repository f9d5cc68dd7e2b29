"""From a network to its weights and card: what ``hwsim train`` and its relatives call."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset, images_as_float, load_dataset
from hwsim.models.loop import Perturb, accuracy, train
from hwsim.models.recipe import Recipe
from hwsim.models.weight_format import round_weights

OnBatch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Data:
    """What a network learns from and what it is tested with.

    note: for the card. whole: whether ``learn`` is all of its split. drawn: the seed by which it
    was drawn, None for all and for what is spread evenly.
    """

    learn: Dataset
    test: Dataset
    note: str | None = None
    whole: bool = True
    drawn: int | None = None

    @staticmethod
    def load(name: str) -> Data:
        """Both splits of a data set."""
        return Data(load_dataset(name, "train"), load_dataset(name, "test"))

    def part(self, images: int) -> Data:
        """Learning from that many of the images only, spread evenly over the split."""
        return replace(self, learn=self.learn.take(images), whole=images == len(self.learn))

    def draw(self, images: int, seed: int) -> tuple[Data, Dataset]:
        """Learning from that many images at random, and the images that are left."""
        learn, rest = self.learn.drawn(images, seed)
        return replace(self, learn=learn, whole=not len(rest), drawn=seed), rest

    def facts(self) -> dict[str, int]:
        """What a card's recipe must say: how many images, if not all, and which, if drawn."""
        if self.whole:
            return {}
        drawn = {} if self.drawn is None else {"drawn": self.drawn}
        return {"images": len(self.learn)} | drawn

    @property
    def notes(self) -> str | None:
        """All that has to be said about these files, as one line."""
        found = [note for note in (self.note, self.learn.note, self.test.note) if note]
        return "; ".join(found) or None


@dataclass(frozen=True)
class Places:
    """out: folder of weights and card. checkpoints: where each finished epoch is kept."""

    out: Path
    checkpoints: Path = Path("runs/train")

    def checkpoint(self, name: str, learn: Dataset, part: str = "") -> Path:
        """It holds the digest of the data, so that a run never goes on with other data."""
        return self.checkpoints / name / f"{learn.name}-{learn.digest[:12]}{part}.safetensors"


@dataclass(frozen=True)
class Hooks:
    """What may stand around ordinary training; see ``hwsim.models.loop.train``.

    learner: what is trained, where that is not the network itself but something around it.
    """

    learner: nn.Module | None = None
    perturb: Perturb | None = None
    on_epoch: Callable[[int], None] = lambda epoch: None
    on_batch: OnBatch = lambda epoch, step, loss: None


def train_model(
    name: str,
    *,
    recipe: Recipe | None = None,
    data: Data | None = None,
    places: Places,
    save_as: str | None = None,
    hooks: Hooks | None = None,
) -> zoo.Card:
    """Train ``zoo.SPECS[name]``, test it, and save weights and card as ``save_as`` or ``name``.

    recipe, data: the spec's where None, of its data as many images as it says. The same call goes
    on from the last finished epoch, and ends in the same weights as if it had not been interrupted.

    Raises InputError for an unknown name, missing data, images of the wrong shape for the
    network, a checkpoint of another recipe, and folders that cannot be written.
    """
    spec = zoo.spec(name)
    recipe = recipe or spec.recipe
    module = zoo.build(name, recipe.seed).eval()
    writable(places.out)  # now rather than after minutes of training
    if data is None:
        data = Data.load(spec.dataset)
        data = data if spec.images is None else data.part(spec.images)
    card = card_of(save_as or name, spec, recipe, data)
    return teach(module, card, recipe, data, places, hooks or Hooks())


def card_of(name: str, spec: zoo.Spec, recipe: Recipe, data: Data) -> zoo.Card:
    """The card of ``spec`` trained by ``recipe``; ``teach`` fills in what only it can know."""
    special = recipe.adversarial is not None or recipe.sponge is not None
    ordinary = data.learn.name == spec.dataset and not special
    return zoo.Card(
        name=name,
        architecture=spec.architecture,
        scheme=spec.scheme,
        rate=spec.rate,
        seed=recipe.seed,
        hash_banks=spec.hash_banks,
        hash_seed=spec.hash_seed,
        stored=spec.stored,
        dataset=data.learn.name,
        dataset_digest=data.learn.digest,
        test_digest=data.test.digest,
        dataset_note=data.notes,
        recipe=recipe.facts() | data.facts(),
        test_accuracy=0.0,
        paper_accuracy=spec.paper_accuracy if ordinary else None,
        paper_note=spec.paper_note if ordinary else None,
    )


def teach(
    module: nn.Module, card: zoo.Card, recipe: Recipe, data: Data, places: Places, hooks: Hooks
) -> zoo.Card:
    """Train ``module`` and save it with ``card``, whose recipe identifies the checkpoint."""
    writable(places.out)
    check_shape(module, card.name, data.learn)
    with_checkpoint(
        module, card, recipe, data.learn, places.checkpoint(card.name, data.learn), hooks
    )
    return finish(module, card, data.test, places)


def with_checkpoint(
    module: nn.Module,
    card: zoo.Card,
    recipe: Recipe,
    learn: Dataset,
    checkpoint: Path,
    hooks: Hooks,
) -> None:
    """``hwsim.models.loop.train`` on a data set. Raises InputError where ``checkpoint`` cannot
    be.
    """
    train(
        hooks.learner or module,
        as_tensor(learn),
        torch.from_numpy(learn.labels),
        recipe,
        checkpoint=checkpoint,
        facts=card.recipe,
        perturb=hooks.perturb,
        on_epoch=hooks.on_epoch,
        on_batch=hooks.on_batch,
    )


def finish(module: nn.Module, card: zoo.Card, test: Dataset, places: Places) -> zoo.Card:
    """Round the weights as they will be stored, count the hits, save."""
    module.eval()
    images, labels = as_tensor(test), torch.from_numpy(test.labels)
    found: dict[str, float] = {}
    if card.stored == "int8":  # the stored network is its 8-bit ROM: what did that cost?
        found["unrounded_accuracy"] = accuracy(module, images, labels)
    round_weights(module, card.stored)
    found["test_accuracy"] = accuracy(module, images, labels)
    return zoo.save(module, card.model_copy(update=found), places.out)


def check_shape(module: nn.Module, name: str, learn: Dataset) -> None:
    """Raise InputError if the network does not take these images."""
    try:
        with torch.no_grad():
            module.eval()(as_tensor(learn.take(1)))
    except RuntimeError:
        shape = tuple(learn.images.shape[1:])
        raise InputError(f"{name} does not take {learn.name} images of shape {shape}") from None


def writable(folder: Path) -> None:
    """Make ``folder``; raise InputError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        allowed = os.access(folder, os.W_OK)
    except OSError:
        allowed = False
    if not allowed:
        raise InputError(f"{folder}: cannot write there; choose another output folder")


def as_tensor(dataset: Dataset) -> Tensor:
    """Images (N, C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(images_as_float(dataset))
