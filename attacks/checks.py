"""What every attack refuses at the door, each with one line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from attacks.errors import AttackError


def check_inputs(inputs: Tensor) -> None:
    """Refuse anything but a non-empty float32 (N, C, H, W) tensor with values in [0, 1]."""
    if not isinstance(inputs, Tensor):
        raise AttackError(f"inputs must be a torch tensor, not {type(inputs).__name__}")
    if inputs.ndim != 4:
        raise AttackError(f"inputs must have shape (N, C, H, W), got {tuple(inputs.shape)}")
    if inputs.dtype != torch.float32:
        raise AttackError(f"inputs must be float32, got {inputs.dtype}: call .float()")
    if inputs.numel() == 0:
        raise AttackError("there are 0 samples to attack: give at least one input")
    low, high = (float(v) for v in inputs.aminmax())
    if not (low >= 0.0 and high <= 1.0):  # NaN fails both comparisons
        reason = "contain NaN" if low != low else f"reach from {low:g} to {high:g}"
        raise AttackError(f"inputs must lie in [0, 1], these {reason}: rescale them")


def check_labels(labels: Tensor, count: int, what: str, classes: int | None = None) -> None:
    """Refuse anything but ``count`` int64 in 0 … classes − 1 (the end only where it is known)."""
    if labels.shape != (count,):
        raise AttackError(f"{what} must have shape ({count},), got {tuple(labels.shape)}")
    if labels.dtype != torch.int64:
        raise AttackError(f"{what} must be int64 class indices, got {labels.dtype}")
    if count and int(labels.min()) < 0:
        raise AttackError(f"{what} must be >= 0, got {int(labels.min())}")
    if count and classes is not None and int(labels.max()) >= classes:
        raise AttackError(f"{what} reach {int(labels.max())}, but the model has {classes} classes")


def check_logits(logits: Tensor, count: int) -> None:
    """Refuse anything but finite (N, classes) logits; warn if they look like probabilities."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != count:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise AttackError(f"the model must return ({count}, classes) logits, got {shape}")
    values = logits.detach()
    if not bool(torch.isfinite(values).all()):
        raise AttackError("the model returned NaN or infinite logits: its success means nothing")
    if float(values.min()) >= 0.0 and bool(((values.sum(1) - 1.0).abs() < 1e-4).all()):
        warnings.warn(
            "the model seems to return probabilities, not logits: a second softmax in the loss "
            "flattens its gradient, so attacks look weaker than they are",
            stacklevel=2,
        )


def check_schedule(epsilons: Sequence[float]) -> None:
    """Refuse an empty list and one that does not rise: Algorithm 1 only ever raises ε."""
    if not epsilons:
        raise AttackError("the list of epsilons is empty: give at least one")
    if any(b <= a for a, b in pairwise(epsilons)):
        raise AttackError("epsilons must rise from one to the next, got " + str(list(epsilons)))


def check_batch_size(batch_size: int) -> None:
    """Refuse a batch size below 1."""
    if batch_size < 1:
        raise AttackError(f"batch size must be at least 1, got {batch_size}")


def check_count(value: int, what: str, least: int = 1) -> None:
    """Refuse anything but an int >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AttackError(f"{what} must be a whole number of at least {least}, got {value!r}")


def check_number(value: float, what: str, above: float, most: float = math.inf) -> None:
    """Refuse anything but a number in (``above``, ``most``]."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not above < value <= most:  # NaN too
        upper = "" if most == math.inf else f" and at most {most:g}"
        raise AttackError(f"{what} must be a number above {above:g}{upper}, got {value!r}")
