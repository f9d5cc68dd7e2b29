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


def halves(count: int, seed: int) -> Split:
    """A random half each, of as many members or others; AttackError below LEAST samples."""
    check_count(seed, "seed", 0)
    if count < LEAST:
        raise AttackError(
            f"{count} samples are too few to learn from and to be judged on: at least {LEAST} "
            "members and as many others"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return Split(order[: count // 2].sort().values, order[count // 2 :].sort().values)
