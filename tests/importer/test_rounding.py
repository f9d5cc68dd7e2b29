"""Models of what runtimes round: arrays equal the oracle, the oracle equals its definitions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.importer import rounding_oracle as oracle
from hwsim.importer.codes import Codes
from hwsim.importer.rounding import codes
from hwsim.importer.steps import IntegerStep, Value
from hwsim.program.layers import Window

scales = st.floats(2**-20, 1.0, width=32)
zeros = st.integers(-128, 127)
totals = st.integers(-(2**26), 2**26)


def step_of(s_x: float, s_w: float, s_y: float, zero: int, kind: str = "affine") -> IntegerStep:
    """A step whose sum is its source code; every code between −2^27 and 2^27 is one of its own."""
    wide = Codes(Fraction(s_x), 0, -(2**27), 2**27)
    to = Codes(Fraction(s_y), zero, -(2**40), 2**40)
    source, target = Value("x", (1, 1, 1), wide), Value("y", (1, 1, 1), to)
    return IntegerStep("one", "ONE", kind, (source,), target, (Fraction(s_x) * Fraction(s_w),))


def array(value: int) -> np.ndarray:
    return np.array(value, np.int64).reshape(1, 1, 1, 1)


@given(totals, scales, scales, scales, zeros)
def test_arrays_are_rounded_as_single_numbers_are(
    total: int, s_x: float, s_w: float, s_y: float, zero: int
) -> None:
    factor = s_x * s_w / s_y
    if not 2**-30 < factor < 4:
        return
    step = step_of(s_x, s_w, s_y, zero)
    expected = {
        "half-even": oracle.half_even(total, s_x, s_w, s_y),
        "twice-away": oracle.twice_away(total, factor),
        "twice-up": oracle.twice_up(total, factor),
        "once": oracle.once(total, factor),
        "once-away": oracle.once_away(total, factor),
    }
    for model, value in expected.items():
        assert int(codes(step, [array(total)], model).item()) == value + zero, model


@given(zeros, zeros, zeros, zeros, zeros, scales, scales, scales)
def test_additions_of_arrays_are_those_of_single_numbers(
    a: int, b: int, za: int, zb: int, zy: int, sa: float, sb: float, sy: float
) -> None:
    if not 2**-8 < max(sa, sb) / sy < 2**8 or min(sa, sb) * 2**8 < max(sa, sb):
        return
    to = Codes(Fraction(sy), zy, -(2**40), 2**40)
    sources = tuple(
        Value("x", (1, 1, 1), Codes(Fraction(s), z, -128, 127)) for s, z in ((sa, za), (sb, zb))
    )
    ratio = Fraction(sa), Fraction(sb)
    step = IntegerStep("sum", "ADD", "add", sources, Value("y", (1, 1, 1), to), ratio)
    given_ = [array(a), array(b)]
    about = (a, b), (za, zb, zy), (sa, sb, sy)
    assert codes(step, given_, "twice-away").item() == oracle.add_reference(*about)
    assert codes(step, given_, "half-even").item() == oracle.add_delegate(*about)


@given(st.integers(-128 * 64, 127 * 64), st.integers(1, 64))
def test_averages_round_halves_away_from_zero(total: int, size: int) -> None:
    exact = Fraction(total, size)
    away = int(abs(exact) + Fraction(1, 2)) * (1 if total > 0 else -1)
    assert oracle.average(total, size) == away


@pytest.mark.parametrize(
    ("total", "even", "once", "up", "away"),
    [(2, 0, 1, 1, 1), (6, 2, 2, 2, 2), (-2, 0, 0, 0, -1), (-6, -2, -1, -1, -2), (10, 2, 3, 3, 3)],
)
def test_a_quarter_of_two_is_a_half_to_everyone(
    total: int, even: int, once: int, up: int, away: int
) -> None:
    """Halves part the models: the factor is 1/4 exactly."""
    assert oracle.half_even(total, 0.25, 1.0, 1.0) == even
    assert oracle.once(total, 0.25) == once
    assert oracle.twice_up(total, 0.25) == up
    assert oracle.twice_away(total, 0.25) == away
    assert oracle.once_away(total, 0.25) == away


@given(st.floats(2**-30, 2**8))
def test_the_multiplier_has_31_bits_and_is_next_to_its_factor(factor: float) -> None:
    m, exponent = oracle.multiplier_and_shift(factor)
    assert 2**30 <= m < 2**31
    assert abs(Fraction(m) * Fraction(2) ** (exponent - 31) / Fraction(factor) - 1) <= 2**-31


def test_an_average_of_a_map_counts_the_zero_point_once_a_pixel() -> None:
    numbers = Codes(Fraction(1, 8), -128, -128, 127)
    source = Value("x", (1, 2, 2), numbers)
    step = IntegerStep(
        "mean", "AVERAGE_POOL_2D", "average", (source,), Value("y", (1, 1, 1), numbers),
        (Fraction(1, 32),), window=Window((2, 2)),
    )  # fmt: skip
    pixels = np.array([-128, -127, -128, -127], np.int64).reshape(1, 1, 2, 2)
    assert codes(step, [pixels], "once").item() == -128  # −127.5, away from zero
