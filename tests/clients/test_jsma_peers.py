"""JSMA beside the libraries that offer it, on the engine."""

from __future__ import annotations

import math

import pytest
import torch

from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.jsma import JSMA
from tests.clients.conftest import Target, snapped

pytestmark = pytest.mark.clients
torchattacks = pytest.importorskip(
    "torchattacks",
    reason="torchattacks is not installed: make test installs it without torchvision",
)


def test_jsma_is_torchattacks_jsma_wherever_a_pair_is_salient(target: Target) -> None:
    few = target.take(12)
    # 144 values, 8 iterations for either; torchattacks aims at the next class.
    theirs = torchattacks.JSMA(few.engine, theta=1.0, gamma=0.111)(few.images, few.labels)
    goal = Targeted((few.labels + 1) % 10, few.labels)
    ours = JSMA(max_distortion=0.112, output="logits")(
        few.engine, few.images, goal, epsilon=math.inf
    )
    same = (ours.adversarial == snapped(theirs)).flatten(1).all(1)
    # Sums of the same derivatives in another order may break a near tie the other way.
    assert int(same.sum()) >= 10
    assert int(ours.success.sum()) >= int((few.engine(theirs).argmax(1) == goal.loss_labels).sum())


def test_jsma_succeeds_on_the_engine_at_least_as_often_as_art(target: Target) -> None:
    art = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    from art.estimators.classification import PyTorchClassifier

    few = target.take(12)
    goal = Targeted((few.labels + 1) % 10, few.labels)
    classifier = PyTorchClassifier(
        few.engine, torch.nn.CrossEntropyLoss(), few.images.shape[1:], 10, clip_values=(0, 1),
        device_type="cpu",
    )  # fmt: skip
    attack = art.SaliencyMapMethod(classifier, theta=1.0, gamma=0.1, batch_size=12, verbose=False)
    theirs = torch.from_numpy(attack.generate(few.images.numpy(), goal.loss_labels.numpy()))
    reached = few.engine(snapped(theirs)).argmax(1) == goal.loss_labels
    ours = JSMA(max_distortion=0.1)
    result = ours(few.engine, few.images, goal, epsilon=math.inf)
    assert 0 < int(reached.sum()) <= int(result.success.sum())
