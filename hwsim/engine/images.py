"""Which tensors can be images at all, whatever their values."""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.errors import InputError
from hwsim.program.layers import Shape


def check_ordinary(x: object) -> None:
    """InputError, with the remedy, for all that is no ordinary tensor in memory.

    Sparse, oneDNN-layout, nested, quantized and meta tensors end in torch's own words otherwise,
    some of them only deep in the backward pass.
    """
    if not isinstance(x, Tensor):
        raise InputError(f"images must be a torch tensor, got {type(x).__name__}")
    if x.is_nested:
        raise InputError("images must be one tensor (N, C, H, W), got a nested one")
    if x.layout != torch.strided:
        name = str(x.layout).removeprefix("torch.").removeprefix("_")
        raise InputError(f"images must be dense, got a {name} tensor: call .to_dense()")
    if x.is_quantized:
        raise InputError("images must be floating point, got a quantized tensor: .dequantize() it")
    if x.device.type == "meta":
        raise InputError("images hold no values: they are on the meta device")


def shapes_taken(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """Shapes of one image that mean ``shape``: vectors and series also without sides of one."""
    channels, height, width = shape
    if (height, width) == (1, 1):
        return shape, (channels,), (channels, 1)
    return (shape, (channels, width)) if height == 1 else (shape,)
