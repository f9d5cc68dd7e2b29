"""Which samples an attacker may learn and choose on, and which judge him: fixed by a seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_count
from hwsim.attacks.core.errors import AttackError

#: Samples of each kind below which nothing is learnt, chosen and judged.
LEAST = 10


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into N samples, int64, disjoint, together all of them.

    known: whose membership the attacker knows; he learns on 80% of them and chooses epoch and
    threshold on the rest. judged: what is reported.
    """

    known: Tensor
    judged: Tensor


def even_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """A random order (N,) of samples in which every piece has its share of each class, to within 2.

    Halves of a plain permutation differ by chance, and against each other: a class that has more
    members in the half that an attacker knows has fewer in the other. Attackers that see the label
    learn the first and are judged by the second, below 50% where there is nothing else to see.
    """
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        ranks = torch.randperm(len(own), generator=generator)
        place[own] = (ranks + shift) / len(own)
    return place.argsort(stable=True)


def halves(labels: Tensor, seed: int) -> Split:
    """A random half each, class by class, of as many members or others.

    labels: (N,) int64. Raises AttackError below LEAST samples.
    """
    check_count(seed, "seed", 0)
    count = len(labels)
    if count < LEAST:
        raise AttackError(
            f"{count} samples are too few to learn from and to be judged on: at least {LEAST} "
            "members and as many others"
        )
    order = even_order(labels, torch.Generator().manual_seed(seed))
    return Split(order[: count // 2].sort().values, order[count // 2 :].sort().values)
