"""Adversarial training: batches in which an attack on the network as it is learnt has a share.

The labels stay the true ones. Attacks are those of the package ``attacks``, so that what a network
is trained against is what it is judged with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.known import make_attack
from hwsim.models.loop import Perturb
from hwsim.models.recipe import Adversarial, Recipe

#: Iterations of JSMA between two looks at the network: training needs many images, not the fewest
#: changed pixels.
JSMA_BLOCK = 8


def perturbation(recipe: Recipe) -> Perturb | None:
    """What ``hwsim.models.loop.train`` does to its batches for ``recipe.adversarial``, if
    anything.
    """
    wanted = recipe.adversarial
    if wanted is None:
        return None
    chosen: Adversarial = wanted

    def perturb(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        count = round(chosen.share * len(images))
        if count == 0:
            return images
        # The order of a batch is random, so its first images are any.
        runner = _AtPrecision(model, recipe.precision == "bfloat16")
        crafted = _crafted(chosen, runner, images, labels, count, seed)
        return torch.cat([crafted, images[count:]])

    return perturb


def _crafted(
    wanted: Adversarial, model: nn.Module, images: Tensor, labels: Tensor, count: int, seed: int
) -> Tensor:
    """The first ``count`` images, attacked; their success is not judged, it is not asked for."""
    attack, epsilon = _attack(wanted, seed)
    chosen = attack.space.snap(images[:count].contiguous())
    goal: Goal = Untargeted(labels[:count])
    if wanted.attack == "jsma":
        goal = Targeted(_other_classes(model, chosen[:1], labels[:count], seed), labels[:count])
    return attack.space.clip(attack.aim(model, chosen, goal).at(epsilon))


def _attack(wanted: Adversarial, seed: int) -> tuple[Attack, float]:
    """The attack and the budget that it is to spend."""
    if wanted.attack == "fgsm":
        return make_attack("fgsm"), wanted.epsilon
    if wanted.attack == "pgd":
        # Without early exit: a network that is being learnt should see the worst image.
        pgd = make_attack("pgd", steps=wanted.steps, early_exit=False, seed=seed)
        return pgd, wanted.epsilon
    return make_attack("jsma", max_distortion=wanted.epsilon, block=JSMA_BLOCK), math.inf


def _other_classes(model: nn.Module, image: Tensor, labels: Tensor, seed: int) -> Tensor:
    """A random wrong class for each label, (N,) int64."""
    classes = judge(model, image).shape[1]
    generator = torch.Generator().manual_seed(seed)
    return (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes


class _AtPrecision(nn.Module):
    """The network at the precision of its training, logits in float32."""

    def __init__(self, model: nn.Module, low: bool) -> None:
        super().__init__()
        self.model, self.low = model, low

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            logits: Tensor = self.model(x)
        return logits.float()
