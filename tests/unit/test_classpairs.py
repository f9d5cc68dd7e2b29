"""Counts of the class-pair study: what they mean, that they add up, what damage does."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.evaluate.classpairs import ClassPairs, adversarial_distance, class_pairs
from hwsim.attacks.jsma import JSMA

CLASSES, LEVELS = 3, (0.2, 0.4, 0.8)
ATTACK = JSMA(max_distortion=LEVELS[-1])


@pytest.fixture
def inputs() -> Tensor:
    return Grid(255).snap(torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(3)))


@pytest.fixture
def model(inputs: Tensor) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        last = nn.Linear(12, CLASSES)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), last)
    with torch.no_grad():
        last.bias -= net(inputs).mean(0)
    return net


@pytest.fixture
def labels(model: nn.Module, inputs: Tensor) -> Tensor:
    wrong = judge(model, inputs).argmax(1)
    wrong[0] = (wrong[0] + 1) % CLASSES  # one image that the model gets wrong
    return wrong


def counted(model: nn.Module, inputs: Tensor, labels: Tensor, size: int = 16) -> ClassPairs:
    parts = list(class_pairs(ATTACK, model, inputs, labels, levels=LEVELS, batch_size=size))
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def test_every_correct_image_is_driven_to_every_other_class(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    found = counted(model, inputs, labels)
    assert found.images.sum() == len(inputs) - 1
    assert found.tries.sum() == (len(inputs) - 1) * (CLASSES - 1)
    assert not found.tries.diagonal().any()
    assert np.isnan(found.rate(2).diagonal()).all()


def test_a_level_counts_what_an_attack_with_that_distortion_reaches(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    found = counted(model, inputs, labels)
    x, source = inputs[1:], labels[1:]
    for k, level in enumerate(LEVELS):
        success, changed, spent = np.zeros((3, CLASSES, CLASSES))
        for hop in (1, 2):
            goal = Targeted((source + hop) % CLASSES, source)
            result = JSMA(max_distortion=level)(model, x, goal, epsilon=math.inf)
            pair = source.numpy(), goal.loss_labels.numpy()
            np.add.at(success, pair, result.success.numpy())
            np.add.at(changed, pair, (result.l0 * result.success).numpy())
            np.add.at(spent, pair, result.l0.numpy())
        np.testing.assert_array_equal(found.success[k], success)
        np.testing.assert_array_equal(found.changed[k], changed)
        np.testing.assert_array_equal(found.spent[k], spent)
    assert 0 < found.overall(0)[0] < found.overall(2)[0] <= 1


def test_counts_of_batches_add_up_and_survive_json(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    whole, parts = counted(model, inputs, labels), counted(model, inputs, labels, 4)
    again = ClassPairs.from_dict(json.loads(json.dumps(parts.as_dict())))
    for name, values in whole.as_dict().items():
        np.testing.assert_allclose(again.as_dict()[name], values)
    with pytest.raises(AttackError, match="do not add up"):
        _ = whole + replace(whole, levels=(0.1, 0.2, 0.3))


def test_hardness_is_distortion_integrated_over_success() -> None:
    zeros = np.zeros((2, 2, 2))
    success, spent = zeros.copy(), zeros.copy()
    success[:, 0, 1] = 1, 4  # of 4 images: 25%, then 100%
    spent[:, 0, 1] = 8, 24  # on average 2, then 6 of 20 values
    pairs = ClassPairs(
        (0.128, 0.383), 20, np.array([4.0, 0.0]), success, zeros, spent, np.zeros((2, 2))
    )
    assert pairs.hardness()[0, 1] == pytest.approx(0.75 * (0.1 + 0.3) / 2)
    assert np.isnan(pairs.hardness()[1, 0])
    never = replace(pairs, success=zeros)
    assert np.isnan(never.hardness()[0, 1])


def test_adversarial_distance_is_the_share_of_values_that_do_not_help() -> None:
    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = torch.tensor([[2.0, -1.0, 1.0, 0.0], [-1.0, 2.0, -3.0, 0.0]])
            return x.flatten(1) @ weights.T

    x = torch.rand(3, 1, 2, 2)
    # Towards class 0 values 0 and 2 help, towards class 1 only value 1 does.
    assert adversarial_distance(Linear(), x, batch_size=2).tolist() == [[0.5, 0.75]] * 3


@pytest.mark.parametrize("levels", [(), (0.4, 0.2, 0.8), (0.2, 0.4), (0.2, 0.2, 0.8)])
def test_levels_that_make_no_sense_are_refused(
    model: nn.Module, inputs: Tensor, labels: Tensor, levels: tuple[float, ...]
) -> None:
    with pytest.raises(AttackError):
        class_pairs(ATTACK, model, inputs, labels, levels=levels)


def test_damaged_counts_are_refused(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    good = counted(model, inputs, labels).as_dict()
    for key, wrong in (("success", []), ("images", None), ("levels", [0.1]), ("values", "many")):
        with pytest.raises((LookupError, TypeError, ValueError)):
            ClassPairs.from_dict({**good, key: wrong})
    with pytest.raises(LookupError):
        ClassPairs.from_dict({})
