"""Layers: what each step of a network computes, in integers. Where its maps stand, ``wires`` say.

Codes are unsigned, 0 … 2^ACT_W − 1; a code a of a map stands for (a − zero) · scale. Contract:
docs/architecture.md, Numbers; docs/images.md, What the words compute.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.hashing import HashSpec, table

Shape = tuple[int, int, int]  # (channels, height, width)
Pair = tuple[int, int]  # (vertical, horizontal)


@dataclass(frozen=True)
class Window:
    """How a convolution or pool walks over a map.

    kernel, stride: (vertical, horizontal). padding: rows and columns around the map, (top, left,
    bottom, right); at bottom and right it may be less than what the last window covers, where a
    stride leaves something over.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def square(cls, kernel: int, stride: int = 1, padding: int = 0) -> Window:
        """The same on both axes and on all four sides."""
        return cls((kernel, kernel), (stride, stride), (padding,) * 4)

    @property
    def size(self) -> int:
        """Pixels of a window."""
        return self.kernel[0] * self.kernel[1]

    def out_sides(self, height: int, width: int) -> Pair:
        """(height, width) of the map behind it; below 1 where the window does not fit."""
        top, left, bottom, right = self.padding
        return (
            (height + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (width + left + right - self.kernel[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True, eq=False)
class MacLayer:
    """A convolution or fully connected layer with its requantization.

    name: module path. kind: ``conv`` or ``fc``. in_shape, out_shape: (C, H, W); fc has out_shape
    (F, 1, 1) and reads its input flattened in (c, y, x) order. window: of a conv; None for fc.
    spec: weight sharing, virtual weight (i, j) with i the output channel of the whole layer and j
    over (channel of its group, ky, kx). weights: int32 (K,) ROM words. multiplier m_c, shift s_c
    (int32) and bias b_c (int64), each (out_c,): hidden layers compute clamp((acc·m_c + b_c) >> s_c,
    lo, hi), b_c including the rounding term 2^(s_c−1) and all zero points; the last layer computes
    acc + b_c with m_c = s_c = 0 unused.

    groups: of a conv, each with out_c/groups outputs that see in_c/groups channels. fill: the code
    that padding reads, that of real 0 in the input map. weight_scale: float64, (1,) or (out_c,),
    what a step of a word is worth, for all rows or row by row. lo, hi: codes 0 <= lo <= hi. scale,
    zero: of the output map; of the last layer, a logit v is worth v · scale. floor: cycles that it
    takes at least, its instruction included, on an engine that skips; below 2^24.
    """

    name: str
    kind: Literal["conv", "fc"]
    in_shape: Shape
    out_shape: Shape
    window: Window | None
    spec: HashSpec
    weights: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    bias: NDArray[np.int64]
    _: KW_ONLY
    last: bool
    weight_scale: NDArray[np.float64]
    scale: float
    hi: int
    lo: int = 0
    zero: int = 0
    fill: int = 0
    groups: int = 1
    floor: int = 0

    @property
    def fan_in(self) -> int:
        return self.spec.fan_in

    @property
    def n_out(self) -> int:
        return self.spec.n_out

    @property
    def group_out(self) -> int:
        """Output channels of a group."""
        return self.n_out // self.groups

    @property
    def window_padding(self) -> tuple[int, int, int, int]:
        """Padding of a convolution; none for a fully connected layer."""
        return self.window.padding if self.window else (0, 0, 0, 0)

    @property
    def pixels(self) -> int:
        return self.out_shape[1] * self.out_shape[2]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, padding included."""
        return self.spec.virtual_weights * self.pixels

    @property
    def channel_lines(self) -> int:
        """Lines of the scale and bias memories."""
        return self.n_out

    @property
    def fw(self) -> int:
        """Binary point of the weights: a word is worth w · 2^-fw.

        Raises ValueError if rows differ, or a step of them is no power of two.
        """
        return common_point(self.weight_scale)

    @cached_property
    def hash_table(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(address, negative), each (n_out, fan_in)."""
        return table(self.spec)

    @cached_property
    def virtual_weights(self) -> NDArray[np.int32]:
        """Decoded integer weights, shape (n_out, fan_in)."""
        address, negative = self.hash_table
        words = self.weights[address]
        return np.where(negative, -words, words)

    def share_table(self, twin: MacLayer) -> None:
        """Take over what ``twin`` has computed: its hash table, and weights decoded from the same.

        A table takes a tenth of a second where nothing else does. Only for a layer of the same
        ``spec``.
        """
        assert self.spec == twin.spec
        if "hash_table" in twin.__dict__:
            self.__dict__["hash_table"] = twin.__dict__["hash_table"]
        if self.weights is twin.weights:
            for name in ("virtual_weights", "_largest_sums"):
                if name in twin.__dict__:
                    self.__dict__[name] = twin.__dict__[name]

    @cached_property
    def rounding(self) -> NDArray[np.int64]:
        """The term 2^(s_c−1) that b_c already contains; 0 where s_c = 0; int64 (out_c,)."""
        return rounding_of(self.shift)

    def accumulator_bound(self, act_max: int) -> NDArray[np.int64]:
        """Per output neuron: the largest |partial sum| that any input can cause, bias apart."""
        return act_max * self._largest_sums

    @cached_property
    def _largest_sums(self) -> NDArray[np.int64]:
        """Per output neuron: the larger of Σw⁺ and Σ|w⁻| over its virtual weights."""
        return _largest(self.virtual_weights)

    def largest_sums_with(
        self, weights: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The same of other virtual weights (n_out, fan_in), which differ in ``rows`` only."""
        found = self._largest_sums.copy()
        found[rows] = _largest(weights[rows])
        return found


def _largest(weights: NDArray[np.int32]) -> NDArray[np.int64]:
    """The larger of Σw⁺ and Σ|w⁻| of each row."""
    total = weights.sum(1, dtype=np.int64)
    positive = np.maximum(weights, 0).sum(1, dtype=np.int64)
    return np.maximum(positive, positive - total)


@dataclass(frozen=True, eq=False)
class AverageLayer:
    """The sum over windows inside the map, requantized: clamp((Σa · m + b) >> s, lo, hi).

    One m, s (int32) and b (int64), each (1,), for all channels; no padding, leftovers dropped. The
    last layer, on windows as large as the map, computes Σa + b. Other fields as of ``MacLayer``.
    """

    name: str
    in_shape: Shape
    out_shape: Shape
    window: Window
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    bias: NDArray[np.int64]
    _: KW_ONLY
    last: bool
    scale: float
    hi: int
    lo: int = 0
    zero: int = 0
    kind: Literal["average"] = "average"

    channel_lines = 1

    def accumulator_bound(self, act_max: int) -> NDArray[np.int64]:
        """(1,): the largest sum of a window."""
        return np.array([act_max * self.window.size], np.int64)


@dataclass(frozen=True, eq=False)
class AffineLayer:
    """Each code requantized by the words of its channel: clamp((a·m_c + b_c) >> s_c, lo, hi).

    multiplier, shift (int32), bias (int64): (C,). The last layer computes a + b_c. The output has
    the shape of the input. Other fields as of ``MacLayer``.
    """

    name: str
    in_shape: Shape
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    bias: NDArray[np.int64]
    _: KW_ONLY
    last: bool
    scale: float
    hi: int
    lo: int = 0
    zero: int = 0
    kind: Literal["affine"] = "affine"

    @property
    def out_shape(self) -> Shape:
        return self.in_shape

    @property
    def channel_lines(self) -> int:
        return self.in_shape[0]

    def accumulator_bound(self, act_max: int) -> NDArray[np.int64]:
        """(C,): a code."""
        return np.full(self.in_shape[0], act_max, np.int64)


@dataclass(frozen=True, eq=False)
class AddLayer:
    """Two maps of one shape: clamp((a₁·m₁ + a₂·m₂ + b) >> s, lo, hi).

    multiplier: int32 (2,). shift: int32 (1,). bias: int64 (1,), zero points and rounding inside.
    Other fields as of ``MacLayer``.
    """

    name: str
    in_shape: Shape
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    bias: NDArray[np.int64]
    _: KW_ONLY
    scale: float
    hi: int
    lo: int = 0
    zero: int = 0
    kind: Literal["add"] = "add"

    channel_lines = 2

    @property
    def out_shape(self) -> Shape:
        return self.in_shape


@dataclass(frozen=True, eq=False)
class LutLayer:
    """y = table[a] for every code; table: int32 (2^ACT_W,). scale, zero: of the output."""

    name: str
    in_shape: Shape
    table: NDArray[np.int32]
    _: KW_ONLY
    scale: float
    zero: int = 0
    kind: Literal["lut"] = "lut"

    channel_lines = 1

    @property
    def out_shape(self) -> Shape:
        return self.in_shape


@dataclass(frozen=True)
class PoolLayer:
    """Integer max-pool. Padding never wins. Codes keep their meaning."""

    name: str
    in_shape: Shape
    out_shape: Shape
    window: Window
    kind: Literal["pool"] = "pool"

    channel_lines = 0


Layer = MacLayer | PoolLayer | AverageLayer | AffineLayer | AddLayer | LutLayer
#: Layers that may hand out the logits: they sum, and have a bias for each output or one for all.
SUMMING = (MacLayer, AverageLayer, AffineLayer)


def is_last(layer: Layer) -> bool:
    """Whether a layer hands out the logits."""
    return isinstance(layer, SUMMING) and layer.last


def rounding_of(shift: NDArray[np.int32]) -> NDArray[np.int64]:
    """2^(s−1) for each shift s, 0 where s = 0; int64 of the same shape."""
    one = np.int64(1)
    return np.where(shift > 0, one << np.maximum(shift - 1, 0).astype(np.int64), 0)


def binary_point(scale: float) -> int | None:
    """f with 2^-f = scale, None if scale is no power of two."""
    fraction, exponent = math.frexp(scale)
    return 1 - exponent if fraction == 0.5 else None


def common_point(scales: NDArray[np.float64]) -> int:
    """f with 2^-f = every one of ``scales``. Raises ValueError if there is none."""
    points = {binary_point(scale) for scale in scales.tolist()}
    if len(points) != 1 or None in points:
        raise ValueError("these steps are no common power of two")
    return next(point for point in points if point is not None)
