"""From a module, or the arguments of a call, to the operation that it means.

Geometry, weights and constants are read and checked here, whichever spelling they came in. A
builder returns NotImplemented for what the engine cannot run. What changes nothing does not come
here: see identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from hwsim.compiler.operations import F64, Affine, Copies, Flatten, Mac, Op, Pad, Pool, Relu
from hwsim.errors import CompileError
from hwsim.numbers.hashing import HashSpec


@dataclass(frozen=True)
class Context:
    """A node of the chain: its path, module, arguments, and what it took and gave.

    before, shape: of input and output without the batch axis; same_batch: whether the batch axis
    survived. dtype: of the output. args, kwargs: with constants resolved; the activation is still
    an ``fx.Node``. samples, samples_before: values of output and input.
    """

    node: fx.Node
    path: str
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: tuple[int, ...]
    shape: tuple[int, ...]
    same_batch: bool
    dtype: torch.dtype | None
    samples: NDArray[np.float32]
    samples_before: NDArray[np.float32]

    @property
    def seen(self) -> tuple[str, tuple[int, ...], NDArray[np.float32]]:
        """The fields that every Op begins with."""
        return self.path, self.shape, self.samples

    def given(self, *names: str) -> dict[str, Any]:
        """Attributes of the module, or the arguments of a call behind its input, by name."""
        if self.module is not None:
            return {name: getattr(self.module, name, None) for name in names}
        return dict(zip(("input", *names), self.args, strict=False)) | self.kwargs


def is_hashed(module: Any) -> bool:
    """Whether a module carries hashed weights: a ``spec`` and the real ``weight`` bank."""
    return isinstance(getattr(module, "spec", None), HashSpec)


def is_normalize(module: Any) -> bool:
    """Whether a module is one of the many ``Normalize`` classes: (x − mean) / std."""
    named = type(module).__name__ == "Normalize"
    return named and hasattr(module, "mean") and hasattr(module, "std")


# --- without numbers of their own ---------------------------------------------------------------


def relu(at: Context) -> Op:
    """max(x, 0)."""
    return Relu(*at.seen)


def rectifier(at: Context) -> Any:
    """A clamp, a leaky ReLU or a threshold whose numbers make it max(x, 0)."""
    clamp = at.given("min", "max")
    leaky = at.given("negative_slope").get("negative_slope")
    threshold = at.given("threshold", "value")
    name = getattr(at.node.target, "__name__", str(at.node.target)).strip("_")
    if at.module is not None:
        name = "threshold" if isinstance(at.module, nn.Threshold) else "leaky_relu"
    zero = {
        "clamp": clamp.get("min") == 0 and clamp.get("max") is None,
        "clip": clamp.get("min") == 0 and clamp.get("max") is None,
        "clamp_min": clamp.get("min") == 0,
        "leaky_relu": leaky == 0,
        "threshold": threshold.get("threshold") == 0 and threshold.get("value") == 0,
    }[name]
    return Relu(*at.seen) if zero else NotImplemented


def flatten(at: Context) -> Op:
    """Any reshape that keeps the batch and flattens the rest; axes of size 1 may stay behind."""
    count = (int(np.prod(at.before)),)
    if not at.same_batch or at.shape[:1] != count or set(at.shape[1:]) > {1}:
        raise CompileError(
            f"{at.path}: reshapes {at.before} to {at.shape}: only flattening to (N, features) is "
            "supported"
        )
    return Flatten(*at.seen)


def reduction(at: Context) -> Any:
    """A mean, sum or maximum over axes of size 1: it drops them, and that is all."""
    dims = numbers(at.given("dim").get("dim"))
    axes = {dim % (len(at.before) + 1) for dim in dims}
    if not axes or 0 in axes or any(at.before[axis - 1] != 1 for axis in axes):
        return NotImplemented
    return flatten(at)


def average(at: Context) -> Any:
    """Average pooling with windows of one pixel: max-pooling is the same."""
    given = at.given("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                     "divisor_override")  # fmt: skip
    if numbers(given.get("kernel_size")) != {1} or given.get("divisor_override") not in (None, 1):
        return NotImplemented
    return _window(at, 1, _square(at, given, "stride", 1))


def adaptive_max(at: Context) -> Any:
    """Max-pooling to a given size: windows of one size if that divides the map; copies of a pixel.

    Returns NotImplemented for windows of different sizes.
    """
    if copies(at) is not NotImplemented:
        return copies(at)
    if len(at.before) != 3 or at.before[:1] != at.shape[:1]:
        return NotImplemented
    windows = {divmod(n, m) for n, m in zip(at.before[1:], at.shape[1:], strict=True)}
    if len(windows) > 1:
        return NotImplemented
    kernel, rest = windows.pop()
    return NotImplemented if rest or not kernel else Pool(*at.seen, kernel, kernel)


def copies(at: Context) -> Any:
    """What makes many pixels of a map of one: each is a copy of it."""
    single = len(at.before) == 3 and at.before[1:] == (1, 1) and at.same_batch
    if not single or len(at.shape) != 3 or at.shape[0] != at.before[0]:
        return NotImplemented
    return Copies(at.path, at.shape, at.samples_before, at.before)


def pad(at: Context) -> Any:
    """Zeros around a map."""
    given = at.given("pad", "mode", "value")
    if at.module is not None:
        given |= at.given("padding", "value")
        given["pad"] = given["padding"]
    sides = list(given["pad"])
    sides += [0] * (4 - len(sides))
    if given.get("mode") not in (None, "constant") or given.get("value") or any(sides[4:]):
        return NotImplemented
    if min(sides) < 0:
        raise CompileError(f"{at.path}: cuts the map off: use a convolution with less padding")
    return Pad(at.path, at.shape, at.samples_before, tuple(sides[:4]), at.before)


def dropout_is_active(at: Context) -> bool:
    """Whether a functional dropout drops; fx bakes in the flag of the call, or its default."""
    default = at.node.target in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
    given = at.given("p", "training")
    return bool(given.get("training", given.get("train", default)))


def dropout(at: Context) -> Op:
    """A functional dropout that drops; one that does not is an identity."""
    raise CompileError(f"{at.path}: dropout is active at inference: pass training=self.training")


def pool(at: Context) -> Op:
    """Max-pool; the proof checks kernel and stride."""
    given = at.given("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    kernel = _square(at, given, "kernel_size", 0)
    stride = _square(at, given, "stride", 0) or kernel
    padding, dilation = _square(at, given, "padding", 0), _square(at, given, "dilation", 1)
    if padding or dilation != 1 or given.get("return_indices"):
        raise CompileError(
            f"{at.path}: max-pooling with padding, dilation or return_indices cannot run on the "
            "engine: leave them at their defaults"
        )
    return _window(at, kernel, stride)


def _window(at: Context, kernel: int, stride: int) -> Op:
    """A pool with all windows inside the map; ceil_mode says the same where nothing is left."""
    inside = tuple((n - kernel) // stride + 1 for n in at.before[1:])
    if at.shape[1:] != inside:
        raise CompileError(
            f"{at.path}: ceil_mode adds windows that reach beyond the map {at.before}: use "
            "ceil_mode=False, or a map that the windows fill"
        )
    return Pool(*at.seen, kernel, stride)


def numbers(value: Any) -> set[Any]:
    """The different numbers in an argument: {} of None, {2} of 2 and of (2, 2)."""
    if value is None:
        return set()
    return {value} if isinstance(value, int | float) else set(value)


def _square(at: Context, given: dict[str, Any], name: str, default: int) -> int:
    """One number for both axes; the default where torch has None or an empty list."""
    value = given.get(name)
    values = {value} if isinstance(value, int | None) else set(value)
    if len(values) > 1:
        raise CompileError(f"{at.path}: {name} must be the same on both axes, got {value}")
    found = values.pop() if values else None
    return default if found is None else int(found)


# --- layers -------------------------------------------------------------------------------------


def linear(at: Context) -> Op:
    """W x + bias on a flat input."""
    if len(at.before) != 1:
        raise CompileError(f"{at.path}: Linear on an unflattened feature map: add nn.Flatten")
    given = at.given("weight", "bias")
    spec, real = _weights(at, given.get("weight"))
    return Mac(*at.seen, spec, real, _bias(at, spec, given.get("bias")), conv=False)


def conv(at: Context) -> Op:
    """A convolution with square kernel and zero padding; the proof checks their sizes."""
    given = at.given("weight", "bias", "stride", "padding", "dilation", "groups")
    if (given.get("groups") or 1) != 1:
        raise CompileError(
            f"{at.path}: grouped convolutions cannot run on the engine: use groups=1"
        )
    if _square(at, given, "dilation", 1) != 1:
        raise CompileError(
            f"{at.path}: dilated convolutions cannot run on the engine: use dilation=1"
        )
    mode = getattr(at.module, "padding_mode", "zeros")
    if mode != "zeros":
        raise CompileError(f"{at.path}: padding_mode={mode!r} cannot run on the engine: use zeros")
    spec, real = _weights(at, given.get("weight"))
    # A hashed bank does not show its kernel, a call has no attribute for it.
    given["kernel_size"] = (
        at.module.kernel_size if is_hashed(at.module) else tuple(given["weight"].shape[2:])
    )
    kernel, stride = _square(at, given, "kernel_size", 0), _square(at, given, "stride", 1)
    padding = _padding(at, given, kernel)
    bias = _bias(at, spec, given.get("bias"))
    return Mac(*at.seen, spec, real, bias, True, kernel, stride, padding)


def _padding(at: Context, given: dict[str, Any], kernel: int) -> int:
    """Zeros on each side of a convolution; "same" says (k − 1) / 2, whole for odd kernels only."""
    if given.get("padding") == "valid":
        return 0
    if given.get("padding") != "same":
        return _square(at, given, "padding", 0)
    if kernel % 2 == 0:
        raise CompileError(
            f"{at.path}: padding='same' with kernel {kernel} puts {kernel // 2 - 1} zeros before "
            f"the map and {kernel // 2} behind it: the engine pads all four sides alike: use an "
            "odd kernel"
        )
    return kernel // 2


def _check_finite(at: Context, *values: Tensor | F64 | None) -> None:
    for value in values:
        if value is not None and not bool(torch.isfinite(torch.as_tensor(value)).all()):
            raise CompileError(
                f"{at.path}: weights, bias or constants contain NaN or infinity: train it again"
            )


def _weights(at: Context, weight: Any) -> tuple[HashSpec, F64]:
    """How the weights are shared, and the real ones in address order."""
    if not isinstance(weight, Tensor):
        raise CompileError(
            f"{at.path}: its weights are computed from the image: use constant weights"
        )
    if weight.numel() == 0:
        raise CompileError(f"{at.path}: has no weights: remove this empty layer")
    _check_finite(at, weight)
    values = weight.detach().double().numpy()
    if is_hashed(at.module):
        return at.module.spec, values.reshape(-1)
    matrix = values.reshape(len(values), -1)
    spec = HashSpec("dense", matrix.shape[0], matrix.shape[1], matrix.size)
    return spec, matrix.T.reshape(-1)  # address j · n_out + i


def _bias(at: Context, spec: HashSpec, bias: Any) -> F64:
    if bias is None:
        return np.zeros(spec.n_out)
    if not isinstance(bias, Tensor):
        raise CompileError(f"{at.path}: its bias is computed from the image: use a constant bias")
    _check_finite(at, bias)
    return bias.detach().double().numpy().copy()


# --- scale and offset ---------------------------------------------------------------------------


def batch_norm(at: Context) -> Op:
    """Batch norm with its running statistics."""
    norm: nn.BatchNorm1d | nn.BatchNorm2d = at.module
    if norm.running_mean is None or norm.running_var is None:
        raise CompileError(
            f"{at.path}: batch norm without running statistics depends on the batch: use "
            "track_running_stats=True"
        )
    mean = _per_channel(at, "running_mean", norm.running_mean)
    variance = _per_channel(at, "running_var", norm.running_var) + norm.eps
    # affine=False leaves weight and bias None, whatever their annotations say.
    gamma = _per_channel(at, "weight", 1.0 if norm.weight is None else norm.weight)
    beta = _per_channel(at, "bias", 0.0 if norm.bias is None else norm.bias)
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


def arithmetic(at: Context, name: str) -> Any:
    """x + c, c · x, and so on, where c is a number or a constant tensor that broadcasts."""
    operands = dict(zip(("input", "other"), at.args, strict=False)) | at.kwargs
    left, right = operands.pop("input", None), operands.pop("other", None)
    flipped = not isinstance(left, fx.Node)
    constant = left if flipped else right
    plain = isinstance(constant, int | float | Tensor) and not any(operands.values())
    if not plain or (flipped and name == "div"):
        return NotImplemented
    value = _float64(constant)
    if value.ndim == len(at.shape) + 1:
        value = value[0]
    one, zero = np.ones(()), np.zeros(())
    with np.errstate(divide="ignore", invalid="ignore"):
        scale, offset = {
            "add": (one, value),
            "sub": (-one, value) if flipped else (one, -value),
            "mul": (value, zero),
            "div": (1 / value, zero),
        }[name]
    return _affine(at, scale, offset)


def _affine(at: Context, scale: F64, offset: F64) -> Op:
    _check_finite(at, scale, offset)
    if at.before != at.shape or not at.same_batch:
        raise CompileError(
            f"{at.path}: changes the shape {at.before} to {at.shape}: use constants that fit the "
            "feature map"
        )
    return Affine(*at.seen, np.broadcast_to(scale, at.shape), np.broadcast_to(offset, at.shape))
