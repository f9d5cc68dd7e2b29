"""How runtimes bring integer sums back to codes, for arrays: what ``rounding_oracle`` says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwsim.importer import rounding_oracle
from hwsim.importer.codes import rounded
from hwsim.importer.steps import IntegerStep
from hwsim.importer.sums import pooled, sums

I64 = NDArray[np.int64]
#: What the models are called in print.
MODELS = {
    "half-even": "once, in float32, halves to even",
    "twice-away": "twice, halves up and then away from zero",
    "twice-up": "twice, halves up both times",
    "once-away": "once, in float64, halves away from zero",
    "once": "once, halves up, 31-bit multiplier",
    "double": "once, in float64, halves to even",
}


def matching(step: IntegerStep, sources: list[I64], wanted: I64) -> tuple[str, ...]:
    """The models that give ``wanted`` from ``sources``, bit for bit; arrays as of ``codes``."""
    total = sums(step, sources) if len(sources) == 1 else None
    return tuple(
        name for name in MODELS if np.array_equal(codes(step, sources, name, total), wanted)
    )


def codes(step: IntegerStep, sources: list[I64], model: str, total: I64 | None = None) -> I64:
    """What a kernel that rounds like ``model`` makes of codes.

    Parameters
    ----------
    step : IntegerStep
        Any but the last.
    sources : list of int64 arrays (N, C, H, W)
        Codes q of the file that the step reads.
    model : str
        A key of ``MODELS``.
    total : int64 array (N, C, H, W), optional
        The step's sums, where they are known.

    Returns
    -------
    int64 array (N, C, H, W)
        Codes of the step's target.
    """
    assert step.target is not None
    if step.kind == "pool":
        return pooled(step, sources[0])
    if step.kind == "lut":
        return step.table()[sources[0] - step.sources[0].codes.low]
    if step.kind == "add":
        found = added(step, sources, model)
    else:
        total = sums(step, sources) if total is None else total
        if step.bipolar:
            return (_real(step, total) >= 0).astype(np.int64)
        found = _requantized(step, total, model)
    low, high = step.bounds
    return np.clip(found, low, high)


def _requantized(step: IntegerStep, total: I64, model: str) -> I64:
    assert step.target is not None
    zero = step.target.codes.zero
    if model == "double":
        return _in_float64(step, total)
    if step.kind == "average":
        assert step.window is not None
        # Their averages do not rescale: codes in, codes out.
        return _average(total + step.sources[0].codes.zero * step.window.size, step.window.size)
    if model == "half-even":
        single = _float32_factors(step)
        return np.rint(total.astype(np.float32) * single).astype(np.int64) + zero
    found = np.empty_like(total)
    for channel, factor in enumerate(factors(step, total.shape[1])):
        found[:, channel] = _ONE_BY_ONE[model](total[:, channel], factor)
    return found + zero


def _in_float64(step: IntegerStep, total: I64) -> I64:
    """What a runtime computes that rounds real numbers: the dialect's ties and zero point."""
    assert step.target is not None
    to = step.target.codes
    real = np.clip(_real(step, total), step.low, step.high)
    values = real / float(to.scale)
    if step.rounding in ("even", "kernel"):
        return np.rint(values).astype(np.int64) + to.zero
    return rounded(values + to.zero, step.rounding).astype(np.int64)


def _real(step: IntegerStep, total: I64) -> NDArray[np.float64]:
    ratio = np.array([float(one) for one in step.ratio]).reshape(1, -1, 1, 1)
    offset = np.array([float(one) for one in step.offset]).reshape(1, -1, 1, 1)
    return total * ratio + offset


def factors(step: IntegerStep, channels: int) -> list[float]:
    """Float64 factors from sums to codes, as TFLite prepares them: s_x · s_w / s_y of float32."""
    assert step.target is not None
    s_x, s_y = float(step.sources[0].codes.scale), float(step.target.codes.scale)
    found = [s_x * float(one / step.sources[0].codes.scale) / s_y for one in step.ratio]
    return found * channels if len(found) == 1 else found


def _float32_factors(step: IntegerStep) -> NDArray[np.float32]:
    assert step.target is not None
    s_x, s_y = (np.float32(float(one.codes.scale)) for one in (step.sources[0], step.target))
    weights = [np.float32(float(one / step.sources[0].codes.scale)) for one in step.ratio]
    return np.array([s_x * s_w / s_y for s_w in weights], np.float32).reshape(1, -1, 1, 1)


# --- one factor -----------------------------------------------------------------------------------


def doubling_high(x: I64, m: int) -> I64:
    """x · m / 2^31, ties up."""
    # The products of int32 fit 63 bits.
    return (x * m + (1 << 30)) >> 31


def away(x: I64, shift: int) -> I64:
    """x / 2^shift, ties away from zero."""
    mask = (1 << shift) - 1
    return (x >> shift) + ((x & mask) > (mask >> 1) + (x < 0))


def _twice_away(total: I64, factor: float) -> I64:
    m, exponent = rounding_oracle.multiplier_and_shift(factor)
    return away(doubling_high(total << max(exponent, 0), m), max(-exponent, 0))


def _twice_up(total: I64, factor: float) -> I64:
    m, exponent = rounding_oracle.multiplier_and_shift(factor)
    product, shift = doubling_high(total << max(exponent, 0), m), max(-exponent, 0)
    return (product + ((1 << shift) >> 1)) >> shift


def once_away(total: I64, factor: float) -> I64:
    """Total · factor in float64, halves away from 0."""
    product = total * factor
    return (np.sign(product) * np.floor(np.abs(product) + 0.5)).astype(np.int64)


def _once(total: I64, factor: float) -> I64:
    m, exponent = rounding_oracle.multiplier_and_shift(factor)
    shift = 31 - exponent
    if shift > 62:  # (total · m) < 2^62 is less than half of it
        return np.zeros_like(total)
    return (total * m + (1 << (shift - 1))) >> shift


_ONE_BY_ONE: dict[str, Callable[[I64, float], I64]] = {
    "twice-away": _twice_away,
    "twice-up": _twice_up,
    "once-away": once_away,
    "once": _once,
}


# --- sums and averages ----------------------------------------------------------------------------


def added(step: IntegerStep, sources: list[I64], model: str) -> I64:
    """Codes of an addition before its clamp, by a key of ``MODELS``; sources: codes of the file."""
    assert step.target is not None
    to = step.target.codes
    one, two = (x - value.codes.zero for x, value in zip(sources, step.sources, strict=True))
    scales = (float(step.ratio[0]), float(step.ratio[1]), float(to.scale))
    if model == "double":
        values = (one * scales[0] + two * scales[1]) / scales[2]
        behind = step.rounding == "even-behind-zero"
        found = np.rint(values + to.zero) if behind else np.rint(values) + to.zero
        return found.astype(np.int64)
    if model == "half-even":
        m, n, shift = rounding_oracle.add_constants(scales)
        return ((one * m + two * n + (1 << (shift - 1))) >> shift) + to.zero
    twice = 2 * max(scales[0], scales[1])
    raised = [
        _twice_away(x << 20, scale / twice) for x, scale in zip((one, two), scales, strict=False)
    ]
    return _twice_away(raised[0] + raised[1], twice / (2**20 * scales[2])) + to.zero


def _average(total: I64, size: int) -> I64:
    half = size // 2
    return np.where(total > 0, (total + half) // size, -((half - total) // size))
