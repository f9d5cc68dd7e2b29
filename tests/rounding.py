"""How far a float32 gradient may be from the exact one: a share of its terms, never of itself."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.program.program import MacLayer, PoolLayer, Program

#: Unit roundoff of float32: round to nearest is off by at most this share of the exact result.
UNIT = Fraction(1, 2**24)


def gamma(count: int) -> Fraction:
    """γ_n = n·u / (1 − n·u): bounds |Π (1 + δ_k)^±1 − 1| over n roundings, each |δ_k| <= u.

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1.
    """
    assert count * UNIT < 1
    return count * UNIT / (1 - count * UNIT)


def _overlap(kernel: int, stride: int) -> int:
    """The most windows of one axis that hold one place."""
    return -(-kernel // stride)


def _weight_roundings(layer: MacLayer) -> int:
    """1 if a factor w · m of the layer needs more than the 24 bits of float32, else 0.

    w · m has at most 15 + 15 bits, and the power of two that goes with it rounds nothing. The last
    layer's factors are words of at most 15 bits.
    """
    if layer.last:
        return 0
    wide = layer.virtual_weights.astype(np.float64) * layer.multiplier[:, None]
    return int(np.any(wide.astype(np.float32) != wide))


def roundings(program: Program) -> int:
    """The most roundings that a term of a float32 input gradient passes, in any order of sums.

    A term is a path from a logit to the pixel: seed · w · (m · 2^-s · w) · … · (2^A − 1). Seeds
    are taken to be float32 numbers. On its way back through

    - a layer with weights, its factor w · m · 2^-s may have been rounded (once), the product with
      the factor is (once), and the sum of up to N terms adds at most N − 1 roundings to each of
      them, in whatever order a library sums (Higham, section 3.1; with fused multiply-adds there
      are fewer). N is the number of outputs that read one input: n_out for a fully connected
      layer, n_out · ⌈kernel / stride⌉² for a convolution.
    - a pool, up to ⌈kernel / stride⌉² windows may have the same winner: as many terms less one.
      Gates and winners select, and round nothing.
    - the input, the product with (2^A − 1) · 2^-A, which float32 holds exactly: once.

    So every term of the computed sum is the exact term times (1 + δ)s, at most this many, and the
    sum is off by at most γ_n · Σ|terms|.
    """
    count = 1
    for layer in program.layers:
        if isinstance(layer, PoolLayer):
            count += _overlap(layer.kernel, layer.stride) ** 2 - 1
            continue
        readers = layer.n_out
        if layer.kind == "conv":
            readers *= _overlap(layer.kernel, layer.stride) ** 2
        count += _weight_roundings(layer) + readers
    return count


def stays_normal(program: Program) -> bool:
    """Whether no product along any path can leave float32: then all roundings are relative ones.

    Below 2^-126 numbers lose bits, or all of them where a library flushes them to zero. With seeds
    of at least 1/2, all partial products of a path above 2^-100 have Σ|terms| > 2^-102 at every
    place, so that the loss of a product that cancellation made small, at most 2^-126, is less than
    u · Σ|terms|: no more than the rounding that was counted for it.
    """
    low = high = 0.0
    for layer in program.layers:
        if isinstance(layer, PoolLayer):
            high += 2 * float(np.log2(_overlap(layer.kernel, layer.stride)))
            continue
        m = np.abs(layer.multiplier.astype(np.float64))
        shift = layer.fa_in - layer.fa_out - layer.shift.astype(np.float64)
        scale = np.full(1, -float(layer.fw)) if layer.last else np.log2(m[m > 0]) + shift[m > 0]
        largest = np.log2(max(int(np.abs(layer.weights).max()), 1))
        terms = np.log2(layer.n_out * layer.kernel**2)
        low += min(0.0, float(scale.min(initial=0.0)))
        high += max(0.0, float(scale.max(initial=0.0)) + largest + terms)
    return low > -100 and high < 120


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
