"""The vectorized hash against the oracle and the xxhash package, and what each scheme promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import reference
from hwsim.numbers.hashing import HashSpec, table, xxh32_pair, xxh32_word
from tests.property.networks import EXAMPLES, seeds, specs

WORD = st.integers(0, 2**32 - 1)
any_spec = st.tuples(st.integers(1, 12), st.integers(1, 40)).flatmap(lambda size: specs(*size))


@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20), seeds())
def test_vectorized_hash_equals_the_xxhash_package(pairs: list[tuple[int, int]], seed: int) -> None:
    i, j = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    for row, (a, b) in enumerate(pairs):
        data = a.to_bytes(4, "little") + b.to_bytes(4, "little")
        assert xxh32_pair(i, j, seed)[row] == xxhash.xxh32_intdigest(data, seed)
        assert xxh32_word(j, seed)[row] == xxhash.xxh32_intdigest(data[4:], seed)


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_spec)
def test_table_equals_the_oracle(spec: HashSpec) -> None:
    address, negative = table(spec)
    assert address.shape == negative.shape == (spec.n_out, spec.fan_in)
    for i in range(spec.n_out):
        for j in range(spec.fan_in):
            sign = -1 if negative[i, j] else 1
            assert (int(address[i, j]), sign) == reference.address_and_sign(spec, i, j)


@pytest.mark.parametrize("scheme", ["xxh32", "banked"])
def test_table_equals_the_oracle_up_to_the_largest_bank_of_weights(scheme: Any) -> None:
    spec = HashSpec(scheme, 8, 8, 2**32 - 64, 2**32 - 1, 64)
    address, _ = table(spec)
    for i, j in np.ndindex(8, 8):
        assert address[i, j] == reference.address_and_sign(spec, i, j)[0]


@given(any_spec)
def test_every_address_is_a_real_weight(spec: HashSpec) -> None:
    address, _ = table(spec)
    assert address.min() >= 0
    assert address.max() < spec.real_weights


@settings(deadline=None)
@given(
    log_hash=st.integers(0, 6),
    log_banks=st.integers(0, 6),
    lines=st.integers(1, 9),
    fan_in=st.integers(1, 20),
    seed=seeds(),
)
def test_banked_rows_never_meet_in_a_bank(
    log_hash: int, log_banks: int, lines: int, fan_in: int, seed: int
) -> None:
    hash_banks, banks = 2**log_hash, 2**log_banks
    rows = min(hash_banks, banks)
    spec = HashSpec("banked", 2 * rows + 1, fan_in, hash_banks * lines, seed, hash_banks)
    address, _ = table(spec)
    for first in range(spec.n_out):  # any window of rows, hence any row-tile
        wanted = address[first : first + rows] % banks
        for column in wanted.T:
            assert len(set(column.tolist())) == len(column)


def test_dense_neighbours_never_meet_in_a_bank() -> None:
    address, negative = table(HashSpec("dense", 24, 5, 120))
    assert not negative.any()
    for first in range(0, 24, 8):
        for column in (address[first : first + 8] % 8).T:
            assert len(set(column.tolist())) == 8


@pytest.mark.parametrize(("banks", "cycles"), [(16, 3.1), (64, 2.0)])
def test_random_rows_collide_on_banks_as_often_as_the_design_says(
    banks: int, cycles: float
) -> None:
    address, _ = table(HashSpec("xxh32", 16, 4000, 16 * 4000, seed=3))
    load = (address[:, :, None] % banks == np.arange(banks)).sum(0).max(1)
    assert load.mean() == pytest.approx(cycles, abs=0.06)


@pytest.mark.parametrize("scheme", ["xxh32", "banked"])
def test_signs_and_addresses_are_spread_evenly(scheme: Any) -> None:
    spec = HashSpec.for_rate(scheme, 128, 576, 1 / 16, seed=1)
    address, negative = table(spec)
    assert negative.mean() == pytest.approx(0.5, abs=0.01)
    counts = np.bincount(address.ravel(), minlength=spec.real_weights)
    # Poisson with mean 16: nothing unused, nothing read four times too often.
    assert counts.min() > 0
    assert counts.max() < 64


def test_seeds_make_different_tables() -> None:
    first, second = (table(HashSpec("xxh32", 16, 16, 64, seed)) for seed in (0, 1))
    assert (first[0] != second[0]).mean() > 0.9


@pytest.mark.parametrize(
    ("scheme", "n_out", "fan_in", "rate", "banks", "real"),
    [
        ("dense", 10, 512, 1 / 16, 32, 5120),
        ("xxh32", 512, 6272, 1 / 64, 32, 50176),
        ("xxh32", 64, 9, 1 / 64, 32, 9),
        ("xxh32", 3, 3, 1 / 64, 32, 1),  # never none
        ("xxh32", 10, 10, 1.0, 32, 100),
        ("xxh32", 10, 1, 0.16, 32, 2),  # 1.6 rounds up
        ("banked", 512, 6272, 1 / 16, 32, 200704),
        ("banked", 64, 9, 1 / 64, 32, 32),  # 9 words become one line of 32
        ("banked", 64, 9, 1 / 8, 32, 64),  # 72 words become two lines
        ("banked", 88, 8, 1 / 8, 32, 96),  # 2.75 lines round up to three
        ("banked", 10, 512, 1 / 16, 16, 320),
        ("xxh32", 5, 1, 0.5, 32, 3),  # halves round up, as everywhere
    ],
)
def test_rate_gives_the_number_of_real_weights(
    scheme: Any, n_out: int, fan_in: int, rate: float, banks: int, real: int
) -> None:
    spec = HashSpec.for_rate(scheme, n_out, fan_in, rate, 5, banks)
    assert spec.real_weights == real
    assert spec.rate == real / (n_out * fan_in)
    assert spec.seed == 5


@pytest.mark.parametrize("rate", [0, -0.5, 1.5, float("nan")])
def test_rates_outside_zero_to_one_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="compression rate"):
        HashSpec.for_rate("xxh32", 4, 4, rate)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("random", 2, 2, 2), "choose from"),
        (("xxh32", 0, 2, 2), "empty layer"),
        (("xxh32", 2, 2, 2, -1), "32 bits"),
        (("xxh32", 2, 2, 2, 2**32), "32 bits"),
        (("banked", 2, 2, 6, 0, 6), "power of two"),
        (("xxh32", 2, 2, 0), "real_weights"),
        (("dense", 2, 2, 3), "every virtual weight"),
        (("banked", 2, 2, 6, 0, 4), "multiple of hash_banks"),
    ],
)
def test_impossible_sharing_is_refused(fields: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HashSpec(*fields)
