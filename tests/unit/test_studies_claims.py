"""What is counted on rows, and when a claim is called reproduced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.attack_rows import DECADES, decades, pack, unpack
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.judge.claims import (
    NOT,
    PARTLY,
    REPRODUCED,
    UNTESTED,
    Pair,
    apart,
    falls_by,
    holds,
    near,
    ordered,
)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_flags_survive_their_text(flags: list[bool]) -> None:
    assert unpack(pack(torch.tensor(flags)), len(flags)).tolist() == flags


def outcome(correct: str, *reached: str) -> Outcome:
    """From strings of 0 and 1, one for each budget."""

    def flags(text: str) -> str:
        return pack(torch.tensor([c == "1" for c in text]))

    n, budgets = len(correct), len(reached)
    return Outcome.of([{
        "images": n, "correct": flags(correct), "reached": [flags(r) for r in reached],
        "zero": flags("0" * n), "l2": [2.0] * budgets, "l2_all": [4.0] * budgets,
        "passes": [[2 * n, n]] * budgets,
    }])  # fmt: skip


def test_success_is_counted_on_correct_images_and_algorithm_1_on_all() -> None:
    found = outcome("1110", "1001", "0100")
    assert found.single(0) == Rate(1, 3)
    assert found.single(1) == Rate(1, 3)
    assert found.escalated(0) == Rate(2, 4)
    assert found.escalated(1) == Rate(3, 4)
    assert found.mean_l2(0) == 2.0


def test_the_worst_case_joins_attacks_image_by_image_and_smaller_budgets() -> None:
    a, b = outcome("1111", "1000", "0100"), outcome("1111", "0000", "0101")
    assert worst([a, b], 0) == Rate(1, 4)
    assert worst([a, b], 1) == Rate(3, 4)


def test_an_attack_made_for_one_budget_found_nothing_at_the_others() -> None:
    one = outcome("1111", "1100").spread([2], 3)
    assert [one.single(k).successes for k in range(3)] == [0, 0, 2]


def test_parts_of_the_images_join_in_order() -> None:
    rows = [
        {"images": n, "correct": c, "reached": [c], "zero": c, "l2": [1], "l2_all": [1],
         "passes": [[n, n]]}
        for n, c in ((3, pack(torch.tensor([True, False, True]))), (1, pack(torch.tensor([True]))))
    ]  # fmt: skip
    assert Outcome.of(rows).correct.tolist() == [True, False, True, True]


def test_decades_sort_magnitudes_and_keep_zeros_apart() -> None:
    found = decades(np.array([0.0, 1.0, 2.0, 0.5, 1e-10, 1e-50]))
    assert (found["zero"], found["tiny"]) == (1, 1)
    at = {10**k: found["decades"][k - DECADES.start] for k in (0, -1, -10)}
    assert list(at.values()) == [2, 1, 1]
    assert sum(found["decades"]) == 4


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II: 56/70 - 48/80, method 10.
    low, high = Pair("", Rate(48, 80), Rate(56, 70)).interval
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def pair(lower: int, upper: int) -> Pair:
    return Pair("x", Rate(lower, 100), Rate(upper, 100))


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([pair(10, 60), pair(20, 70)], REPRODUCED),
        ([pair(10, 60), pair(20, 22)], REPRODUCED),
        ([pair(10, 60), pair(20, 22), pair(20, 22)], PARTLY),
        ([pair(10, 60), pair(60, 10)], PARTLY),
        ([pair(20, 22)], NOT),
        # One in forty lies beyond its interval where nothing differs.
        ([pair(10, 60), *[pair(20, 22)] * 38], PARTLY),
        ([pair(10, 60), *[pair(20, 22)] * 39], NOT),
        ([pair(10, 60), pair(10, 60), *[pair(20, 22)] * 38], PARTLY),
        ([pair(60, 10)], NOT),
        ([], UNTESTED),
    ],
)
def test_an_order_is_judged_by_what_is_confirmed_and_reversed(
    pairs: list[Pair], verdict: str
) -> None:
    assert ordered("claim", "paper", pairs).verdict == verdict


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([0.5, 0.1], REPRODUCED), ([0.5, 0.3], NOT), ([0.9, 0.9], NOT), ([], UNTESTED)],
)
def test_numbers_are_near_or_not(ours: list[float], verdict: str) -> None:
    assert near("claim", [0.52, 0.12], ours, 0.05).verdict == verdict


def test_conditions_hold_for_all_most_or_few() -> None:
    yes, no = ("a", True), ("b", False)
    assert holds("c", "p", [yes, yes]).verdict == REPRODUCED
    assert holds("c", "p", [yes, no]).verdict == PARTLY
    assert holds("c", "p", [yes, no, no]).verdict == NOT
    assert holds("c", "p", []).verdict == UNTESTED


def test_seeds_must_lie_apart_and_be_enough() -> None:
    lower, upper = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    assert apart("c", [("x", lower, upper)]).verdict == REPRODUCED
    assert apart("c", [("x", upper, lower)]).verdict == NOT
    assert apart("c", [("x", [0.1, 0.2, 0.5], upper)]).verdict == NOT
    assert apart("c", [("x", lower[:2], upper)]).verdict == UNTESTED


def test_a_fall_of_exactly_the_limit_is_within_it() -> None:
    from fractions import Fraction

    assert 0.995 - 0.985 > 0.01  # why floats will not do
    assert falls_by(Rate(995, 1000), Rate(985, 1000)) <= Fraction(1, 100)
    assert falls_by(Rate(995, 1000), Rate(984, 1000)) > Fraction(1, 100)
