"""The goals of the JSMA paper, from the easiest to the hardest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwsim.attacks.core.criteria import (
    ConfidenceReduction,
    Targeted,
    TargetedMisclassification,
    Untargeted,
)
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.decision import HopSkipJump
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.jsma import JSMA

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 5.0]])
SOURCE = torch.zeros(4, dtype=torch.int64)
TARGET = torch.full((4,), 2, dtype=torch.int64)


def test_each_goal_asks_for_more_than_the_one_before() -> None:
    reached = [
        goal.is_adversarial(LOGITS).tolist()
        for goal in (
            ConfidenceReduction(SOURCE, below=0.5),
            Untargeted(SOURCE),
            Targeted(TARGET, SOURCE),
        )
    ]
    assert reached == [
        [False, True, True, True],  # the second keeps its class, with 36%
        [False, False, True, True],
        [False, False, False, True],
    ]


def test_only_a_source_and_a_target_must_differ() -> None:
    with pytest.raises(AttackError, match="is its own class"):
        Targeted(SOURCE, SOURCE).check(4, 3)
    TargetedMisclassification(SOURCE).check(4, 3)


@pytest.mark.parametrize("below", [0.0, 1.5, float("nan")])
def test_a_confidence_that_cannot_be_is_refused(below: float) -> None:
    with pytest.raises(AttackError, match="below must be a number above 0 and at most 1"):
        ConfidenceReduction(SOURCE, below).check(4)


def test_goals_are_cut_like_tensors() -> None:
    part = ConfidenceReduction(TARGET, 0.3)[torch.tensor([1, 2])]
    assert part.loss_labels.tolist() == [2, 2]
    assert part.below == 0.3
    assert len(TargetedMisclassification(TARGET)[:1].loss_labels) == 1


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


def test_attacks_lower_a_confidence_before_they_change_an_answer(model: nn.Module) -> None:
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    own = model(x).argmax(1)
    lowered, changed = (
        int(FGSM()(model, x, goal, epsilon=0.1).success.sum())
        for goal in (ConfidenceReduction(own, 0.45), Untargeted(own))
    )
    assert lowered > changed


def test_jsma_draws_a_class_on_an_empty_image(model: nn.Module) -> None:
    blank = torch.zeros(3, 1, 4, 4)
    goal = TargetedMisclassification(torch.arange(3))
    found = JSMA(max_distortion=1.0, pairs=False)(model, blank, goal, epsilon=16)
    assert int(found.success.sum()) >= 2
    assert int(found.l0.max()) > 0


def test_a_decision_based_attack_sees_no_confidence(model: nn.Module) -> None:
    with pytest.raises(AttackError, match="sees answers, no confidence"):
        HopSkipJump()(model, torch.rand(1, 1, 4, 4), ConfidenceReduction(SOURCE[:1]), epsilon=1.0)
