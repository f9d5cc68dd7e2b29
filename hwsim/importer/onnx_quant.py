"""Quantizers of ONNX and QONNX: constants become integers with scales, values become codes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.codes import (
    MAX_BITS,
    Codes,
    Rounding,
    checked_codes,
    integer_range,
    rounded,
)
from hwsim.importer.graph import Weights
from hwsim.importer.limits import refuse, within
from hwsim.importer.onnx_file import OnnxNode

Array = NDArray[Any]
#: QONNX's rounding modes. All add the zero point before they round.
ROUNDINGS: dict[str, Rounding] = {
    "ROUND": "even-behind-zero", "HALF_EVEN": "even-behind-zero", "HALF_UP": "away",
    "HALF_DOWN": "toward", "FLOOR": "floor", "CEIL": "ceil", "ROUND_TO_ZERO": "trunc",
    "DOWN": "trunc",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Quantized:
    """A constant in integers.

    values: int32, less the zero point. scales: float64, (1,) or one an index of ``axis``.
    """

    values: NDArray[np.int32]
    scales: NDArray[np.float64]
    axis: int = 0

    @property
    def real(self) -> NDArray[np.float64]:
        """What the integers are worth."""
        if len(self.scales) == 1:
            return self.values * self.scales[0]
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        return self.values * self.scales.reshape(shape)

    def transposed(self, order: list[int]) -> Quantized:
        """With its axes in another order."""
        return Quantized(np.transpose(self.values, order), self.scales, order.index(self.axis))

    def weights(self, node: OnnxNode) -> Weights:
        """As weights of a layer; the output channels stand first."""
        if len(self.scales) > 1 and self.axis != 0:
            raise refuse(
                node.name,
                node.operator,
                f"has weight scales along axis {self.axis}",
                "the engine has one a row: quantize by output channel",
            )
        return Weights(
            np.ascontiguousarray(self.values), tuple(Fraction(one) for one in self.scales.tolist())
        )


def dequantized(
    node: OnnxNode, values: Array, scale: Array, zero: Array | None, axis: int
) -> Quantized:
    """Integers of a file with their scales and zero points: DequantizeLinear of a constant."""
    scales = _scales(node, scale)
    if any("int" not in one.dtype.name for one in (values, zero) if one is not None):
        # Floats of 8 bits, which the operator may have: as integers they lost their fractions.
        raise refuse(
            node.name, node.operator, "has weights or zero points that are no integers",
            "quantize to int8",
        )  # fmt: skip
    zeros = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    shape = [1] * max(1, values.ndim)
    # Of one scale the axis says nothing; its default, 1, does not exist in a vector.
    one = max(scale.size, zeros.size) == 1
    axis = 0 if one else within(node.name, node.operator, axis, max(1, values.ndim))
    if not zeros.size:
        raise refuse(node.name, node.operator, "has an empty zero point", "quantize again")
    # Rows that share a scale come as one, but still bring a zero point each.
    if max(scale.size, zeros.size) > 1:
        side = values.shape[axis] if values.ndim else 1
        if scale.size not in (1, side) or zeros.size not in (1, side):
            raise refuse(
                node.name,
                node.operator,
                "has scales that do not fit its weights",
                "quantize by output channel; blocks are nothing the engine has",
            )
        shape[axis] = zeros.size
    words = values.astype(np.int64) - (zeros.reshape(shape) if zeros.size > 1 else zeros[0])
    return Quantized(words.reshape(values.shape).astype(np.int32), scales, axis)


def quant_constant(node: OnnxNode, x: Array, given: list[Array | None]) -> Quantized:
    """QONNX's Quant or BipolarQuant of a constant, computed in float32 as QONNX does."""
    scale = _need(node, given, 1)
    scales, axis = _along(node, scale, x.ndim)
    shape = [1] * x.ndim
    if scales.size > 1:
        if x.shape[axis] != scales.size:
            raise refuse(
                node.name,
                node.operator,
                "has scales that do not fit its weights",
                "quantize by output channel",
            )
        shape[axis] = scales.size
    steps = scales.reshape(shape).astype(np.float32)
    if is_bipolar(node, given):
        return Quantized(np.where(x >= 0, 1, -1).astype(np.int32), scales, axis)
    zero, low, high = _whole(node, given)
    values = np.clip(x.astype(np.float32) / steps + np.float32(zero), low, high)
    words = rounded(values.astype(np.float64), rounding_of(node)) - zero
    return Quantized(words.astype(np.int32), scales, axis)


def quant_codes(node: OnnxNode, given: list[Array | None]) -> Codes:
    """The codes of QONNX's Quant of a value; −1 and 1 of a bipolar one."""
    scales, _ = _along(node, _need(node, given, 1), 4)
    if scales.size != 1:
        raise refuse(
            node.name,
            node.operator,
            "quantizes values by channel",
            "the engine has one scale a map: quantize activations per tensor",
        )
    if is_bipolar(node, given):
        return Codes(Fraction(float(scales[0])), 0, -1, 1)
    zero, low, high = _whole(node, given)
    return checked_codes(f"{node.name}: {node.operator}", float(scales[0]), zero, low, high)


def is_bipolar(node: OnnxNode, given: list[Array | None]) -> bool:
    """Whether a quantizer knows −1 and +1 only: signed 1-bit ones do, whatever else they say."""
    if node.operator == "BipolarQuant":
        return True
    return _bits(node, given) == 1 and bool(node.attributes.get("signed", 1))


def rounding_of(node: OnnxNode) -> Rounding:
    """Ties of QONNX's Quant."""
    mode = str(node.attributes.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDINGS:
        raise refuse(
            node.name, node.operator, f"rounds by {mode}", f"hwsim knows {', '.join(ROUNDINGS)}"
        )
    return ROUNDINGS[mode]


def type_range(node: OnnxNode, dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the largest integer of a zero point's type."""
    name = dtype.name
    if "int" not in name or not name.lstrip("uint").isdigit():
        raise refuse(node.name, node.operator, f"quantizes to {name}", "use int8 or uint8")
    bits = int(name.lstrip("uint"))
    if bits > MAX_BITS:
        raise refuse(node.name, node.operator, f"quantizes to {name}", "use at most 16 bits")
    return integer_range(bits, not name.startswith("u"))


def linear_codes(node: OnnxNode, scale: Array, zero: Array | None) -> Codes:
    """The codes of QuantizeLinear, DequantizeLinear or a QLinear operator."""
    if scale.size != 1 or (zero is not None and zero.size != 1):
        raise refuse(
            node.name,
            node.operator,
            "quantizes values by channel",
            "the engine has one scale a map: quantize activations per tensor",
        )
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    low, high = type_range(node, dtype)
    point = 0 if zero is None else int(zero.astype(np.int64).reshape(-1)[0])
    return checked_codes(
        f"{node.name}: {node.operator}", float(scale.reshape(-1)[0]), point, low, high
    )


def _bits(node: OnnxNode, given: list[Array | None]) -> int:
    found = _need(node, given, 3).reshape(-1)
    bits = float(found[0]) if found.size == 1 else 0.0
    if bits != int(bits) or not 1 <= bits <= MAX_BITS:
        raise refuse(
            node.name,
            node.operator,
            f"quantizes to {bits:g} bits",
            f"the engine has whole bits, at most {MAX_BITS}",
        )
    return int(bits)


def _whole(node: OnnxNode, given: list[Array | None]) -> tuple[int, int, int]:
    """(zero, low, high) of a Quant that is not bipolar."""
    found = _need(node, given, 2)
    if np.any(found != found.reshape(-1)[0]):
        raise refuse(
            node.name,
            node.operator,
            "has a zero point a channel",
            "the engine has one: quantize per tensor, or symmetrically",
        )
    zero = float(found.reshape(-1)[0])
    if zero != int(zero):
        raise refuse(
            node.name,
            node.operator,
            f"has a zero point of {zero:g}",
            "the engine has whole ones: quantize symmetrically",
        )
    about = node.attributes
    low, high = integer_range(
        _bits(node, given), bool(about.get("signed", 1)), bool(about.get("narrow", 0))
    )
    if not low <= zero <= high:
        raise refuse(
            node.name,
            node.operator,
            f"has a zero point of {zero:g} outside of its integers {low} … {high}",
            "quantize again",
        )
    return int(zero), low, high


def _along(node: OnnxNode, scale: Array, axes: int) -> tuple[NDArray[np.float64], int]:
    """Scales as a list, and the axis of a constant with ``axes`` axes that they run along."""
    scales = _scales(node, scale)
    shape = (1,) * (axes - scale.ndim) + scale.shape
    along = [axis for axis, side in enumerate(shape) if side > 1]
    if len(along) > 1:
        raise refuse(
            node.name,
            node.operator,
            "has scales along several axes",
            "the engine has one a row: quantize by output channel",
        )
    return scales, along[0] if along else 0


def _scales(node: OnnxNode, scale: Array) -> NDArray[np.float64]:
    found = scale.astype(np.float64).reshape(-1)
    if not found.size or not (np.isfinite(found).all() and (found > 0).all()):
        raise refuse(
            node.name,
            node.operator,
            "has a scale that is not positive and finite",
            "quantize again",
        )
    if np.all(found == found[0]):
        return found[:1]
    return found


def _need(node: OnnxNode, given: list[Array | None], number: int) -> Array:
    found = given[number] if number < len(given) else None
    if found is None or not found.size:
        raise refuse(
            node.name,
            node.operator,
            "has scales, zero points or bits that are computed",
            "the engine has them in memory: make them constants",
        )
    return found
