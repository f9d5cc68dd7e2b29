"""Images for the engine of ``small_program``, and its derivatives by the plain loop."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim import Engine

CLASSES = 3


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """Random images (…, 1, 6, 6) in [0, 1]."""
    return torch.rand(*shape, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def jacobian(engine: Engine, images: Tensor) -> Tensor:
    """The plain loop over classes: (N, classes, C, H, W)."""
    x = images.detach().clone().requires_grad_()
    logits = engine(x)
    rows = [
        torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)[0] for k in range(CLASSES)
    ]
    result = torch.stack(rows, 1)
    assert float(result.flatten(1).abs().amax()) > 0, "every gate of the test network is closed"
    return result


def gradient(engine: Engine, images: Tensor) -> Tensor:
    x = images.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(engine(x).logsumexp(1).sum(), x)
    return found


def softmax(engine: Engine, images: Tensor) -> Tensor:
    """The seed of ``gradient``."""
    return engine(images).softmax(1)
