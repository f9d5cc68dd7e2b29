"""Constants that a file computes: shapes, permuted weights, square roots of variances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import HwsimError
from hwsim.importer.limits import DAMAGED, MISFITS, all_within, elements, refuse
from hwsim.importer.onnx_axes import axis_of, split_axis
from hwsim.importer.onnx_file import OnnxNode

Array = NDArray[Any]
_BINARY = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": np.power}
_UNARY = {"Sqrt": np.sqrt, "Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Floor": np.floor,
          "Ceil": np.ceil, "Reciprocal": np.reciprocal, "Round": np.rint}  # fmt: skip
#: Operators whose result is a constant where their inputs are. ``Shape`` needs a shape only.
FOLDED = {
    *_BINARY, *_UNARY, "Div", "Constant", "Identity", "Cast", "Gather", "Unsqueeze", "Squeeze",
    "Concat", "Reshape", "Transpose", "Slice", "Flatten", "QuantizeLinear", "Clip",
    "ConstantOfShape", "Min", "Max",
}  # fmt: skip


def folded(node: OnnxNode, given: list[Array | None]) -> Array:
    """What a node of ``FOLDED`` gives. given: its inputs, None of those that are left out.

    Raises
    ------
    CompileError
        For shapes that do not fit, and for what is too large.
    """
    try:
        with np.errstate(all="ignore"):
            found = _folded(node, given)
    except HwsimError:
        raise
    except MISFITS:
        raise refuse(node.name, node.operator, *DAMAGED) from None
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise refuse(
            node.name,
            node.operator,
            "gives NaN or infinity from constants",
            "check the network's constants",
        )
    return found


def _folded(node: OnnxNode, given: list[Array | None]) -> Array:
    kind, about = node.operator, node.attributes
    if kind == "Constant":
        return constant(node)
    x = given[0]
    assert x is not None
    if kind in _BINARY or kind in ("Div", "Min", "Max"):
        y = given[1]
        assert y is not None
        elements(node.name, np.broadcast_shapes(x.shape, y.shape))
        if kind == "Div":
            # Whole numbers are divided toward zero.
            return np.divide(x, y) if x.dtype.kind == "f" else (np.trunc(x / y)).astype(x.dtype)
        if kind in ("Min", "Max"):
            return (np.minimum if kind == "Min" else np.maximum)(x, y)
        return np.asarray(_BINARY[kind](x, y)).astype(x.dtype)
    if kind in _UNARY:
        return np.asarray(_UNARY[kind](x)).astype(x.dtype)
    if kind == "Cast":
        return x.astype(_TYPES[about["to"]])
    if kind == "Gather":
        assert given[1] is not None
        elements(node.name, (*given[1].shape, max(1, x.size)))
        return np.take(x, given[1].astype(np.int64), axis=axis_of(node, x.ndim, 0))
    if kind in ("Unsqueeze", "Squeeze"):
        axes = about.get("axes") if len(given) < 2 or given[1] is None else given[1].tolist()
        if kind == "Unsqueeze":
            return np.expand_dims(x, tuple(axes or ()))
        return np.squeeze(x, None if axes is None else tuple(axes))
    if kind == "Concat":
        return np.concatenate([one for one in given if one is not None], about["axis"])
    if kind == "Reshape":
        assert given[1] is not None
        return x.reshape(reshaped(x.shape, given[1].tolist(), bool(about.get("allowzero", 0))))
    if kind == "Flatten":
        before = x.shape[: split_axis(node, x.ndim)]
        return x.reshape(int(np.prod(before)), -1)
    if kind == "Transpose":
        return np.transpose(x, about.get("perm"))
    if kind == "Slice":
        return _sliced(node, x, given)
    if kind == "QuantizeLinear":
        return _quantized(node, x, given)
    if kind == "ConstantOfShape":
        elements(node.name, x.tolist())
        value = about.get("value", np.zeros(1, np.float32))
        return np.full(x.tolist(), value.reshape(-1)[0], value.dtype)
    if kind == "Clip":
        low, high = clip_bounds(node, given)
        return np.clip(x, low, high).astype(x.dtype)
    return x


def constant(node: OnnxNode) -> Array:
    """What a Constant holds."""
    about = node.attributes
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64),
                        ("value_floats", np.float32), ("value_ints", np.int64)):  # fmt: skip
        if name in about:
            return np.array(about[name], dtype)
    if "value" not in about:
        raise refuse(node.name, node.operator, "holds no numbers", "export the network again")
    return np.asarray(about["value"])


def reshaped(shape: tuple[int, ...], wanted: list[int], zero_is_zero: bool = False) -> list[int]:
    """A target of Reshape with its 0 and −1 replaced."""
    found = [
        shape[n] if side == 0 and not zero_is_zero else int(side) for n, side in enumerate(wanted)
    ]
    if -1 in found:
        rest = int(np.prod([side for side in found if side != -1]))
        found[found.index(-1)] = int(np.prod(shape)) // max(rest, 1)
    if int(np.prod(found)) != int(np.prod(shape)) or min(found, default=1) < 0:
        raise ValueError("the shapes do not fit")
    return found


def clip_bounds(node: OnnxNode, given: list[Array | None]) -> tuple[float, float]:
    """(low, high) of a Clip: attributes up to opset 10, inputs from then on."""
    low, high = node.attributes.get("min", -np.inf), node.attributes.get("max", np.inf)
    if len(given) > 1 and given[1] is not None:
        low = given[1].reshape(-1)[0]
    if len(given) > 2 and given[2] is not None:
        high = given[2].reshape(-1)[0]
    return float(low), float(high)


def _sliced(node: OnnxNode, x: Array, given: list[Array | None]) -> Array:
    pieces = slices(node, given, x.ndim)
    return x[tuple(pieces.get(axis, slice(None)) for axis in range(x.ndim))]


def slices(node: OnnxNode, given: list[Array | None], axes: int) -> dict[int, slice]:
    """Axis -> what a Slice takes of it."""
    about = node.attributes
    lists = [
        about.get(name)
        if len(given) <= number or given[number] is None
        else np.asarray(given[number]).tolist()
        for name, number in (("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4))
    ]
    starts, ends = lists[0] or [], lists[1] or []
    along = lists[2] or list(range(len(starts)))
    steps = lists[3] or [1] * len(starts)
    return {
        axis: slice(start, end, step)
        for axis, start, end, step in zip(
            all_within(node.name, node.operator, along, axes), starts, ends, steps, strict=True
        )
    }


def _quantized(node: OnnxNode, x: Array, given: list[Array | None]) -> Array:
    """QuantizeLinear of constants, as ONNX has it: halves to even, then the zero point."""
    scale, zero = given[1], given[2] if len(given) > 2 else None
    assert scale is not None
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[axis_of(node, x.ndim, 1)] = scale.size
    zeros = np.zeros(1) if zero is None else zero.astype(np.float64)
    values = np.rint(x / scale.reshape(shape if scale.size > 1 else [])) + (
        zeros.reshape(shape) if zeros.size > 1 else zeros.reshape(-1)[0]
    )
    about = np.iinfo(dtype)
    return np.clip(values, about.min, about.max).astype(dtype)


_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32,
          7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64, 12: np.uint32,
          13: np.uint64}  # fmt: skip
