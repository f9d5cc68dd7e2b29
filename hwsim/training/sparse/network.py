"""A network of the zoo compressed, and its card: what ``hwsim safecompress`` calls."""

from __future__ import annotations

import dataclasses

import torch

from hwsim.models import zoo
from hwsim.models.allocation import allocation
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.train_network import (
    Data,
    Places,
    as_tensor,
    card_of,
    check_shape,
    finish,
    writable,
)
from hwsim.training.sparse.compress import compress
from hwsim.training.sparse.loop import OnStep, silent
from hwsim.training.sparse.settings import Settings, method_of
from hwsim.training.sparse.sides import Labelled, TargetData, split


def drawn(data: Data, members: int, seed: int) -> tuple[Data, TargetData]:
    """That many training images, drawn, and the halves of those and of as many others.

    Others are training images that were not drawn; test images where too few are left, for their
    distribution may be another one, which an attacker would take for membership.
    """
    part, rest = data.draw(members, seed)
    others = rest if len(rest) >= members else data.test
    return part, split(_labelled(part.learn), _labelled(others), seed)


def _labelled(data: Dataset) -> Labelled:
    return Labelled(as_tensor(data), torch.from_numpy(data.labels))


def compress_network(
    name: str,
    method: str,
    data: Data,
    sides: TargetData,
    places: Places,
    settings: Settings,
    *,
    save_as: str,
    density: float = 0.1,
    seed: int = 0,
    on_step: OnStep = silent,
) -> zoo.Card:
    """Train the architecture of ``zoo.SPECS[name]`` by a method of ``compress`` and save it.

    The plain network, whatever hashing the name has: masks or words are what compresses. data,
    sides: of ``drawn``. seed: of masks, candidates, attackers; the weights begin from
    ``settings.recipe.seed``. The card keeps
    ``compress``'s facts as ``sparse``. Interrupted, the same call goes on from the last finished
    epoch. Raises InputError as ``compress`` and ``train_model`` do.
    """
    hashed = method_of(method, settings).starts == "hashed"
    spec = zoo.spec(name)
    plain = dataclasses.replace(spec, scheme="dense", rate=1.0)
    network = zoo.build_spec(plain, settings.recipe.seed)
    writable(places.out)
    check_shape(network, name, data.learn)
    made = compress(
        method, network, sides, settings, density=density, seed=seed,
        state=places.checkpoint(save_as, data.learn), on_step=on_step,
    )  # fmt: skip
    if hashed:
        plain = dataclasses.replace(plain, scheme="xxh32", rate=density, hash_seed=seed)
    kept = dataclasses.replace(plain, stored="float32", paper_accuracy=None, paper_note=None)
    card = card_of(save_as, kept, settings.recipe, data)
    told = settings.facts() | made.facts | {"seed": seed}
    del told["recipe"]  # stands beside it
    words = allocation(made.module) if made.facts["updates"] and hashed else {}
    card = card.model_copy(update={"recipe": card.recipe | {"sparse": told}, "words": words})
    return finish(made.module, card, data.test, places)
