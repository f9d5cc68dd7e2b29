"""Members and others: images that a network was trained on, and images that it never saw."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from hwsim.errors import InputError
from hwsim.importer.names import is_foreign, is_image
from hwsim.models import zoo
from hwsim.models.datasets.dataset import load_dataset
from hwsim.models.datasets.fetch import Progress
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import place
from hwsim.networks.own_data import OwnData
from hwsim.networks.subject import OpenedNetwork, images_of, silent


def sides_of_card(
    model: str, opened: OpenedNetwork, on_progress: Progress = silent
) -> tuple[Samples, Samples]:
    """Of a network with a card: the training images that it learnt from, and its test images.

    Of a card that says ``images`` it learnt from that many, spread evenly over the split or, if it
    says ``drawn``, at random; others are then training images that were left, if there are as many.
    Raises
    InputError where no card says which images were learnt from.
    """
    source = model
    if is_image(model):
        source = str(opened.network.program.provenance.get("model") or "")
    if not source or is_foreign(source):
        raise InputError(
            f"{model}: nothing says which images it was trained on: give --members and --others, "
            ".npz files with x and y"
        )
    card = zoo.card(*place(source))
    learnt = load_dataset(card.dataset, "train", on_progress=on_progress)
    if learnt.digest != card.dataset_digest:
        raise InputError(
            f"{model}: was trained on other files of {card.dataset} than these, so that these are "
            "no members: give --members and --others, .npz files with x and y"
        )
    count = card.recipe.get("images")
    if not isinstance(count, int):
        return learnt, opened.test
    if isinstance(seed := card.recipe.get("drawn"), int):
        members, left = learnt.drawn(count, seed)
        return members, (left if len(left) >= count else opened.test)
    return learnt.take(count), opened.test


def sides_of_files(model: str, opened: OpenedNetwork, others: Path) -> tuple[Samples, Samples]:
    """Of a user's files, as the network takes them; those that it was opened with are members."""
    return opened.test, images_of(model, opened.network.program, others)[1]


def check_sides(members: Samples, others: Samples) -> None:
    """Raises InputError for samples without labels, and for the same samples on both sides.

    The network's own answers would stand for labels, so that it is right about that side by
    definition, and every attack finds that. Of the same samples nothing can be told.
    """
    for side in (members, others):
        if isinstance(side, OwnData) and not side.labelled:
            raise InputError(
                f"{side.source}: has no labels, and attacks on membership compare answers with "
                "them: save x and y"
            )
    if members.digest == others.digest:
        raise InputError(
            f"{others.source}: holds the same samples as the members: give samples that were not "
            "trained on"
        )


def repeated(members: Tensor, others: Tensor) -> int:
    """How many of the others are members, too, value by value: of those nothing can be told."""
    known = {one.numpy().tobytes() for one in members}
    return sum(one.numpy().tobytes() in known for one in others)


def alike(members: Samples, others: Samples, asked: int | None, usual: int) -> int:
    """How many of each: as asked, else the usual number or all of fewer. Raises InputError."""
    most = min(len(members), len(others))
    if asked is not None and asked > most:
        raise InputError(
            f"{asked} members and as many others asked for: there are {len(members)} and "
            f"{len(others)}"
        )
    return min(usual, most) if asked is None else asked
