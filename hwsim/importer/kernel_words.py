"""Words with which a layer rounds exactly as one of TFLite's integer kernels does.

``twice-up``, the optimized kernels, is a bias of the engine's own rounding; ``twice-away``, the
reference kernels, its parameter ``requantization`` (docs/architecture.md). Both take the kernel's
own multiplier, which needs MULT_W = 32. What these kernels compute in another way, additions and,
in the reference kernels, fully connected layers, has few enough cases to be tried, all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.requantize import requantize, requantize_sum
from hwsim.errors import CompileError
from hwsim.importer import rounding
from hwsim.importer.rounding_oracle import multiplier_and_shift
from hwsim.importer.steps import IntegerStep
from hwsim.numbers.config import EngineConfig

Kernel = Literal["twice-up", "twice-away"]
Word = tuple[int, int, int]  # (m, s, b)
I64 = NDArray[np.int64]
#: Bits of p; and of a shift of codes that leaves room in as many.
WIDE, MOST_SHIFT = 64, 53


def engine_of(config: EngineConfig, kernel: Kernel) -> EngineConfig:
    """The engine that rounds as a kernel does. Raises CompileError where words are too wide."""
    if config.act_w > 8 or config.acc_w > 32:
        raise CompileError(
            f"rounding as {kernel} takes codes of up to 8 bits and 32-bit accumulators, here they "
            f"have {config.act_w} and {config.acc_w}: import with --requantization up"
        )
    own = "twice-away" if kernel == "twice-away" else "up"
    return config.replace(mult_w=32, requantization=own)


def words(
    step: IntegerStep, zero_sums: Sequence[int], reach: Sequence[int], config: EngineConfig,
    zero: int, kernel: Kernel,
) -> list[Word]:  # fmt: skip
    """The words of every channel of a convolution, fully connected or requantizing layer.

    Parameters
    ----------
    step : IntegerStep
        Of a .tflite file, with a target.
    zero_sums : sequence of int
        By channel, what the accumulator holds more than the kernel's, whose bias is in it.
    reach : sequence of int
        By channel, the largest |accumulator|.
    zero : int
        The engine's code of real 0.

    Raises
    ------
    CompileError
        Naming the channel for which there are no such words.
    """
    factors = rounding.factors(step, len(zero_sums))
    once = kernel == "twice-away" and step.operator == "FULLY_CONNECTED"
    found = []
    for channel, (factor, over, most) in enumerate(zip(factors, zero_sums, reach, strict=True)):
        if once:
            word = _product(step, factor, over, most, config, zero)
        else:
            word = _twice(factor, over, most, zero)
        if word is None:
            raise CompileError(
                f"{step.name}: {step.operator}: the engine has no multiplier that gives all codes "
                f"of channel {channel} as the kernel does: import with --requantization up"
            )
        found.append(word)
    return found


def _twice(factor: float, over: int, most: int, zero: int) -> Word | None:
    m, exponent = multiplier_and_shift(factor)
    # A factor of 1 and more is a product shifted left, rounded once.
    k, s = max(0, -exponent), 31 - exponent
    if m == 0 or (most + abs(over)) * m + (1 << 31) < (1 << 30 + k if k else 0):
        return 0, 0, zero  # no sum comes to half of a code
    if s < 0:
        return None
    half = (1 << 30) + (1 << 30 + k) if k else 1 << s >> 1
    b = half + (zero << s) - over * m
    return (m, s, b) if most * m + abs(b) < 1 << WIDE - 1 else None


def _product(
    step: IntegerStep, factor: float, over: int, most: int, config: EngineConfig, zero: int
) -> Word | None:
    """Of a product in float64, halves away from 0: the nearest multiplier or one next to it.

    Both sides are stairs that rise, so they agree on all sums if they do around every step of the
    kernel's.
    """
    assert step.target is not None
    base = requantize(factor, 0, step.target.codes.scale, most, config, zero_sum=over, zero=zero)
    if base is None:
        return None
    bounds = step.bounds[0] - step.target.codes.zero, step.bounds[1] - step.target.codes.zero
    sums = _around_steps(factor, *bounds, most + abs(over))
    wanted = np.clip(rounding.once_away(sums, factor), *bounds)
    for more in (0, 1, -1):
        m, s = base[0] + more, base[1]
        if s > MOST_SHIFT:
            return (0, 0, zero) if 2 * (most + abs(over)) * factor < 1 else None
        b = _bias(sums * m, wanted, bounds, s)
        if b is None or abs(m) >= 1 << 30:
            continue
        b += (zero << s) - over * m
        if most * abs(m) + abs(b) < 1 << WIDE - 1:
            return m, s, b
    return None


def _bias(products: I64, wanted: I64, bounds: tuple[int, int], s: int) -> int | None:
    """The middle b of those with clamp((p + b) >> s) = wanted for all products; None of none."""
    low, high = bounds
    inner = wanted > low
    floor = ((wanted << s) - products)[inner]
    roof = ((wanted + 1 << s) - products)[wanted < high]
    least, beyond = int(floor.max(initial=-(1 << 62))), int(roof.min(initial=1 << 62))
    return (least + beyond - 1) // 2 if least < beyond else None


def _around_steps(factor: float, low: int, high: int, most: int) -> I64:
    """Sums within ±most about the places where the codes low … high begin, and both ends."""
    middles = (np.arange(low, high + 2) - 0.5) / factor if factor else np.zeros(1)
    places = np.rint(np.clip(middles, -most, most)).astype(np.int64)
    near = np.concatenate([places + d for d in range(-2, 3)])
    return np.unique(np.clip(near, -most, most))


def addition(
    step: IntegerStep, zeros: tuple[int, int, int], config: EngineConfig
) -> tuple[tuple[int, int], int, int]:
    """(m₁, m₂), s, b of an addition: the kernel's code for each pair of codes.

    zeros: the engine's codes of real 0, of both sources and of the target. Both kernels add alike.

    Raises
    ------
    CompileError
        If no words near the exact ones do.
    """
    assert step.target is not None
    one, two = (source.codes for source in step.sources)
    first, second = np.meshgrid(
        np.arange(one.low, one.high + 1), np.arange(two.low, two.high + 1), indexing="ij"
    )
    to = step.target.codes
    bounds = step.bounds[0] + to.shift, step.bounds[1] + to.shift
    wanted = np.clip(rounding.added(step, [first, second], "twice-away") + to.shift, *bounds)
    nearest = requantize_sum(
        (step.ratio[0] / to.scale, step.ratio[1] / to.scale),
        step.offset[0],
        to.scale,
        zeros,
        config,
    )
    if nearest is not None:
        (m1, m2), s, _ = nearest
        b = _bias((first + one.shift) * m1 + (second + two.shift) * m2, wanted, bounds, s)
        reach = config.act_max * (abs(m1) + abs(m2))
        if b is not None and reach + abs(b) < 1 << WIDE - 1:
            return (m1, m2), s, b
    raise CompileError(
        f"{step.name}: {step.operator}: no multipliers of {config.mult_w} bits add all pairs of "
        "codes as the kernel does: import with --requantization up"
    )
