"""Requantization words of integer steps: the file's scales, biases and roundings as m, s and b."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.requantize import multiplier_bits, requantize, requantize_sum
from hwsim.errors import CompileError
from hwsim.importer import kernel_words
from hwsim.importer.kernel_words import Kernel
from hwsim.importer.steps import IntegerStep, Value
from hwsim.numbers.config import EngineConfig

#: Ways of rounding that differ from the engine's in ties only.
_NEAREST = ("even", "even-behind-zero", "away", "toward", "kernel")
Words = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]


def code(value: Value) -> int:
    """The engine's code of real 0 in a map."""
    return value.codes.zero + value.codes.shift


def words_of(
    step: IntegerStep,
    sums: list[int],
    reach: list[int],
    config: EngineConfig,
    kernel: Kernel | None = None,
) -> Words:
    """(m, s, b) of every channel."""
    assert step.target is not None
    codes, found = step.target.codes, []
    if step.bipolar:
        return _signs(step, sums)
    if step.kind == "average" and step.rounding == "kernel":
        away = _away(step, reach[0], config)
        if away is not None:
            alike = [np.full(len(sums), word, np.int64) for word in away]
            return alike[0].astype(np.int32), alike[1].astype(np.int32), alike[2]
    if kernel is not None and step.kind != "average":
        return _arrays(
            step, kernel_words.words(step, sums, reach, config, code(step.target), kernel)
        )
    ratios = step.ratio if len(step.ratio) > 1 else step.ratio * len(sums)
    for channel, ((offset, zero_sum), most) in enumerate(zip(each(step, sums), reach, strict=True)):
        ratio = ratios[channel] / codes.scale
        one = requantize(
            ratio, offset, codes.scale, most, config, zero_sum=zero_sum, zero=code(step.target)
        )
        if one is None and most == 0:
            one = _constant(step, ratio, offset, zero_sum, config)
        if one is None:
            raise _does_not_fit(step, channel, config)
        found.append(one)
    return _arrays(step, found)


def sum_words(
    step: IntegerStep, config: EngineConfig, kernel: Kernel | None
) -> tuple[tuple[int, int], int, int]:
    """((m, n), s, b) of the sum of two maps."""
    target = step.target
    assert target is not None
    zeros = code(step.sources[0]), code(step.sources[1]), code(target)
    if kernel is not None:
        return kernel_words.addition(step, zeros, config)
    one, two = (gain / target.codes.scale for gain in step.ratio)
    offset = step.offset[0] + lowered_by(step)
    found = requantize_sum((one, two), offset, target.codes.scale, zeros, config)
    if found is None:
        raise _does_not_fit(step, 0, config)
    return found


def _arrays(step: IntegerStep, rows: Sequence[tuple[int, int, int]]) -> Words:
    m, s, b = zip(*rows, strict=True)
    return np.array(m, np.int32), np.array(s, np.int32), biases(step, b)


def _away(step: IntegerStep, reach: int, config: EngineConfig) -> tuple[int, int, int] | None:
    """(m, s, b) of TFLite's averages: codes in, codes out, halves away from the code that is 0.

    A multiplier a little larger than 1/n, around q = 0, carries every half away from there and
    nothing else, as long as what it adds to the largest mean stays below the distance of the next
    number that is no half. None where the multiplier is too narrow for that.
    """
    source, target = step.sources[0].codes, step.target
    assert step.window is not None
    assert target is not None
    if source != target.codes or step.post_moves:
        return None
    n, zero = step.window.size, source.shift
    most = max(abs(source.low), abs(source.high))
    width, limit = config.acc_w + config.mult_w, (1 << (multiplier_bits(config) - 1)) - 1
    for s in range(width - 1, 0, -1):
        m = (1 << s) // n + 1
        b = (zero << s) + (1 << (s - 1)) - n * zero * m
        if m > limit or reach * m + abs(b) >= 1 << (width - 1):
            continue
        more = Fraction(n * m, 1 << s) - 1
        return (m, s, b) if most * more < Fraction(1, n if n % 2 == 0 else 2 * n) else None
    return None


def _constant(
    step: IntegerStep, ratio: Fraction, offset: Fraction, zero_sum: int, config: EngineConfig
) -> tuple[int, int, int] | None:
    """Of a channel whose sums are 0: its bias alone."""
    assert step.target is not None
    codes = step.target.codes
    value = offset / codes.scale - zero_sum * ratio
    edge = Fraction(1 << 20)
    value = min(max(value, -edge), edge)
    return requantize(
        Fraction(0), value * codes.scale, codes.scale, 0, config, zero=code(step.target)
    )


def _signs(step: IntegerStep, sums: list[int]) -> Words:
    """1 where (acc + bias) · ratio + offset >= 0, else 0: clamp(acc + b, 0, 1), exact."""
    ratios = step.ratio if len(step.ratio) > 1 else step.ratio * len(sums)
    m, b = [], []
    for (offset, zero_sum), ratio in zip(each(step, sums), ratios, strict=True):
        if ratio == 0:
            m.append(0)
            b.append(int(offset >= 0))
        elif ratio > 0:
            m.append(1)
            b.append(int(offset / ratio // 1) - zero_sum + 1)
        else:
            m.append(-1)
            b.append(int(offset / -ratio // 1) + zero_sum + 1)
    return np.array(m, np.int32), np.zeros(len(m), np.int32), biases(step, b)


def _does_not_fit(step: IntegerStep, channel: int, config: EngineConfig) -> CompileError:
    return CompileError(
        f"{step.name}: {step.operator} scales channel {channel} by a factor that does not fit a "
        f"{config.mult_w}-bit multiplier and {config.acc_w + config.mult_w}-bit words: choose a "
        "configuration with a larger mult_w, or check the scales of the file"
    )


def answer(step: IntegerStep, offset: Fraction, unit: Fraction) -> int:
    """The whole number next to an offset; below it where only the sign counts."""
    if step.bipolar:
        return int(offset // unit)
    return int((offset / unit + Fraction(1, 2)) // 1)


def each(step: IntegerStep, sums: list[int]) -> Sequence[tuple[Fraction, int]]:
    """What is added to each channel, in real numbers and in units of its accumulator."""
    offsets = step.offset if len(step.offset) > 1 else step.offset * len(sums)
    return [(one + lowered_by(step), zero) for one, zero in zip(offsets, sums, strict=True)]


def lowered_by(step: IntegerStep) -> Fraction:
    """What makes rounding to the nearest, ties up, of the file's way to round."""
    if step.target is None or step.rounding in _NEAREST or step.bipolar:
        return Fraction(0)
    if step.rounding == "floor" or (step.rounding == "trunc" and step.low >= 0):
        return -step.target.codes.scale / 2
    raise CompileError(
        f"{step.name}: {step.operator} rounds by {step.rounding}: the engine rounds to the nearest "
        "or down: quantize with ROUND or FLOOR"
    )


def biases(step: IntegerStep, words: Sequence[int]) -> NDArray[np.int64]:
    """Words in the bias memory. Raises CompileError for some beyond 64 bits."""
    if any(not -(2**63) <= word < 2**63 for word in words):
        raise CompileError(
            f"{step.name}: {step.operator} has a bias beyond what the engine adds: quantize again"
        )
    return np.array(words, np.int64)
