"""The index source and the expander: addresses as hashed, columns as banks can serve them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hwsim.numbers.hashing import SCHEMES, HashSpec, Scheme, table
from hwsim.units import index
from hwsim.units.expander import cycles_columns, expansion


def cost(*addresses: int, banks: int) -> tuple[int, int]:
    """(cycles, bank reads) of one column."""
    cycles, reads = cycles_columns(np.array([addresses], np.uint32), banks)
    return int(cycles[0]), int(reads[0])


def by_definition(column: NDArray[np.uint32], banks: int) -> tuple[int, int]:
    """X_j and reads from the definition: distinct addresses per bank."""
    distinct = set(column.tolist())
    loads = [sum(a % banks == bank for a in distinct) for bank in range(banks)]
    return max(1, *loads), len(distinct)


def test_expander_serves_distinct_banks_in_one_cycle() -> None:
    assert cost(0, 1, 2, 3, banks=4) == (1, 4)


def test_expander_serves_equal_addresses_in_one_cycle() -> None:
    assert cost(12, 12, 12, 12, banks=4) == (1, 1)


def test_expander_serves_distinct_addresses_of_one_bank_one_by_one() -> None:
    assert cost(0, 4, 8, 12, banks=4) == (4, 4)


def test_expander_merges_equal_addresses_among_conflicting_ones() -> None:
    assert cost(0, 4, 0, 4, banks=4) == (2, 2)
    assert cost(4, 0, 8, 4, 0, 1, banks=4) == (3, 4)


def test_a_column_leaves_no_trace_in_the_next() -> None:
    cycles, reads = cycles_columns(np.array([[0, 4], [0, 1], [4, 0]], np.uint32), 4)
    assert cycles.tolist() == [2, 1, 2]
    assert reads.tolist() == [2, 2, 2]


def test_expander_takes_the_topmost_addresses() -> None:
    top = 2**32 - 1
    assert cost(top, top - 4, top - 1, banks=4) == (2, 3)


columns_of_addresses = st.integers(1, 20).flatmap(
    lambda rows: arrays(
        np.uint32, (4, rows), elements=st.integers(0, 60) | st.integers(0, 2**32 - 1)
    )
)


@settings(max_examples=200, deadline=None)
@given(columns_of_addresses, st.sampled_from([1, 2, 8, 16, 64]))
def test_cost_is_the_largest_number_of_distinct_addresses_in_a_bank(
    address: NDArray[np.uint32], banks: int
) -> None:
    cycles, reads = cycles_columns(address, banks)
    expected = [by_definition(column, banks) for column in address]
    assert list(zip(cycles.tolist(), reads.tolist(), strict=True)) == expected


@settings(max_examples=100, deadline=None)
@given(columns_of_addresses, st.sampled_from([1, 2, 8, 16, 64]))
def test_more_banks_never_cost_more_cycles(address: NDArray[np.uint32], banks: int) -> None:
    few, reads = cycles_columns(address, banks)
    many, same_reads = cycles_columns(address, 2 * banks)
    assert (many <= few).all()
    assert (reads == same_reads).all()


@settings(max_examples=100, deadline=None)
@given(columns_of_addresses, st.data())
def test_fewer_rows_never_cost_more_cycles(
    address: NDArray[np.uint32], data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, address.shape[1]))
    whole, _ = cycles_columns(address, 8)
    part, _ = cycles_columns(address[:, :rows], 8)
    assert (part <= whole).all()


def test_masked_rows_request_nothing() -> None:
    spec = HashSpec.for_rate("xxh32", 18, 40, 1 / 4, seed=5)
    work = expansion(spec, rows=16, banks=16)
    address, _ = table(spec)
    assert work.tile_rows == (16, 2)
    last = [by_definition(column.astype(np.uint32), 16) for column in address[16:].T]
    assert work.tile_cycles[1] == sum(cycles for cycles, _ in last)
    whole = [by_definition(column.astype(np.uint32), 16) for column in address[:16].T]
    assert work.reads == sum(reads for _, reads in whole + last)


@settings(max_examples=150, deadline=None)
@given(
    scheme=st.sampled_from(SCHEMES),
    n_out=st.integers(1, 40),
    fan_in=st.integers(1, 30),
    rate=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32 - 1),
    log2_hash_banks=st.integers(0, 6),
    rows=st.integers(1, 17),
)
def test_index_source_delivers_the_hash_table(
    scheme: Scheme, n_out: int, fan_in: int, rate: float, seed: int, log2_hash_banks: int, rows: int
) -> None:
    spec = HashSpec.for_rate(scheme, n_out, fan_in, rate, seed, 1 << log2_hash_banks)
    address, negative = table(spec)
    for first in range(0, n_out, rows):
        used = min(rows, n_out - first)
        ours, signs = index.columns(spec, first, used)
        assert np.array_equal(ours.T, address[first : first + used])
        assert np.array_equal(signs.T, negative[first : first + used])


@pytest.mark.parametrize("scheme", ["xxh32", "banked"])
def test_index_source_is_exact_for_the_largest_layers(scheme: Scheme) -> None:
    """K close to 2^32: nothing may overflow in the 64-bit product or the 32-bit address."""
    spec = HashSpec(scheme, 40, 50, 2**32 - 64, seed=2**32 - 1)
    address, _ = table(spec)
    ours, _ = index.columns(spec, 0, 40)
    assert np.array_equal(ours.T, address)


def test_a_dense_layer_never_conflicts() -> None:
    spec = HashSpec.for_rate("dense", 37, 23, 1.0)
    work = expansion(spec, rows=16, banks=16)
    counted = [
        cycles_columns(index.columns(spec, first, used)[0], 16)
        for first, used in ((0, 16), (16, 16), (32, 5))
    ]
    assert work.tile_cycles == tuple(int(cycles.sum()) for cycles, _ in counted) == (23,) * 3
    assert work.reads == sum(int(reads.sum()) for _, reads in counted) == 37 * 23
    assert work.conflict_cycles == 0


@pytest.mark.parametrize(("rows", "banks"), [(16, 16), (32, 32), (16, 64), (8, 8), (13, 16)])
def test_a_banked_layer_never_conflicts_up_to_its_hash_banks(rows: int, banks: int) -> None:
    spec = HashSpec.for_rate("banked", 70, 90, 1 / 16, seed=3, hash_banks=32)
    assert expansion(spec, rows, banks).conflict_cycles == 0


def test_a_banked_layer_conflicts_beyond_its_hash_banks() -> None:
    spec = HashSpec.for_rate("banked", 64, 90, 1 / 16, seed=3, hash_banks=8)
    assert expansion(spec, rows=16, banks=16).conflict_cycles > 0


@pytest.mark.parametrize(("banks", "mean"), [(16, 3.08), (64, 1.99)])
def test_random_hashing_costs_what_balls_in_bins_predict(banks: int, mean: float) -> None:
    """16 rows thrown at 16 (64) banks: the fullest holds 3.08 (1.99) on average; 8000 columns."""
    throws = np.random.default_rng(1).integers(0, banks, (20_000, 16))
    fullest = (throws[:, :, None] == np.arange(banks)).sum(1).max(1)
    assert fullest.mean() == pytest.approx(mean, abs=0.03)
    spec = HashSpec.for_rate("xxh32", 64, 2000, 1 / 2, seed=11)
    work = expansion(spec, rows=16, banks=banks)
    assert work.column_cycles == pytest.approx(mean, abs=5 * fullest.std() / work.columns**0.5)
