"""What a step adds up before it rounds, exactly and for many images at once."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from hwsim.importer.steps import IntegerStep

I64 = NDArray[np.int64]


def sums(step: IntegerStep, sources: list[I64]) -> I64:
    """acc + bias of a step with one source, (N, C, H, W), exact.

    sources: codes q of the file, (N, C, H, W).
    """
    values = sources[0] - step.sources[0].codes.zero
    if step.kind == "average":
        assert step.window is not None
        acc = _windows(values, step)
    elif step.kind in ("conv", "fc"):
        acc = _weighted(values, step)
    else:
        acc = values
    if step.bias is not None:
        acc = acc + step.bias.reshape(1, -1, 1, 1)
    return acc


def pooled(step: IntegerStep, source: I64) -> I64:
    """The maximum of windows; padding never wins."""
    assert step.window is not None
    window = step.window
    top, left, bottom, right = window.padding
    planes = F.pad(
        torch.from_numpy(source.astype(np.float64)), (left, right, top, bottom), value=-np.inf
    )
    return F.max_pool2d(planes, window.kernel, window.stride).numpy().astype(np.int64)


def _weighted(values: I64, step: IntegerStep) -> I64:
    weights = step.weights
    assert weights is not None
    # float64 holds every integer of 2^53, hence all sums of 16-bit numbers that fit ACC_W.
    x = torch.from_numpy(values.astype(np.float64))
    w = torch.from_numpy(weights.astype(np.float64))
    if step.window is None:
        out = x.reshape(len(x), -1) @ w.reshape(len(w), -1).T
        return out.numpy().astype(np.int64).reshape(len(x), -1, 1, 1)
    top, left, bottom, right = step.window.padding
    planes = F.pad(x, (left, right, top, bottom))
    found = F.conv2d(planes, w, stride=step.window.stride, groups=step.groups)
    return found.numpy().astype(np.int64)


def _windows(values: I64, step: IntegerStep) -> I64:
    assert step.window is not None
    planes = torch.from_numpy(values.astype(np.float64))
    found = F.avg_pool2d(planes, step.window.kernel, step.window.stride, divisor_override=1)
    return found.numpy().astype(np.int64)
