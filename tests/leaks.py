"""Leaks that are known: a network that learnt random labels by heart, and one that saw none."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.attacks.membership.attack import MembershipTarget, Shadowed, label_scores
from hwsim.attacks.membership.label_only import LabelOnly
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import observe
from hwsim.attacks.membership.shadows import (
    ShadowRecipe,
    memberships,
    train_batched,
)

COUNT, FEATURES, CLASSES = 240, 128, 20
MODELS, EPOCHS = 8, 15
SIDES = slice(COUNT), slice(COUNT, 2 * COUNT)
RECIPE = ShadowRecipe(epochs=60, rate=0.05)


class Leak:
    """Random samples with random labels: a network, and shadow models by the same recipe.

    It has learnt the first third of them by heart, or the last, of which nobody is asked.
    """

    def __init__(self, memorizes: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(3 * COUNT, FEATURES, generator=generator)
        self.y = torch.randint(0, CLASSES, (3 * COUNT,), generator=generator)
        self.inside = memberships(2 * COUNT, MODELS, 3)
        learnt = np.zeros((MODELS + 1, 3 * COUNT), np.bool_)
        learnt[1:, : 2 * COUNT] = self.inside
        learnt[0, :COUNT] = memorizes
        learnt[0, 2 * COUNT :] = not memorizes

        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(FEATURES, 96), nn.ReLU(), nn.Linear(96, CLASSES))

        self.network, *self.shadows = train_batched(make, self.x, self.y, learnt, RECIPE)

    def sides(self, view: str) -> tuple[Records, Records]:
        return tuple(observe(self.network, self.x[part], self.y[part], view) for part in SIDES)

    def target(self, view: str) -> MembershipTarget:
        asked = self.x[: 2 * COUNT], self.y[: 2 * COUNT]
        seen = [observe(one, *asked, "logits") for one in self.shadows]
        sides = [(self.x[part], self.y[part]) for part in SIDES]

        def ask(x: Tensor) -> Tensor:
            return self.network(x).detach().argmax(1)

        how = LabelOnly(noises=(0.02, 0.05, 0.1), draws=4)
        return MembershipTarget(
            *self.sides(view),
            label_scores(ask, *sides, how=how),
            Shadowed.of(seen, self.inside, alike=True),
            epochs=EPOCHS,
        )
