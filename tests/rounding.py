"""How far a float32 gradient may be from the exact one: a share of its terms, never of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.pulls import counted, layer_factors
from hwsim.program.layers import (
    AverageLayer,
    Layer,
    MacLayer,
    PoolLayer,
    Window,
)
from hwsim.program.program import Program

#: Unit roundoff of float32: round to nearest is off by at most this share of the exact result.
UNIT = Fraction(1, 2**24)


def gamma(count: int) -> Fraction:
    """γ_n = n·u / (1 − n·u): bounds |Π (1 + δ_k)^±1 − 1| over n roundings, each |δ_k| <= u.

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1.
    """
    assert count * UNIT < 1
    return count * UNIT / (1 - count * UNIT)


def _overlap(window: Window) -> int:
    """The most windows that hold one place."""
    sides = zip(window.kernel, window.stride, strict=True)
    return math.prod(-(-kernel // stride) for kernel, stride in sides)


def _readers(layer: MacLayer) -> int:
    """Outputs that read one input, at most."""
    return layer.group_out * (_overlap(layer.window) if layer.window else 1)


def _is_rounded(layer: Layer, factors: NDArray[np.float64]) -> bool:
    """Whether a factor that the backward pass multiplies by does not fit float32."""
    if isinstance(layer, MacLayer):
        rows = np.broadcast_to(factors, (layer.n_out,))
        factors = layer.virtual_weights * rows[:, None]
    return bool(np.any(factors.astype(np.float32) != factors))


def _own_roundings(layer: Layer, factors: NDArray[np.float64]) -> int:
    """Roundings that a term passes on its way back through one layer, to one of its sources."""
    if isinstance(layer, PoolLayer):
        return _overlap(layer.window) - 1
    rounded = int(_is_rounded(layer, factors))
    if isinstance(layer, MacLayer):
        return rounded + _readers(layer)
    if isinstance(layer, AverageLayer):
        return rounded + _overlap(layer.window)
    return rounded + 1


Cost = Callable[[Layer, NDArray[np.float64]], float]


def _worst_path(program: Program, cost: Cost, join: float) -> float:
    """The largest sum of ``cost`` (layer, factors) over a path from the logits to the image.

    join: what each further reader of a map adds there.
    """
    behind: dict[int, float] = {}
    readers: dict[int, int] = {}
    there = list(zip(program.layers, program.wires, strict=True))
    for number, (layer, wire) in reversed(list(enumerate(there))):
        after = 0.0
        if wire.target is not None:
            after = behind[wire.target.map] + join * (readers[wire.target.map] - 1)
        for place, factors in zip(wire.sources, layer_factors(program, number), strict=True):
            here = after + cost(layer, factors)
            behind[place.map] = max(behind.get(place.map, -math.inf), here)
            readers[place.map] = readers.get(place.map, 0) + 1
    return behind[0] + join * (readers[0] - 1)


def roundings(program: Program) -> int:
    """The most roundings that a term of a float32 input gradient passes, in any order of sums.

    A term is a path from a logit to the pixel: seed · w · (m · 2^-s · w) · … · (2^A − 1). Seeds
    are taken to be float32 numbers. On its way back through

    - a layer with weights, its factor w · m · 2^-s may have been rounded (once), the product with
      the factor is (once), and the sum of up to N terms adds at most N − 1 roundings to each of
      them, in whatever order a library sums (Higham, section 3.1; with fused multiply-adds there
      are fewer). N is the number of outputs that read one input: n_out for a fully connected
      layer, n_out · ⌈kernel / stride⌉² for a convolution, of a group where there are some.
    - a max-pool, up to ⌈kernel / stride⌉² windows may have the same winner: as many terms less one.
      Gates and winners select, and round nothing. An average adds a factor, and a product.
    - an affine layer, an addition, a table: a factor that may have been rounded, and a product.
    - a map that several layers read, their gradients are added.
    - the input, the product with (2^A − 1) · 2^-A, which float32 holds exactly: once.

    So every term of the computed sum is the exact term times (1 + δ)s, at most this many, and the
    sum is off by at most γ_n · Σ|terms|.
    """
    last = counted(program, float(program.input.scale)) / float(program.input.scale)
    own = _worst_path(program, _own_roundings, 1)
    return 1 + int(np.float32(last) != last) + int(own)


def stays_normal(program: Program) -> bool:
    """Whether no product along any path can leave float32: then all roundings are relative ones.

    Below 2^-126 numbers lose bits, or all of them where a library flushes them to zero. With seeds
    of at least 1/2, all partial products of a path above 2^-100 have Σ|terms| > 2^-102 at every
    place, so that the loss of a product that cancellation made small, at most 2^-126, is less than
    u · Σ|terms|: no more than the rounding that was counted for it.
    """

    return _worst_path(program, _shrinks, 0) < 100 and _worst_path(program, _grows, 1) < 120


def _shrinks(layer: Layer, factors: NDArray[np.float64]) -> float:
    """Bits by which a factor of a layer may make a term smaller."""
    return max(0.0, -float(_logs(factors).min(initial=0.0)))


def _grows(layer: Layer, factors: NDArray[np.float64]) -> float:
    """Bits by which a layer may make a sum of terms larger."""
    terms, largest = 1, 1
    if isinstance(layer, MacLayer):
        terms, largest = _readers(layer), max(int(np.abs(layer.weights).max()), 1)
    elif isinstance(layer, PoolLayer | AverageLayer):
        terms = _overlap(layer.window)
    return max(0.0, float(_logs(factors).max(initial=0.0))) + math.log2(terms * largest)


def _logs(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log2(np.abs(factors[factors != 0]))


def worst_share(found: NDArray[Any], exact: NDArray[Any], size: NDArray[Any], count: int) -> float:
    """The largest |found − exact| / (γ_count · size); infinite where something has no terms.

    found: floats; exact, size: Fractions of the same shape (``reference.gradient_and_size``).
    """
    assert found.shape == exact.shape == size.shape
    worst, allowed = Fraction(0), gamma(count)
    flat = zip(found.ravel().tolist(), exact.ravel(), size.ravel(), strict=True)
    for value, true, terms in flat:
        if not np.isfinite(value):
            return float("inf")
        error = abs(Fraction(value) - true)
        if error and not terms:
            return float("inf")
        if error:
            worst = max(worst, error / (allowed * terms))
    return float(worst)


def assert_within(found: NDArray[Any], exact: NDArray[Any], size: NDArray[Any], count: int) -> None:
    """Fail unless every value is within what ``count`` roundings of its terms allow."""
    share = worst_share(found, exact, size, count)
    assert share <= 1, (
        f"off by {share:.3g} of what {count} roundings of the terms allow: "
        f"{found.tolist()} for {exact.astype(float).tolist()}"
    )
