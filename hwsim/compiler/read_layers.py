"""Layers with weights and windows: from a module, or the arguments of a call, to its operation.

Geometry, weights and constants are read and checked here, whichever spelling they came in. A
builder returns NotImplemented for what the engine cannot run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.compiler.context import Context, is_hashed, numbers
from hwsim.compiler.operations import (
    F64,
    NO_SIDES,
    Average,
    Copies,
    Flatten,
    Mac,
    Op,
    Pair,
    Pool,
    Sides,
    as_map,
)
from hwsim.errors import CompileError
from hwsim.numbers.hashing import HashSpec


def pair(at: Context, value: Any, default: int) -> Pair:
    """(vertical, horizontal) of an argument: one number, one or two in a list; a series has one.

    The default where torch has None or an empty list.
    """
    if value is None or (isinstance(value, list | tuple) and not value):
        value = default
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(at.before) == 2:
        neutral = 0 if default == 0 and values[-1] is not None else 1
        return neutral, int(values[-1])
    return int(values[0]), int(values[-1])


def check_finite(at: Context, *values: Tensor | F64 | None) -> None:
    """Refuse NaN and infinity among constants."""
    for value in values:
        if value is not None and not bool(torch.isfinite(torch.as_tensor(value)).all()):
            raise CompileError(
                f"{at.path}: weights, bias or constants contain NaN or infinity: train it again"
            )


# --- layers with weights ------------------------------------------------------------------------


def linear(at: Context) -> Op:
    """W x + bias on a flat input."""
    if len(at.before) != 1:
        raise CompileError(f"{at.path}: Linear on an unflattened feature map: add nn.Flatten")
    given = at.given("weight", "bias")
    spec, real = _weights(at, given.get("weight"))
    return Mac(*at.seen, spec, real, _bias(at, spec, given.get("bias")), conv=False)


def product(at: Context) -> Any:
    """A vector times a constant matrix, and a bias where ``addmm`` has one."""
    operands = list(at.args)
    bias = operands.pop(0) if at.called == "addmm" else None
    if at.kwargs or len(operands) != 2 or not isinstance(operands[1], Tensor):
        return NotImplemented
    if len(at.before) != 1 or operands[1].ndim != 2:
        return NotImplemented
    spec, real = _weights(at, operands[1].T)
    return Mac(*at.seen, spec, real, _bias(at, spec, bias), conv=False)


def conv(at: Context) -> Any:
    """A convolution of a map or series with zeros around it; the proof checks its sizes."""
    order = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given = at.given(*order)
    if given.get("transposed") is True:
        return NotImplemented
    if len(at.before) not in (2, 3):
        raise CompileError(
            f"{at.path}: a convolution of {len(at.before)} axes: the engine runs maps (C, H, W) "
            "and series (C, L)"
        )
    apart = pair(at, given.get("dilation"), 1)
    if apart != (1, 1) and not is_hashed(at.module) and isinstance(given.get("weight"), Tensor):
        given["weight"] = _spread(given["weight"], apart)
    mode = getattr(at.module, "padding_mode", "zeros")
    if mode != "zeros":
        raise CompileError(f"{at.path}: padding_mode={mode!r} cannot run on the engine: use zeros")
    spec, real = _weights(at, given.get("weight"))
    # A hashed bank does not show its kernel, a call has no attribute for it.
    kernel = pair(
        at, at.module.kernel_size if is_hashed(at.module) else given["weight"].shape[2:], 0
    )
    if len(at.before) == 2:
        kernel = (1, kernel[1])
    return Mac(
        *at.seen, spec, real, _bias(at, spec, given.get("bias")), True, kernel,
        pair(at, given.get("stride"), 1), _sides(at, given, kernel), int(given.get("groups") or 1),
    )  # fmt: skip


def _spread(weight: Tensor, apart: Pair) -> Tensor:
    """The weights of a dilated convolution as those of a larger one, with zeros between them."""
    steps = apart[-(weight.ndim - 2) :]
    sides = [(n - 1) * step + 1 for n, step in zip(weight.shape[2:], steps, strict=True)]
    found = torch.zeros(*weight.shape[:2], *sides)
    every: list[Any] = [..., *[slice(None, None, step) for step in steps]]
    found[tuple(every)] = weight.detach()
    return found


def _sides(at: Context, given: dict[str, Any], kernel: Pair) -> Sides:
    """Zeros on the four sides; "same" puts the odd one behind the map."""
    padding = given.get("padding")
    if padding == "valid":
        return NO_SIDES
    if padding == "same":
        (up, left), (down, right) = (
            tuple((k - 1) // 2 for k in kernel), tuple(k // 2 for k in kernel),
        )  # fmt: skip
        return left, right, up, down
    vertical, horizontal = _rims(at, padding)
    return horizontal, horizontal, vertical, vertical


def _rims(at: Context, padding: Any) -> Pair:
    found = pair(at, padding, 0)
    return (0, found[1]) if len(at.before) == 2 else found


def _weights(at: Context, weight: Any) -> tuple[HashSpec, F64]:
    """How the weights are shared, and the real ones in address order."""
    if not isinstance(weight, Tensor):
        raise CompileError(
            f"{at.path}: its weights are computed from the image: use constant weights"
        )
    if weight.numel() == 0:
        raise CompileError(f"{at.path}: has no weights: remove this empty layer")
    check_finite(at, weight)
    if at.shared is not None and at.shared.spec.virtual_weights == weight.numel():
        return at.shared.spec, at.shared.real
    values = weight.detach().double().numpy()
    if is_hashed(at.module):
        return at.module.spec, values.reshape(-1)
    return dense(values.reshape(len(values), -1))


def dense(matrix: F64) -> tuple[HashSpec, F64]:
    """Unshared weights (n_out, fan_in) as the engine stores them: address j · n_out + i."""
    spec = HashSpec("dense", matrix.shape[0], matrix.shape[1], matrix.size)
    return spec, np.ascontiguousarray(matrix.T).reshape(-1)


def _bias(at: Context, spec: HashSpec, bias: Any) -> F64:
    if bias is None:
        return np.zeros(spec.n_out)
    if not isinstance(bias, Tensor):
        raise CompileError(f"{at.path}: its bias is computed from the image: use a constant bias")
    check_finite(at, bias)
    return bias.detach().double().numpy().copy()


# --- pools --------------------------------------------------------------------------------------


def max_pool(at: Context) -> Op:
    """Max-pool; the proof checks kernel and stride."""
    given = at.given("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    kernel = pair(at, given.get("kernel_size"), 1)
    stride = _stride(at, given, kernel)
    vertical, horizontal = _rims(at, given.get("padding"))
    if set(pair(at, given.get("dilation"), 1)) != {1} or given.get("return_indices"):
        raise CompileError(
            f"{at.path}: max-pooling with dilation or return_indices cannot run on the engine: "
            "leave them at their defaults"
        )
    return Pool(*at.seen, kernel, stride, _reached(at, kernel, stride, (vertical, horizontal)))


def _stride(at: Context, given: dict[str, Any], kernel: Pair) -> Pair:
    stride = given.get("stride")
    return kernel if stride is None or stride == [] else pair(at, stride, 1)


def _reached(at: Context, kernel: Pair, stride: Pair, rims: Pair) -> Sides:
    """The places around a map that windows reach: ceil_mode has more at its end."""
    ends = [
        max(0, (out - 1) * step + size - side - rim)
        for out, step, size, side, rim in zip(
            as_map(at.shape)[1:], stride, kernel, as_map(at.before)[1:], rims, strict=True
        )
    ]
    return rims[1], ends[1], rims[0], ends[0]


def adaptive_max(at: Context) -> Any:
    """Max-pooling to a given size: windows of one size if that divides the map; copies of a pixel.

    Returns NotImplemented for windows of different sizes.
    """
    if copies(at) is not NotImplemented:
        return copies(at)
    kernel = _dividing(at)
    return Pool(*at.seen, kernel, kernel) if kernel else NotImplemented


def _dividing(at: Context) -> Pair | None:
    """The windows of a pool to a given size, None if they are of different sizes."""
    if len(at.before) not in (2, 3) or len(at.shape) != len(at.before):
        return None
    before, after = as_map(at.before), as_map(at.shape)
    windows = [divmod(n, m) for n, m in zip(before[1:], after[1:], strict=True)]
    if before[0] != after[0] or any(rest or not kernel for kernel, rest in windows):
        return None
    return windows[0][0], windows[1][0]


def copies(at: Context) -> Any:
    """What makes many pixels of a map of one: each is a copy of it."""
    single = len(at.before) == 3 and at.before[1:] == (1, 1) and at.same_batch
    if not single or len(at.shape) != 3 or at.shape[0] != at.before[0]:
        return NotImplemented
    return Copies(*at.seen_before)


def average(at: Context) -> Any:
    """Average pooling with windows inside the map; with zeros counted, a convolution of ones."""
    given = at.given("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                     "divisor_override")  # fmt: skip
    kernel = pair(at, given.get("kernel_size"), 1)
    stride, rims = _stride(at, given, kernel), _rims(at, given.get("padding"))
    counted = given.get("count_include_pad")
    sides = (rims[1], rims[1], rims[0], rims[0])
    sized = zip(as_map(at.before)[1:], kernel, stride, rims, strict=True)
    inside = tuple((n + 2 * rim - k) // s + 1 for n, k, s, rim in sized)
    if as_map(at.shape)[1:] != inside or (any(rims) and counted is False):
        raise CompileError(
            f"{at.path}: averages windows that reach beyond the map {at.before} over fewer pixels: "
            "use ceil_mode=False and count_include_pad=True, or a map that the windows fill"
        )
    size = kernel[0] * kernel[1]
    divisor = given.get("divisor_override") or size
    if size == divisor == 1 and not any(rims):
        return Pool(*at.seen, kernel, stride)  # of one pixel the largest is the mean
    if not any(rims):
        return Average(*at.seen, kernel, stride, float(divisor))
    channels = at.shape[0]
    spec, real = dense(np.full((channels, size), 1.0 / divisor))
    none = np.zeros(channels)
    return Mac(*at.seen, spec, real, none, True, kernel, stride, sides, channels, fixed=True)


def adaptive_average(at: Context) -> Any:
    """Average pooling to a given size that divides the map; copies of a pixel."""
    if copies(at) is not NotImplemented:
        return copies(at)
    kernel = _dividing(at)
    if kernel is None:
        raise CompileError(
            f"{at.path}: averages {at.before} to {at.shape} with windows of different sizes: use a "
            "size that divides the map"
        )
    return Average(*at.seen, kernel, kernel, float(math.prod(kernel)))


def reduction(at: Context) -> Any:
    """A mean, sum or maximum over whole axes of a map: a pool as large as they are."""
    given = at.given("dim", "keepdim")
    axes = {dim % at.axes for dim in numbers(given.get("dim"))}
    if not axes or 0 in axes or not at.same_batch:
        return NotImplemented
    long = {axis for axis in axes if at.before[axis - 1] != 1}
    rest = {axis for axis in range(2, at.axes) if at.before[axis - 1] != 1} - axes
    # Without the axes, what is left must still read as a vector.
    if 1 in long or (len(at.shape) != len(at.before) and rest):
        return NotImplemented
    if not long:
        return Flatten(*at.seen)
    spatial = [at.before[axis - 1] if axis in axes else 1 for axis in range(2, at.axes)]
    kernel = [1] * (2 - len(spatial)) + spatial
    window: Pair = kernel[0], kernel[1]
    if at.called in ("amax", "max"):
        return Pool(*at.seen, window, window)
    if at.called not in ("mean", "sum"):
        return NotImplemented
    divisor = float(math.prod(window)) if at.called == "mean" else 1.0
    return Average(*at.seen, window, window, divisor)
