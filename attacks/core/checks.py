"""What every attack refuses at the door, each with one line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Real
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.core.errors import AttackError


class Box(Protocol):
    """What a space tells of the inputs that it takes."""

    @property
    def bounds(self) -> tuple[float, float]: ...

    def takes(self, low: float, high: float) -> bool: ...


def as_inputs(inputs: Tensor, box: Box) -> Tensor:
    """The images, as an ordinary tensor in memory.

    Parameters
    ----------
    inputs : Tensor
        float32, N >= 1: images (N, C, H, W), vectors (N, F) or series (N, C, L).
    box : Space
        Where they must lie: [0, 1] of pixels.

    Raises
    ------
    AttackError
        For anything else, with the remedy where there is one.
    """
    if not isinstance(inputs, Tensor):
        remedy = ": call torch.from_numpy" if isinstance(inputs, np.ndarray) else ""
        raise AttackError(f"inputs must be a torch tensor, not {type(inputs).__name__}{remedy}")
    if inputs.is_quantized:
        raise AttackError("inputs must be float32, got a quantized tensor: call .dequantize()")
    if inputs.is_nested:
        raise AttackError("inputs must be one tensor (N, C, H, W), got a nested one")
    if inputs.layout != torch.strided:
        name = str(inputs.layout).removeprefix("torch.").removeprefix("_")
        raise AttackError(f"inputs must be dense, got a {name} tensor: call .to_dense()")
    if inputs.device.type == "meta":
        raise AttackError("inputs hold no values (they are on the meta device)")
    if inputs.ndim not in (2, 3, 4):
        raise AttackError(
            "inputs must have shape (N, C, H, W), or (N, F) of vectors, (N, C, L) of series, got "
            f"{tuple(inputs.shape)}"
        )
    if inputs.dtype != torch.float32:
        raise AttackError(f"inputs must be float32, got {inputs.dtype}: call .float()")
    if inputs.numel() == 0:
        raise AttackError("there are 0 samples to attack: give at least one input")
    inputs = inputs.resolve_neg()
    low, high = (float(v) for v in inputs.aminmax())
    if not box.takes(low, high):
        least, most = box.bounds
        reason = "contain NaN" if low != low else f"reach from {low:g} to {high:g}"
        raise AttackError(
            f"inputs must lie in [{least:g}, {most:g}], these {reason}: rescale them, or give the "
            "attack space=engine.space if the engine takes them"
            if (least, most) == (0.0, 1.0)
            else f"inputs must lie in [{least:g}, {most:g}], these {reason}: rescale or clip them"
        )
    return inputs


def check_labels(labels: Tensor, count: int, what: str, classes: int | None = None) -> None:
    """Refuse all but ``count`` indices in 0 … classes − 1 (the end only where it is known).

    labels: as ``labels.as_labels`` gives them, (N,) int64.
    """
    if labels.shape != (count,):
        raise AttackError(
            f"{what} must have shape ({count},), one for each image, got {tuple(labels.shape)}"
        )
    if count and int(labels.min()) < 0:
        raise AttackError(f"{what} must be >= 0, got {int(labels.min())}")
    if count and classes is not None and int(labels.max()) >= classes:
        raise AttackError(f"{what} reach {int(labels.max())}, but the model has {classes} classes")


def check_logits(logits: Tensor, count: int) -> None:
    """Refuse all but finite logits of two classes or more; warn if they look like probabilities."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != count:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise AttackError(f"the model must return ({count}, classes) logits, got {shape}")
    if logits.shape[1] < 2:
        raise AttackError(
            "the model has one class (one logit), so there is nothing to mistake an input for: "
            "of a binary classifier attack the two logits (0, logit), which answer the same"
        )
    values = logits.detach()
    if not bool(torch.isfinite(values).all()):
        raise AttackError("the model returned NaN or infinite logits: its success means nothing")
    if not count:
        return
    if float(values.min()) >= 0.0 and bool(((values.sum(1) - 1.0).abs() < 1e-4).all()):
        warnings.warn(
            "the model seems to return probabilities, not logits: a second softmax in the loss "
            "flattens its gradient, so attacks look weaker than they are",
            stacklevel=2,
        )


def as_number(value: object, what: str) -> float:
    """A Python number from one, from a NumPy scalar, or from an array or tensor of shape ().

    AttackError for anything else: booleans, complex numbers and text are none.
    """
    number = value
    held = isinstance(value, np.ndarray | np.generic) or (
        isinstance(value, Tensor) and value.device.type != "meta"
    )
    if held and value.ndim == 0:  # type: ignore[attr-defined]
        number = value.item()  # type: ignore[attr-defined]
    if isinstance(number, bool) or not isinstance(number, Real):
        raise AttackError(f"{what} must be a number, got {_short(value)}")
    return float(number)


def as_epsilons(epsilons: Iterable[float]) -> list[float]:
    """Budgets from a list, a one-dimensional array or tensor, or any other iterable of numbers.

    AttackError for none at all, for a single number, and for entries that are no numbers.
    """
    if isinstance(epsilons, str | bytes) or not isinstance(epsilons, Iterable):
        raise AttackError(f"epsilons must be a list of numbers, got {_short(epsilons)}")
    if isinstance(epsilons, Tensor | np.ndarray) and epsilons.ndim != 1:
        raise AttackError(
            f"epsilons must be one row of numbers, got the shape {tuple(epsilons.shape)}"
        )
    found = [as_number(epsilon, "epsilon") for epsilon in epsilons]
    if not found:
        raise AttackError("the list of epsilons is empty: give at least one")
    return found


def check_schedule(epsilons: Sequence[float]) -> None:
    """Refuse a list that does not rise: what is cumulative has an order."""
    if any(b <= a for a, b in pairwise(epsilons)):
        raise AttackError("epsilons must rise from one to the next, got " + str(list(epsilons)))


def _short(value: object) -> str:
    """One line that names a value in an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}…"


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
