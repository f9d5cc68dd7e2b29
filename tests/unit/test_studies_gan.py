"""The study of a GAN's samples: what its rows count, and what decides its verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from hwsim.errors import InputError
from hwsim.studies.grid import gan_rows
from hwsim.studies.grid.attack_rows import pack, unpack
from hwsim.studies.grid.gan_rows import METHODS
from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.judge.claims import NOT, PARTLY, REPRODUCED, UNTESTED, Verdict
from hwsim.studies.papers import gan
from hwsim.studies.papers.gan import NETWORKS, SEEDS, TRAININGS
from hwsim.studies.papers.gan_lines import GanLine
from hwsim.studies.runner.machines import Subject

PLAN = Plan()
COUNT = 100


def row(
    *, right: int = 900, reached: int = 97, changed: int = 35, sigma: int = 100, engine: int = 0
) -> dict[str, Any]:
    """Of 100 attacked images all are right; JSMA reaches so many, on the engine ``engine`` more."""

    def flags(count: int) -> str:
        return pack(torch.arange(COUNT) < count)

    def machine(more: int) -> dict[str, Any]:
        method = {"reached": flags(reached + more), "changed": [changed] * COUNT}
        methods = {METHODS[0]: method, METHODS[1]: method,
                   METHODS[2]: {"reached": flags(sigma), "changed": [20] * COUNT}}  # fmt: skip
        return {"right": right, "correct": flags(COUNT), "methods": methods}

    return {"tested": 1000, "attacked": COUNT, "float": machine(0), "8-bit": machine(engine)}


def verdicts(plan: Plan = PLAN, seeds: tuple[int, ...] = SEEDS, **rows: Any) -> list[Verdict]:
    """rows: by training, its name in Python's letters; else ``row()``; None leaves it out."""
    found = []
    for name in TRAININGS:
        key = name.replace(" + ", "_").replace("2 × ", "twice_").lower()
        made = rows.get(key, row())
        found += [PointRow({"training": name, "seed": s}, made) for s in seeds if made]
    made = gan.find(plan, NETWORKS, Answers(found))
    assert {len(cells) for cells in made.rows} == {len(made.heads)}
    assert len(made.records) == 2 * len(found)
    made.draw(Figure())
    return list(made.verdicts)


def starting(found: list[Verdict], begins: str) -> str:
    (one,) = [verdict for verdict in found if verdict.claim.startswith(begins)]
    return one.verdict


@pytest.mark.parametrize(("reached", "changed", "expected"), [
    (97, 35, (REPRODUCED, REPRODUCED)), (91, 35, (NOT, REPRODUCED)), (97, 44, (REPRODUCED, NOT)),
])  # fmt: skip
def test_the_undefended_network_is_held_against_the_published_numbers(
    reached: int, changed: int, expected: tuple[str, str]
) -> None:
    found = verdicts(real=row(reached=reached, changed=changed))
    assert starting(found, "JSMA's success without") == expected[0]
    assert starting(found, "it changes about") == expected[1]


def test_a_defense_lowers_success_where_the_intervals_of_all_seeds_together_say_so() -> None:
    claim = "training with the GAN's samples lowers"
    assert starting(verdicts(real_gan=row(reached=80)), claim) == REPRODUCED
    assert starting(verdicts(real_gan=row(reached=95)), claim) == NOT  # open
    assert starting(verdicts(real_gan=row(reached=100)), claim) == NOT
    found = verdicts(jsma=row(reached=80))
    assert starting(found, "adversarial training lowers it") == REPRODUCED  # two of four, none back
    assert starting(found, "the GAN's samples lower it further") == NOT
    found = verdicts(jsma=row(reached=80), real_gan=row(reached=50))
    assert starting(found, "adversarial training lowers it") == PARTLY  # two of four against it


def test_more_values_must_be_changed_on_every_seed() -> None:
    claim = "the GAN's samples make JSMA change more"
    assert starting(verdicts(real_gan=row(changed=36), jsma_gan=row(changed=36)), claim) == (
        REPRODUCED
    )
    assert starting(verdicts(), claim) == NOT
    assert starting(verdicts(seeds=(0,), real_gan=row(changed=36)), claim) == UNTESTED


@pytest.mark.slow
def test_accuracy_may_fall_by_a_point() -> None:
    claim = "the GAN's samples cost at most"
    assert starting(verdicts(real_gan=row(right=890)), claim) == REPRODUCED
    assert starting(verdicts(real_gan=row(right=889)), claim) == PARTLY


def test_who_may_use_another_attack_is_asked_apart() -> None:
    claim = "(ours) any of these defenses lowers"
    assert starting(verdicts(jsma=row(reached=50), jsma_gan=row(reached=50)), claim) == NOT
    weak = row(reached=50, sigma=50)
    assert starting(verdicts(jsma=weak, jsma_gan=weak), claim) == REPRODUCED


def test_engine_and_float_are_fooled_alike_within_five_points() -> None:
    assert starting(verdicts(), "(ours) the engine") == REPRODUCED
    assert starting(verdicts(jsma=row(reached=90, engine=6)), "(ours) the engine") == PARTLY


def test_claims_without_their_trainings_are_not_tested() -> None:
    found = verdicts(twice_real=None)
    assert starting(found, "(ours) real images in place of the GAN's lower") == UNTESTED
    assert starting(found, "(ours) real images in place of the GAN's make") == UNTESTED


def test_only_images_that_were_right_count_and_nothing_is_made_of_no_success() -> None:
    made = row(reached=0, sigma=40)
    made["float"]["correct"] = pack(torch.arange(COUNT) >= 30)
    line = GanLine("real", (0,), [made])
    assert [(r.successes, r.total) for r in line.adaptive("float")] == [(10, 70)]
    assert math.isnan(line.changed("float", METHODS[0])[0])
    verdicts(jsma=made)


def test_a_quick_grid_has_one_seed_and_every_machine_is_in_a_row() -> None:
    full, quick = gan.grid(PLAN, NETWORKS), gan.grid(Plan(quick=True, bits=(8, 4)), NETWORKS)
    assert len(full) == len(SEEDS) * len(TRAININGS)
    assert {point.fields["seed"] for point in quick} == {0}
    assert len(quick) == sum(one.quick for one in TRAININGS.values())
    assert all(point.parameters["bits"] == [8, 4] for point in quick)
    made = {p.parameters["generated"]["digest"] for p in full if p.parameters["generated"]}
    assert len(made) == len(SEEDS)


@pytest.mark.slow
def test_a_row_trains_attacks_and_counts() -> None:
    (point,) = [p for p in gan.grid(PLAN, NETWORKS)
                if p.fields == {"training": "JSMA + GAN", "seed": 0}]  # fmt: skip
    small = dict(real=20, passes=40, tested=20, attacked=4, steps=2, bits=[8])
    parameters = {**point.parameters, **small}
    found = gan_rows.trained(**parameters)
    again = gan_rows.trained(**parameters)
    assert found == again
    for machine in ("float", "8-bit"):
        assert 0 <= found[machine]["right"] <= 20
        for method in METHODS:
            one = found[machine]["methods"][method]
            reached = unpack(one["reached"], 4)
            assert (np.array(one["changed"])[reached] <= math.floor(0.145 * 784)).all()
    wrong = {**parameters["generated"], "digest": "0" * 64}
    with pytest.raises(InputError, match="not the generator that this row was asked for"):
        gan_rows.trained(**{**parameters, "generated": wrong})
    assert Subject.of(parameters["subject"]).network == "lenet5"
