"""Scale and offset, and sums of maps: from a module or a call to its operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from hwsim.compiler.context import Context
from hwsim.compiler.operations import F64, Add, Affine, Multiply, Op
from hwsim.compiler.read_layers import check_finite
from hwsim.errors import CompileError


def batch_norm(at: Context) -> Op:
    """Batch norm with its running statistics."""
    given = at.given("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    own = at.module is not None
    trained = False if own else given.get("training", False)
    if given.get("running_mean") is None or given.get("running_var") is None or trained:
        raise CompileError(
            f"{at.path}: batch norm without running statistics depends on the batch: use "
            + ("track_running_stats=True" if own else "training=False (module.eval())")
        )
    eps = given.get("eps")
    mean = _per_channel(at, "running_mean", given["running_mean"])
    variance = _per_channel(at, "running_var", given["running_var"])
    variance = variance + (1e-5 if eps is None else eps)
    # affine=False leaves weight and bias None, whatever their annotations say.
    gamma = _per_channel(at, "weight", 1.0 if given.get("weight") is None else given["weight"])
    beta = _per_channel(at, "bias", 0.0 if given.get("bias") is None else given["bias"])
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = gamma / np.sqrt(variance)
        return _affine(at, slope, beta - mean * slope)


def normalize(at: Context) -> Op:
    """(x − mean) / std of a Normalize module, each a number or one value per channel."""
    mean, std = (_per_channel(at, name, getattr(at.module, name)) for name in ("mean", "std"))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _affine(at, 1 / std, -mean / std)


def _per_channel(at: Context, name: str, value: Any) -> F64:
    """A number or one value per channel, shaped to broadcast over the output."""
    array = _float64(value).reshape(-1)
    if array.size not in (1, at.shape[0]):
        raise CompileError(f"{at.path}: {name} has {array.size} values for {at.shape[0]} channels")
    return array.reshape(-1, *[1] * (len(at.shape) - 1))


def _float64(value: Any) -> F64:
    """A number, list, array or tensor in float64.

    Python's floats are rounded to float32 first, as their product with float32 pixels is.
    """
    tensor = torch.as_tensor(value).detach()
    named = isinstance(value, Tensor | np.ndarray)
    return (tensor if named or not tensor.is_floating_point() else tensor.float()).double().numpy()


def negative(at: Context) -> Any:
    """−x."""
    return _affine(at, -np.ones(()), np.zeros(()))


def arithmetic(at: Context, name: str) -> Any:
    """x + c, c · x, and so on, where c is a number or a constant tensor that broadcasts."""
    operands = dict(zip(("input", "other"), at.args, strict=False)) | at.kwargs
    left = operands.pop("input", operands.pop("self", None))
    right, alpha = operands.pop("other", None), operands.pop("alpha", 1)
    if name == "rsub":
        name, left, right = "sub", right, left
        if alpha != 1:
            return NotImplemented
    if any(operands.values()) or not isinstance(alpha, int | float):
        return NotImplemented
    if isinstance(left, fx.Node) and isinstance(right, fx.Node):
        return _of_two_maps(at, name, float(alpha))
    flipped = not isinstance(left, fx.Node)
    constant = left if flipped else right
    if not isinstance(constant, int | float | Tensor) or (flipped and name == "div"):
        return NotImplemented
    value = _float64(constant)
    if value.ndim == len(at.shape) + 1:
        value = value[0]
    one, zero = np.ones(()), np.zeros(())
    mine, other = (alpha * one, value) if flipped else (one, alpha * value)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale, offset = {
            "add": (mine, other),
            "sub": (-mine, other) if flipped else (mine, -other),
            "mul": (value, zero),
            "div": (1 / value, zero),
        }[name]
    return _affine(at, scale, offset)


def _of_two_maps(at: Context, name: str, alpha: float) -> Any:
    if name == "div":
        return NotImplemented
    if at.shapes_before[0] != at.shapes_before[1] or not at.same_batch:
        verb = {"add": "adds", "sub": "subtracts", "mul": "multiplies"}[name]
        maps = f"{verb} maps of shapes {at.shapes_before[0]} and {at.shapes_before[1]}"
        if name == "mul":
            # Squeeze and excitation, most of the time: one shape for both would be refused, too.
            raise CompileError(
                f"{at.path}: {maps}, which cannot run on the engine: leave gates of channels out "
                "(squeeze and excitation), or add or concatenate the maps"
            )
        raise CompileError(
            f"{at.path}: {maps}, which broadcasts: the engine takes maps of one shape: give both "
            "the same"
        )
    if name == "mul":
        return Multiply(*at.seen)
    return Add(*at.seen, (1.0, alpha if name == "add" else -alpha))


def _affine(at: Context, scale: F64, offset: F64) -> Op:
    check_finite(at, scale, offset)
    if at.before != at.shape or not at.same_batch:
        raise CompileError(
            f"{at.path}: changes the shape {at.before} to {at.shape}: use constants that fit the "
            "feature map"
        )
    return Affine(*at.seen, np.broadcast_to(scale, at.shape), np.broadcast_to(offset, at.shape))
