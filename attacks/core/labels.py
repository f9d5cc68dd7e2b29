"""Labels as people have them: tensors and arrays of any integer type, lists of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.core.errors import AttackError

#: (N,) class indices.
Labels: TypeAlias = Tensor | NDArray[np.integer] | Sequence[int]


def as_labels(labels: Labels, what: str) -> Tensor:
    """(N,) int64 class indices, on the device where they were.

    Parameters
    ----------
    labels : Tensor, array or sequence
        (N,) of any integer dtype, or whole numbers in a list, tuple or range.
    what : str
        What they are called in an error: "labels", "targets".

    Raises
    ------
    AttackError
        One line with the remedy for None, a single number, one-hot rows, other shapes, floating
        point, booleans and anything that is not numbers.
    """
    values = labels if isinstance(labels, Tensor) else _tensor(labels, what)
    if values.is_nested or values.layout != torch.strided or values.device.type == "meta":
        raise AttackError(f"{what} must be an ordinary tensor of class indices in memory")
    shape = tuple(values.shape)
    if not shape:
        raise AttackError(
            f"{what} must have shape (N,), got a single number: give one for each image, "
            f"[{values.item()}] * N"
        )
    if len(shape) == 2 and shape[1] == 1:
        raise AttackError(f"{what} must have shape (N,), got {shape}: call .flatten()")
    if len(shape) == 2:
        raise AttackError(
            f"{what} must have shape (N,), got {shape}: of one-hot rows or logits take .argmax(1)"
        )
    if len(shape) != 1:
        raise AttackError(f"{what} must have shape (N,), got {shape}")
    if values.dtype == torch.bool or not _integers(values.dtype):
        name = str(values.dtype).removeprefix("torch.")
        raise AttackError(
            f"{what} must be int64 class indices or other whole numbers, got {name}: call .long() "
            "if they are whole"
        )
    if values.dtype == torch.uint64:
        # torch compares no uint64; what wraps is negative and refused as such.
        return torch.from_numpy(values.cpu().numpy().astype(np.int64)).to(values.device)
    return values.detach().to(torch.int64)


def _integers(dtype: torch.dtype) -> bool:
    if dtype.is_floating_point or dtype.is_complex:
        return False
    return dtype in (
        torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.uint16, torch.uint32, torch.uint64,
    )  # fmt: skip


def _tensor(labels: object, what: str) -> Tensor:
    if labels is None:
        raise AttackError(f"{what} are None: give one class index for each image")
    if isinstance(labels, str | bytes | dict | set):
        raise AttackError(f"{what} must be class indices, got {type(labels).__name__}")
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError, RuntimeError):
        raise AttackError(f"{what} must be one class index for each image, in one row") from None
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iufb":
        raise AttackError(
            f"{what} must be whole numbers (class indices), got {type(labels).__name__} of "
            f"{array.dtype}"
        )
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
