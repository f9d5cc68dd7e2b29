"""The study of guards: counts of searches that were caught, and what decides its verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from hwsim.faults.guards import GuardChoice
from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.judge.claims import NOT, REPRODUCED, UNTESTED
from hwsim.studies.papers import protection
from hwsim.studies.papers.protection import GUARDS, GuardLine

PLAN = Plan()


def row(count: int | None, ended: str = "reached") -> dict[str, Any]:
    """A search that reaches 11% with so many flips; None: that ends otherwise behind three."""
    steps = [{"bits": n + 1, "accuracy": 0.7} for n in range(3 if count is None else count)]
    if count is not None:
        steps[-1]["accuracy"] = 0.1
    elif ended == "caught":
        steps[-1]["accuracy"] = None
    return {"clean": 0.99, "steps": steps, "ended": ended, "random": None, "bits": 800}


def test_a_search_that_was_caught_counts_as_more_than_it_might_flip() -> None:
    rows = [row(5), row(None, "caught"), row(None, "stuck")]
    line = GuardLine("mnist-cnn-h16", "parity, blind", "weights", rows, 40)
    assert line.flips(protection.STOP) == [5, 41, 41]
    assert line.text(protection.STOP) == "≥ 29.0 (5–41)"
    assert (line.caught, line.left) == (1, pytest.approx(0.4))
    none = GuardLine("mnist-cnn-h16", "parity, blind", "weights", rows[1:2], 40)
    assert none.text(protection.STOP) == "–"
    assert none.left is None
    assert (none.guard, none.who) == ("parity", "blind")


def answers(**flips: int | None) -> Answers:
    """So many flips by guard_attacker, 10 where none is given; None: nobody gets there."""
    found = []
    for guard, attackers in GUARDS.items():
        for who in attackers:
            count = flips.get(f"{guard.partition(':')[0]}_{who}", 10)
            found += [
                PointRow(
                    {
                        "network": "mnist-cnn-h16", "memory": "weights", "guard": guard,
                        "attacker": who, "seed": seed,
                    },
                    row(None if count is None else count + seed, "caught" if count is None else
                        "reached"),
                )
                for seed in range(3)
            ]  # fmt: skip
    return Answers(found)


def verdicts(**flips: int | None) -> dict[str, str]:
    found = protection.find(PLAN, ["mnist-cnn-h16"], answers(**flips))
    found.draw(Figure())
    assert all(len(line) == len(found.heads) for line in found.rows)
    assert len(found.records) == 3 * sum(map(len, GUARDS.values()))
    return {verdict.claim: verdict.verdict for verdict in found.verdicts}


def test_verdicts_follow_from_the_flips() -> None:
    found = verdicts(parity_blind=None, secded_adaptive=30, signature_keyless=5)
    assert found["who does not know of it does not break a network behind parity"] == REPRODUCED
    assert found["who does not know of it does not break a network behind clip"] == NOT
    assert found["secded makes who knows it flip more bits"] == REPRODUCED
    assert found["clip makes who knows it flip more bits"] == NOT
    assert found["signature:64 makes who knows all but its key flip more bits"] == NOT
    assert len(found) == 4 + 5


def test_a_guard_is_not_put_to_the_test_where_nobody_gets_there_without_one() -> None:
    found = verdicts(none_adaptive=None, clip_blind=None)
    assert found["who does not know of it does not break a network behind clip"] == UNTESTED


def test_a_guard_that_nobody_was_held_against_is_not_judged() -> None:
    some = Answers([one for one in answers().found if one.fields["guard"] != "clip"])
    found = protection.find(PLAN, ["mnist-cnn-h16"], some)
    by_claim = {verdict.claim: verdict.verdict for verdict in found.verdicts}
    assert by_claim["clip makes who knows it flip more bits"] == UNTESTED


@pytest.mark.parametrize("quick", [True, False])
def test_the_grid_has_everyone_behind_every_guard(quick: bool) -> None:
    points = protection.grid(Plan(quick=quick), protection.NETWORKS)
    attackers = sum(map(len, GUARDS.values()))
    assert len(points) == 2 * 2 * attackers * (2 if quick else 3)
    for point in points:
        assert GuardChoice.of(point.parameters["protect"]).text == point.fields["guard"]
        assert point.parameters["attacker"] in ("blind", "keyless", "adaptive")
