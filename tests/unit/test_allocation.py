"""Allocation: no two maps that live together share a line, and few lines are needed for it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.program.allocation import MOST, Life, allocate, lives, peak, peak_lines
from hwsim.program.program import Program
from hwsim.program.wires import chain_wires, map_lines
from tests.by_hand import affine, reads, total
from tests.property.networks import EXAMPLES, programs


def sizes_of(program: Program) -> list[int]:
    return [map_lines(one.shape, program.config.cols) for one in program.maps]


def assert_sound(every: Sequence[Life], lines: Sequence[int]) -> None:
    """Line by line and step by step: nobody else stands where a map lives."""
    owner: dict[tuple[int, int], int] = {}
    for number, (life, start) in enumerate(zip(every, lines, strict=True)):
        assert start >= 0
        for place in itertools.product(
            range(life.first, life.last + 1), range(start, start + life.lines)
        ):
            assert owner.setdefault(place, number) == number


def most_alive(every: Sequence[Life]) -> int:
    steps = range(-1, 1 + max(life.last for life in every))
    return max(sum(one.lines for one in every if one.first <= t <= one.last) for t in steps)


# --- lives --------------------------------------------------------------------------------------


def test_a_map_lives_from_its_first_writing_to_its_last_reading() -> None:
    wires = (reads(0, to=(1, 0)), reads(0, to=(1, 1)), reads((1, 0), (1, 1), to=2),
             reads(2, 0, to=3), reads(3))  # fmt: skip
    found = lives([5, 6, 7, 8], wires)
    expected = [(5, -1, 3), (6, 0, 2), (7, 2, 3), (8, 3, 4)]
    assert [(one.lines, one.first, one.last) for one in found] == expected


def test_lives_meet_where_a_layer_reads_the_one_and_writes_the_other() -> None:
    one, two, three = Life(1, -1, 0), Life(1, 0, 1), Life(1, 1, 2)
    assert one.meets(two)
    assert two.meets(one)
    assert not one.meets(three)
    assert not three.meets(one)


# --- allocation ---------------------------------------------------------------------------------


def chain_lives(sizes: list[int]) -> tuple[Life, ...]:
    one = (1, 1, 1)
    layers = (*[affine(one, (1, 0, 0))] * (len(sizes) - 1), total(one))
    return lives(sizes, chain_wires(layers))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_a_chain_needs_the_least_that_any_could_and_never_more_than_ping_pong(
    sizes: list[int],
) -> None:
    every = chain_lives(sizes)
    lines = allocate(every)
    assert_sound(every, lines)
    found = peak(every, lines)
    neighbours = [a + b for a, b in itertools.pairwise(sizes)] or sizes
    assert found.lines == found.least == max(neighbours)
    assert found.ping_pong == 2 * max(sizes)
    assert found.lines <= found.ping_pong


random_lives = st.lists(
    st.tuples(st.integers(1, 12), st.integers(-1, 8), st.integers(0, 8)).map(
        lambda row: Life(row[0], row[1], row[1] + row[2])
    ),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(random_lives)
def test_any_maps_get_lines_of_their_own_while_they_live(every: list[Life]) -> None:
    lines = allocate(every)
    assert_sound(every, lines)
    assert lines == allocate(every)
    assert most_alive(every) <= peak_lines(every, lines) <= sum(life.lines for life in every)
    assert peak(every, lines).least == most_alive(every)


def best(every: Sequence[Life]) -> int:
    """The least peak of all: of an optimum pushed down, some order of lowest places gives it."""
    found = []
    for order in itertools.permutations(range(len(every))):
        lines: dict[int, int] = {}
        for n in order:
            rivals = [(lines[m], every[m].lines) for m in lines if every[m].meets(every[n])]
            lines[n] = next(
                line
                for line in sorted({0, *(start + size for start, size in rivals)})
                if all(line + every[n].lines <= at or at + size <= line for at, size in rivals)
            )
        found.append(max(lines[n] + every[n].lines for n in lines))
    return min(found)


def test_residual_blocks_get_the_best_that_there_is() -> None:
    # x, two layers, and x once more: with maps of one to three lines.
    wires = (reads(0, to=1), reads(1, to=2), reads(2, 0, to=3), reads(3, to=4), reads(4, 3))
    for sizes in itertools.product((1, 2, 3), repeat=5):
        every = lives(sizes, wires)
        lines = allocate(every)
        assert_sound(every, lines)
        assert peak_lines(every, lines) == best(every)


def test_the_classical_case_in_which_order_matters_is_perfect() -> None:
    # 4 lives all the time; 3 then 3, 2 between them. In the order of their lives, 2 stands on 3
    # on 4; by both ends they fit nine lines, all that live at once.
    every = [Life(4, -1, 5), Life(3, -1, 1), Life(2, 1, 3), Life(3, 3, 5)]
    assert peak_lines(every, allocate(every)) == most_alive(every) == 9


def test_thousands_of_maps_are_placed_in_one_pass() -> None:
    every = [Life(1 + n % 7, n - 1, n + 3) for n in range(MOST + 200)]
    lines = allocate(every)
    assert_sound(every, lines)
    assert peak_lines(every, lines) <= 2 * most_alive(every)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(programs())
def test_random_graphs_get_sound_maps_and_know_their_peak(program: Program) -> None:
    sizes = sizes_of(program)
    every = lives(sizes, program.wires)
    assert_sound(every, [one.line for one in program.maps])
    lines = allocate(every)
    assert_sound(every, lines)
    found = program.memory_peak
    assert found.lines == max(
        one.line + size for one, size in zip(program.maps, sizes, strict=True)
    )
    assert found.least == most_alive(every) <= peak_lines(every, lines) <= found.lines
    alive = sum(one.lines for one in every if one.first <= found.layer <= one.last)
    before = sum(one.lines for one in every if one.first == -1)
    assert found.least in (alive, before)


@pytest.mark.parametrize(
    ("lines", "layer"),
    [([9, 1, 1], 0), ([1, 9, 1, 1], 0), ([1, 1, 9, 2], 2), ([1, 1, 2, 9], 2)],
)
def test_the_peak_is_named_at_the_first_layer_that_reaches_it(lines: list[int], layer: int) -> None:
    every = chain_lives(lines)
    assert peak(every, allocate(every)).layer == layer
