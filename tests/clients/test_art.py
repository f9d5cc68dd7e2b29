"""The Adversarial Robustness Toolbox drives the Engine through its own PyTorchClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.clients.conftest import EPSILON, LSB, Target
from tests.gradients import assert_same

pytest.importorskip("art", reason="ART is not installed: make test installs it")
pytestmark = pytest.mark.clients


def classifier(engine: torch.nn.Module) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=engine,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=engine.program.input_shape,  # type: ignore[union-attr]
        nb_classes=10,
        clip_values=(0.0, 1.0),
    )


def test_art_predicts_the_engines_logits(target: Target) -> None:
    predicted = classifier(target.engine).predict(target.images.numpy(), batch_size=24)
    np.testing.assert_array_equal(predicted, target.engine(target.images).numpy())


def test_art_sees_the_gradients_of_all_classes(target: Target) -> None:
    few = target.take(4)
    found = classifier(few.engine).class_gradient(few.images.numpy())
    x = few.images.clone().requires_grad_()
    logits = few.engine(x)
    for label in range(10):
        (expected,) = torch.autograd.grad(logits[:, label].sum(), x, retain_graph=True)
        assert float(expected.abs().max()) > 0
        seed = torch.eye(10)[label].expand(len(few.images), -1)
        mine = torch.from_numpy(found[:, label])
        assert_same(mine, expected, few.engine, few.images, seed)  # type: ignore[arg-type]


def test_art_fgsm_fools_the_engine(target: Target) -> None:
    from art.attacks.evasion import FastGradientMethod

    attack = FastGradientMethod(estimator=classifier(target.engine), eps=EPSILON)
    adversarial = attack.generate(x=target.images.numpy())
    assert target.fooled(torch.from_numpy(adversarial), EPSILON) >= 24


def test_art_jsma_reaches_target_classes_with_few_pixels(target: Target) -> None:
    from art.attacks.evasion import SaliencyMapMethod

    few, gamma = target.take(12), 0.25
    wanted = (few.labels + 3) % 10
    attack = SaliencyMapMethod(
        classifier=classifier(few.engine), theta=1.0, gamma=gamma, verbose=False
    )
    adversarial = attack.generate(x=few.images.numpy(), y=np.eye(10)[wanted.numpy()])
    found = torch.from_numpy(adversarial)
    few.fooled(found)
    changed = ((found - few.images).abs() > LSB / 2).flatten(1).sum(1)
    assert int(changed.max()) <= gamma * few.images[0].numel() + 2
    assert int((few.engine(found).argmax(1) == wanted).sum()) >= 6
