"""A program's integers as the real numbers of a quantized graph, without a word of ONNX.

A layer of the engine computes y = ⌊(acc·m + b) / 2^s⌋, a quantized graph rounds a sum of reals to
even. They agree where the graph's sum is that of the engine plus half a step of its fraction,

    (acc·m + b − 2^(s−1) + ½) / 2^s,

which is never in the middle between two codes: for any integer t, ⌊t/2^s⌋ is what
(t − 2^(s−1) + ½)/2^s is rounded to. So the only difference left is what floating-point sums lose.

Single precision cannot hold that half step where s is large. Layers without weights have so few
sums that all can be tried, so there the offset is the one that keeps them farthest from a middle.
It matters: of the sums of an 8x8 window one in 64 is a tie.
The multiplier m/2^s goes into the scale of each row of weights, exactly as the engine has it: a
scale is what a step of the row is worth there, not what it was before it became a multiplier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.program.layers import AddLayer, AffineLayer, AverageLayer, MacLayer
from hwsim.program.program import Numbers

Reals = NDArray[np.float64]
#: Sums of a layer that are tried at most: two sources of 8 bits, or a 16x16 window.
TRIED = 2**16


@dataclass(frozen=True)
class Weighted:
    """A convolution or matrix in reals: out = Σ weights·step·x + offset, by output channel.

    weights: int32 (n_out, fan_in), signs such that every step is positive. step, offset: float64
    (n_out,).
    """

    weights: NDArray[np.int32]
    step: Reals
    offset: Reals


@dataclass(frozen=True)
class Scaled:
    """out = Σ factor·x + offset. factors: one array a source, (1,) or (C,); offset likewise."""

    factors: tuple[Reals, ...]
    offset: Reals


def weighted(layer: MacLayer, source: Numbers) -> Weighted:
    """Weights of a convolution or fully connected layer, expanded from what they share."""
    words = layer.virtual_weights
    ratio = _ratio(layer, source)
    total = words.sum(1, dtype=np.int64)
    offset = _offset(layer) * layer.scale + source.zero * source.scale * total * ratio
    # A row whose multiplier is 0 has no step: its words are 0 instead.
    words = (words * np.sign(ratio).astype(np.int32)[:, None]).astype(np.int32)
    return Weighted(words, np.where(ratio == 0, 1.0, np.abs(ratio)), offset)


def affine(layer: AffineLayer, source: Numbers, act_max: int) -> Scaled:
    """Factor and offset of each channel. act_max: the largest code of a map."""
    ratio = _ratio(layer, source)
    offset = _offset(layer, act_max) * layer.scale + source.zero * source.scale * ratio
    return Scaled((ratio,), offset)


def average(layer: AverageLayer, source: Numbers, act_max: int) -> Scaled:
    """Of the mean of a window: a factor near 1, because m/2^s is no more than near."""
    ratio = _ratio(layer, source) * layer.window.size
    offset = _offset(layer, act_max) * layer.scale + source.zero * source.scale * ratio
    return Scaled((ratio,), offset)


def added(layer: AddLayer, sources: Sequence[Numbers], act_max: int) -> Scaled:
    """A factor near 1 for each source."""
    offset = _offset(layer, act_max) * layer.scale
    factors = []
    for m, source in zip(layer.multiplier.astype(np.float64), sources, strict=True):
        ratio = m / np.exp2(layer.shift) * (layer.scale / source.scale)
        factors.append(ratio)
        offset = offset + source.zero * source.scale * ratio
    return Scaled(tuple(factors), offset)


def _ratio(layer: MacLayer | AffineLayer | AverageLayer, source: Numbers) -> Reals:
    """What one step of the sum is worth, in the output's reals per real of the source."""
    if layer.last:
        count = len(layer.bias)
        return np.full(count, layer.scale / source.scale)
    gain = layer.multiplier.astype(np.float64) / np.exp2(layer.shift)
    return gain * (layer.scale / source.scale)


def _offset(
    layer: MacLayer | AffineLayer | AverageLayer | AddLayer, act_max: int | None = None
) -> Reals:
    """What stands behind the sum, in steps of the output and without its zero point."""
    bias = layer.bias.astype(np.float64)
    if not isinstance(layer, AddLayer) and layer.last:
        return bias
    power = np.exp2(layer.shift)
    products = None if act_max is None else _products(layer, act_max)
    half = 0.5 if products is None else _farthest(layer, products)
    return (bias - power / 2 + half) / power - layer.zero


def _products(layer: object, act_max: int) -> NDArray[np.int64] | None:
    """acc·m of all sums that a layer without weights can have, (T, C); None of too many."""
    if isinstance(layer, AddLayer):
        if (act_max + 1) ** 2 > TRIED:
            return None
        first, second = layer.multiplier.astype(np.int64)
        codes = np.arange(act_max + 1)
        return (codes * first + codes[:, None] * second).reshape(-1, 1)
    assert isinstance(layer, AffineLayer | AverageLayer)
    count = act_max * (layer.window.size if isinstance(layer, AverageLayer) else 1) + 1
    if count > TRIED:
        return None
    return np.arange(count)[:, None] * layer.multiplier.astype(np.int64)


def _farthest(
    layer: AffineLayer | AverageLayer | AddLayer | MacLayer, products: NDArray[np.int64]
) -> Reals:
    """What to add to t − 2^(s−1), so that no t/2^s lies near a middle; ½ where t takes all values.

    With r the fractions of t that occur, the nearest middles are r + h below and 2^s − r − h above.
    """
    sums = products + layer.bias
    codes = sums >> layer.shift
    # A sum beyond the clamp may be rounded to any code there.
    counts = (codes >= layer.lo - 1) & (codes <= layer.hi + 1)
    rest = sums - (codes << layer.shift)
    power = np.int64(1) << layer.shift.astype(np.int64)
    least = np.where(counts, rest, power).min(0)
    most = np.where(counts, rest, -1).max(0)
    half = (power - least - most) / 2
    return np.asarray(np.where(counts.any(0), half, 0.5), np.float64)
