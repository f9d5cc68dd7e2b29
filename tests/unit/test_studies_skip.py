"""The study of zero skipping: what decides its verdicts; its grid has every machine once."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.judge.claims import NOT, REPRODUCED, UNTESTED, Verdict
from hwsim.studies.papers import skip
from hwsim.studies.papers.skip import DEFENSES, DENSE, NETWORKS

PLAN = Plan()


def row(
    *, right: int = 400, cycles: float = 400.0, columns: float = 0.1, attack: float = 1.2
) -> dict[str, Any]:
    """A row of 1,000 guesses; its attack raises images by about so much, noise by 1.05."""
    told = {"right": right, "asked": 1000, "chance": 0.11, "bits": 1.0, "low": 0.9, "high": 1.1}
    return {
        "plain": 1000, "cycles": {"mean": cycles, "p5": 300.0, "p95": 500.0}, "accuracy": 0.99,
        "columns": {"fc": columns, "conv": None}, "layers": told, "total": told,
        "attack": [attack - 0.01, attack, attack + 0.01], "uniform": [1.04, 1.05, 1.06],
    }  # fmt: skip


def verdicts(present: tuple[str, ...] = NETWORKS, **rows: dict[str, Any]) -> dict[str, Verdict]:
    """By claim; rows: of ``dense``, ``hashed``, ``last``, ``all``, else ``row()``."""
    found = []
    for defense in DEFENSES:
        for network in present:
            name = "dense" if network == DENSE else "hashed"
            if defense != "none":
                name = defense.rpartition(" ")[2]
            found.append(PointRow({"network": network, "defense": defense}, rows.get(name, row())))
    made = skip.find(PLAN, present, Answers(found))
    assert len(made.rows) == len(made.records) == len(found)
    assert {len(cells) for cells in made.rows} == {len(made.heads)}
    made.draw(Figure())
    return {one.claim: one for one in made.verdicts}


def starting(found: dict[str, Verdict], begins: str) -> str:
    (one,) = [verdict for claim, verdict in found.items() if claim.startswith(begins)]
    return one.verdict


def test_a_leak_must_lie_above_chance() -> None:
    assert starting(verdicts(), "the class is told") == REPRODUCED
    chance = row(right=115)
    assert starting(verdicts(dense=chance, hashed=chance), "the class is told") == NOT


@pytest.mark.parametrize(("right", "expected"), [(500, REPRODUCED), (402, NOT), (300, NOT)])
def test_compressed_networks_tell_more_where_intervals_say_so(right: int, expected: str) -> None:
    found = verdicts(hashed=row(right=right))
    assert starting(found, "the time of a compressed network") == expected


def test_fewer_columns_and_larger_gains_are_asked_of_every_rate() -> None:
    found = verdicts(hashed=row(columns=0.05, attack=1.3))
    assert starting(found, "compression leaves fewer") == REPRODUCED
    assert starting(found, "an attack on time gains more") == REPRODUCED
    found = verdicts(hashed=row(columns=0.2, attack=1.205))
    assert starting(found, "compression leaves fewer") == NOT
    assert starting(found, "an attack on time gains more") == NOT


def test_inhibition_is_held_against_the_same_network_without_it() -> None:
    found = verdicts(last=row(right=300), all=row(cycles=410.0))
    assert starting(found, "inhibition, last makes") == REPRODUCED
    assert starting(found, "inhibition, last changes no cycle") == REPRODUCED
    assert starting(found, "inhibition, all makes") == NOT
    assert starting(found, "inhibition, all changes no cycle") == NOT


def test_an_attack_no_better_than_noise_is_said_to_be_so() -> None:
    assert starting(verdicts(), "optimized images cost more") == REPRODUCED
    weak = row(attack=1.05)
    assert starting(verdicts(dense=weak, hashed=weak), "optimized images cost more") == NOT


def test_without_the_uncompressed_network_nothing_is_compared_with_it() -> None:
    found = verdicts(present=NETWORKS[1:])
    assert not any(claim.startswith("compression") for claim in found)
    assert UNTESTED not in {one.verdict for one in found.values()}


@pytest.mark.parametrize("quick", [False, True])
def test_the_grid_has_each_machine_once(quick: bool) -> None:
    points = skip.grid(Plan(quick=quick), NETWORKS)
    keys = {(point.fields["network"], point.fields["defense"]) for point in points}
    assert len(keys) == len(points) == len(NETWORKS) * len(DEFENSES)
    assert len({str(point.parameters) for point in points}) == len(points)
