"""Number formats: every rounding, every limit, and the choice of binary points."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwsim.numbers.fixedpoint import (
    activation_frac,
    multiplier_and_shift,
    quantize,
    round_half_up,
    weight_frac,
)

normal = st.floats(-8, 8, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)


def weight_error(values: np.ndarray, counts: np.ndarray, frac: int, limit: int) -> float:
    back = np.ldexp(quantize(values, frac, limit).astype(float), -frac)
    return float((counts * (back - values) ** 2).sum())


def test_halves_round_up_on_both_sides_of_zero() -> None:
    found = round_half_up([-1.5, -0.5, 0.5, 1.5, 2.5, -0.51, 0.49])
    assert found.tolist() == [-1, 0, 1, 2, 3, -1, 0]
    assert found.dtype == np.int64


def test_quantization_saturates_symmetrically() -> None:
    assert quantize([-9.0, -1.0, 0.0, 0.25, 0.99, 9.0], 7, 127).tolist() == [
        -127, -127, 0, 32, 127, 127,
    ]  # fmt: skip


def test_a_negative_binary_point_counts_in_coarse_steps() -> None:
    assert quantize([100.0, -100.0, 7.0, 8.0], -4, 127).tolist() == [6, -6, 0, 1]


@given(st.floats(-1e6, 1e6), st.integers(-8, 20))
def test_quantization_is_the_nearest_word(x: float, frac: int) -> None:
    word = int(quantize(x, frac, 2**60))
    assert abs(Fraction(x) * Fraction(2) ** frac - word) <= Fraction(1, 2)


@given(arrays(np.float64, st.integers(1, 12), elements=normal), st.sampled_from([7, 127, 32767]))
def test_weight_binary_point_has_the_least_error_of_its_candidates(
    values: np.ndarray, limit: int
) -> None:
    counts = np.arange(1, len(values) + 1)
    frac = weight_frac(values, counts, limit)
    peak = np.abs(values).max()
    if peak == 0:
        assert frac == 0
        return
    safe = math.floor(math.log2(limit / peak))
    assert safe <= frac <= safe + 3
    errors = [weight_error(values, counts, f, limit) for f in range(safe, safe + 4)]
    assert weight_error(values, counts, frac, limit) == min(errors)


def test_weight_binary_point_ignores_words_that_nobody_reads() -> None:
    values, counts = np.array([0.5, -0.25, 100.0]), np.array([3, 1, 0])
    assert weight_frac(values, counts, 127) == weight_frac(values[:2], counts[:2], 127)


def test_weight_binary_point_clips_one_outlier_for_the_sake_of_many() -> None:
    values, counts = np.array([1.01, 0.0313]), np.array([1, 10_000])
    assert weight_frac(values, counts, 7) > math.floor(math.log2(7 / 1.01))


def test_weight_binary_point_of_nothing_is_zero() -> None:
    assert weight_frac(np.zeros(3), np.ones(3, int), 127) == 0
    assert weight_frac(np.ones(3), np.zeros(3, int), 127) == 0


def test_activation_binary_point_covers_the_peak_when_all_values_matter() -> None:
    # 255 · 2^-6 is just below 4: six fraction bits hold 3.9 and a seventh would clip it.
    samples = np.linspace(0, 3.9, 1000)
    assert activation_frac(samples, 8) == 6


def test_activation_binary_point_clips_a_lone_peak() -> None:
    samples = np.concatenate([np.full(100_000, 0.013), [1.0]])
    assert activation_frac(samples, 4) > 3


@pytest.mark.parametrize("samples", [np.zeros(4), np.array([-1.0, 0.0]), np.zeros(0)])
def test_activation_binary_point_of_a_dead_map_is_its_width(samples: np.ndarray) -> None:
    assert activation_frac(samples, 8) == 8


@given(
    st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-30),
    st.integers(8, 16),
    st.integers(0, 63),
)
def test_multiplier_fits_and_is_as_fine_as_it_can_be(
    ratio: float, mult_w: int, shift_max: int
) -> None:
    limit = 2 ** (mult_w - 1) - 1
    found = multiplier_and_shift(ratio, mult_w, shift_max)
    if found is None:
        assert abs(math.floor(ratio + 0.5)) > limit
        return
    m, s = found
    assert abs(m) <= limit
    assert 0 <= s <= shift_max
    assert abs(Fraction(ratio) * 2**s - m) <= Fraction(1, 2)
    if ratio and s < shift_max:
        assert abs(math.floor(math.ldexp(ratio, s + 1) + 0.5)) > limit


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (16384, 14)),
        (0.5, (16384, 15)),
        (-0.5, (-16384, 15)),
        (32767.0, (32767, 0)),
        (32767.4, (32767, 0)),
        (32768.0, None),
        (-40000.0, None),
        (2.0**-47, (1, 47)),
        (2.0**-60, (0, 47)),
    ],
)
def test_multiplier_and_shift_of_known_ratios(
    ratio: float, expected: tuple[int, int] | None
) -> None:
    assert multiplier_and_shift(ratio, 16, 47) == expected
