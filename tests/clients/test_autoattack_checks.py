"""What the AutoAttack package checks before it believes a result, asked of the Engine.

It warns of random outputs, of outputs that are probabilities, of gradients taken inside the
forward pass, and of gradients that are exactly zero (Croce and Hein 2020, flags of the package).
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from hwsim import Engine
from tests.clients.conftest import Target

pytestmark = pytest.mark.clients


def functions_called(engine: Engine, images: torch.Tensor) -> Counter[str]:
    """Names of all Python functions that run while the engine does, its workers' included."""
    names: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            names[frame.f_code.co_name] += 1

    previous = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        engine(images)
    finally:
        sys.setprofile(previous)
        threading.setprofile(None)
    return names


@pytest.mark.parametrize("mode", ["ste", "ste-bfloat16", "ste-unclamped", "finite-difference"])
@pytest.mark.parametrize("differentiable", [False, True])
def test_no_gradient_function_runs_during_forward(
    target: Target, mode: Any, differentiable: bool
) -> None:
    engine = Engine(target.engine.program, gradient=mode)
    images = target.images.clone().requires_grad_(differentiable)
    names = functions_called(engine, images)
    assert names["forward"] >= 1, "the profiler saw nothing"
    for forbidden in ("grad", "backward", "_make_grads", "enable_grad", "vjp"):
        assert names[forbidden] == 0


def test_equal_images_give_equal_logits_and_gradients_every_time(target: Target) -> None:
    def once() -> tuple[torch.Tensor, torch.Tensor]:
        x = target.images.clone().requires_grad_()
        logits = target.engine(x)
        F.cross_entropy(logits, target.labels, reduction="sum").backward()
        assert x.grad is not None
        return logits.detach(), x.grad

    logits, gradient = once()
    for _ in range(5):
        again = once()
        assert torch.equal(again[0], logits)
        assert torch.equal(again[1], gradient)


def test_outputs_are_logits_and_not_probabilities(target: Target) -> None:
    logits = target.engine(target.images)
    assert logits.shape == (len(target.images), 10)
    assert float(logits.min()) < 0
    assert float(logits.max()) > 1


@pytest.mark.parametrize("loss", ["cross-entropy", "dlr"])
def test_no_image_has_a_gradient_of_exactly_zero(target: Target, loss: str) -> None:
    x = target.images.clone().requires_grad_()
    logits = target.engine(x)
    if loss == "cross-entropy":
        value = F.cross_entropy(logits, target.labels, reduction="sum")
    else:
        top = logits.sort(dim=1).values
        value = (-(top[:, -1] - top[:, -2]) / (top[:, -1] - top[:, -3] + 1e-12)).sum()
    (gradient,) = torch.autograd.grad(value, x)
    assert int((gradient.flatten(1).abs().amax(1) == 0).sum()) == 0
