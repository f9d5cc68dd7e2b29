"""What every family of attacks shares: budgets by norm, the minimizing protocol, noise."""

import math

import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.budget import effective
from hwsim.attacks.core.criteria import Goal, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.minimizing import Found, MinimizingAttack
from hwsim.attacks.core.noise import Noise


class Brightness(nn.Module):
    """Class 1 where the first pixel exceeds a half."""

    def forward(self, x: Tensor) -> Tensor:
        first = x.flatten(1)[:, :1]
        return torch.cat([0.5 - first, first - 0.5], 1)


class FirstPixel(MinimizingAttack):
    """Finds an answer at L2 distance 204/255 for every image."""

    norm = "l2"

    def search(self, model: nn.Module, inputs: Tensor, goal: Goal) -> Found:
        images = inputs.clone()
        images[:, 0, 0, 0] = 204 / 255
        count = torch.ones(len(inputs), dtype=torch.int64)
        found = goal.is_adversarial(model(images))
        return Found(images, found, model(inputs), ~found, 2 * count, count)


def test_a_minimizing_attack_counts_at_a_radius_only_what_it_found_within_it() -> None:
    x = torch.zeros(3, 1, 2, 2)
    labels = torch.tensor([0, 0, 1])
    near = FirstPixel()(Brightness(), x, Untargeted(labels), epsilon=0.79)
    at, far = FirstPixel().sweep(Brightness(), x, Untargeted(labels), epsilons=[0.8, math.inf])
    assert near.success.tolist() == [False, False, True]  # the last is wrong from the start
    assert at.success.tolist() == [True, True, True]
    assert torch.equal(far.adversarial[0], at.adversarial[0])
    assert far.l2.tolist() == pytest.approx([0.8, 0.8, 0.0])
    assert far.forward.tolist() == [3, 3, 3]
    assert far.backward.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("norm", "epsilon"),
    [("l2", 0.0), ("l2", math.nan), ("l0", 1.5), ("l0", -3), ("linf", math.inf), ("l0", True)],
)
def test_budgets_that_make_no_sense_in_their_norm_are_refused(norm: str, epsilon: float) -> None:
    with pytest.raises(AttackError):
        effective(norm, Grid(255), epsilon)  # type: ignore[arg-type]


def test_budgets_in_l2_and_l0_apply_as_they_are() -> None:
    assert effective("l2", Grid(255), 1.5) == 1.5
    assert effective("l0", Grid(255), 112) == 112.0


def test_noise_belongs_to_the_example_and_not_to_its_batch() -> None:
    x = torch.rand(5, 1, 3, 3)
    whole, part = Noise(x, seed=7), Noise(x[[3, 1]], seed=7)
    first = whole.uniform()
    assert torch.equal(part.uniform(), first[[3, 1]])
    assert torch.equal(whole[torch.tensor([3, 1])].normal(), part.normal())
    assert not torch.equal(Noise(x, seed=8).uniform(), first)
    assert first.min() >= -1
    assert first.max() < 1
