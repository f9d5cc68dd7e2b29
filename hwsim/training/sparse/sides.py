"""Who is a member and who is not: halves for the tester inside the training, and for the judge.

Drawn before anything is trained. What the tester asks is never asked by whoever judges the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.membership.splits import even_order
from hwsim.errors import InputError
from hwsim.models.checkpoint import content_digest


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples of one side.

    images: (N, …) float32, as the network takes them. labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise InputError(f"{len(self.images)} samples with {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, chosen: Tensor | slice) -> Labelled:
        """The samples with these numbers."""
        return Labelled(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Sides:
    """Members and non-members, equally many: chance is 50%."""

    members: Labelled
    others: Labelled

    def __len__(self) -> int:
        """Samples of each side."""
        return len(self.members)

    def first(self, count: int) -> Sides:
        """At most ``count`` samples of each side; both are in random order, the classes evenly
        spread (``even_order``), so that pieces of a pair have equal shares of each.
        """
        return Sides(self.members.at(slice(count)), self.others.at(slice(count)))


@dataclass(frozen=True, eq=False)
class TargetData:
    """What a network is trained on, and who is asked about it.

    learn: all training samples T. tester: halves of T and of the reference set R for tests during
    the training. judge: the other halves, for the attack that is reported.
    """

    learn: Labelled
    tester: Sides
    judge: Sides

    def digest(self) -> str:
        """SHA-256 of all samples, in their order."""
        parts = {
            f"{name}.{field}": getattr(side, field)
            for name, side in (
                ("learn", self.learn),
                ("members", self.tester.members),
                ("others", self.tester.others),
            )
            for field in ("images", "labels")
        }
        return content_digest(parts, {})


def split(learn: Labelled, others: Labelled, seed: int = 0) -> TargetData:
    """Halves of both sides, the larger side cut to the smaller.

    Parameters
    ----------
    learn : Labelled
        T, what the network will be trained on.
    others : Labelled
        R, which it will never see.
    seed : int
        Of the draw.

    Returns
    -------
    TargetData
        ``tester`` and ``judge`` with min(|T|, |R|) // 2 samples of each side.

    Raises
    ------
    InputError
        Where one side has fewer than 20 samples.
    """
    count = min(len(learn), len(others)) // 2
    if count < 10:
        raise InputError(
            f"{len(learn)} members and {len(others)} others are too few to attack: 20 of each are "
            "needed"
        )
    generator = torch.Generator().manual_seed(seed)
    orders = [even_order(side.labels, generator) for side in (learn, others)]
    pairs = [
        Sides(learn.at(orders[0][part]), others.at(orders[1][part]))
        for part in (slice(count), slice(count, 2 * count))
    ]
    return TargetData(learn, *pairs)
