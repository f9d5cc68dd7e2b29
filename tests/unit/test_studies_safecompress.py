"""The study of SafeCompress: what decides its verdicts, its grid, and a row of a tiny target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset, NoDataError
from hwsim.models.datasets.known import CATALOG
from hwsim.studies import study
from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.grid.safe_rows import compressed
from hwsim.studies.index import entry
from hwsim.studies.judge.claims import NOT, PARTLY, REPRODUCED, UNTESTED, Verdict
from hwsim.studies.papers import safecompress
from hwsim.studies.runner import machines, targets
from hwsim.studies.runner.executors import Inline
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.targets import TrainedTarget

DATA = ("small-fashion", "small-newsgroups")
METHODS = ("bmia", "wmia", "mmia", "untested", "one-shot", "regularized", "hash", "hash-mmia")


def row(
    told: float = 0.7, task: float = 0.8, members: float = 0.9, fixed: float | None = None
) -> dict[str, Any]:
    """A row of 5,000 asked, of whom every attacker tells so many; ``fixed``: on the engine."""

    def machine(told: float) -> dict[str, Any]:
        rate = {"right": round(5000 * told), "asked": 5000}
        attack = {**rate, "auc": told, "auc_low": 0.5, "auc_high": 0.9, "tpr01": None}
        attack["tpr1"] = {"right": 50, "asked": 2500}
        return {
            "task": {"right": round(10_000 * task), "asked": 10_000},
            "members": {"right": round(2500 * members), "asked": 2500},
            "others": {"right": round(2500 * task), "asked": 2500},
            **dict.fromkeys(("bmia", "wmia", "mmia", "loss"), attack),
        }

    engine = machine(told if fixed is None else fixed)
    return {"machines": {"4-bit": engine, "8-bit": engine, "float": machine(told)}}


def found(rows: Mapping[str, dict[str, Any]], data: Sequence[str] = DATA) -> dict[str, Verdict]:
    """Verdicts by claim, of these rows for every data set."""
    points = [
        PointRow(
            {"data": name, "method": method, "density": 1.0 if "dense" in method else 0.1,
             "seed": 0}, one,
        )
        for name in data
        for method, one in rows.items()
    ]  # fmt: skip
    made = safecompress.find(Plan(), data, Answers(points))
    assert len(made.rows) == len(points)
    assert len(made.records) == 3 * len(points)
    assert [r["machine"] for r in made.records[:3]] == ["float", "8-bit", "4-bit"]
    assert {len(cells) for cells in made.rows} == {len(made.heads)}
    assert len({tuple(record) for record in made.records}) == 1
    made.draw(Figure())
    return {one.claim: one for one in made.verdicts}


def starting(verdicts: dict[str, Verdict], begins: str) -> str:
    (one,) = [verdict for claim, verdict in verdicts.items() if claim.startswith(begins)]
    return one.verdict


def every(**others: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All methods, told alike, but for ``others``; underscores stand for dashes."""
    rows = {"dense": row(), **{method: row() for method in METHODS}}
    return rows | {name.replace("_", "-"): one for name, one in others.items()}


def test_an_attack_must_fall_by_more_than_chance_and_accuracy_must_stay() -> None:
    same = found(every())
    assert starting(same, "SafeCompress is told less of than the dense") == NOT
    assert starting(same, "and keeps its accuracy") == REPRODUCED
    safer = {name: row(0.6, 0.77) for name in ("bmia", "wmia", "mmia")}
    less = found(every(**safer))
    assert starting(less, "SafeCompress is told less of than the dense") == REPRODUCED
    assert starting(less, "MMIA-SafeCompress is told less of by black box") == REPRODUCED
    assert starting(less, "SafeCompress is told less of than pruned") == REPRODUCED
    assert starting(less, "and than adversarial regularization") == REPRODUCED
    assert starting(less, "and than the same training without a choice") == REPRODUCED
    assert starting(less, "and keeps its accuracy") == NOT


def test_worse_than_a_control_is_said_to_be_so() -> None:
    verdicts = found(every(untested=row(0.6), one_shot=row(0.75), regularized=row(0.6)))
    assert starting(verdicts, "and than the same training without a choice") == NOT
    assert starting(verdicts, "and than adversarial regularization") == NOT
    assert starting(verdicts, "SafeCompress is told less of than pruned") == REPRODUCED


def test_a_dense_network_trained_shorter_is_a_match_only_where_it_is_as_accurate() -> None:
    safer = {name: row(0.6, 0.75) for name in ("bmia", "wmia", "mmia")}
    begins = "SafeCompress is told less of than a dense network, trained shorter"
    short = {"dense, 0.25 of epochs": row(0.55, 0.76)}
    assert starting(found({**every(**safer), **short}), begins) == NOT
    poor = {"dense, 0.25 of epochs": row(0.55, 0.70)}
    assert starting(found({**every(**safer), **poor}), begins) == REPRODUCED
    assert starting(found(every(**safer)), begins) == UNTESTED


def test_the_engine_is_held_against_its_float_twin() -> None:
    assert starting(found(every()), "the 8-bit engine") == NOT
    fewer = {name: row(0.7, fixed=0.6) for name in ("dense", *METHODS)}
    assert starting(found(fewer), "the 4-bit engine") == REPRODUCED
    some = every(dense=row(0.7, fixed=0.6), hash=row(0.7, fixed=0.8), bmia=row(0.7, fixed=0.6))
    assert starting(found(some), "the 8-bit engine") == PARTLY


@pytest.mark.slow
def test_hashed_words_are_judged_beside_hashing_at_one_rate() -> None:
    begins = "SafeCompress on hashed words"
    assert starting(found(every(hash_mmia=row(0.6))), begins) == REPRODUCED
    without = {name: one for name, one in every().items() if name != "hash"}
    assert starting(found(without), begins) == UNTESTED


def test_a_leak_that_follows_the_gap_is_told_from_one_that_does_not() -> None:
    members = np.linspace(0.8, 1.0, len(METHODS))
    follows = {
        name: row(0.5 + float(m - 0.8) / 2, members=float(m))
        for name, m in zip(METHODS, members, strict=True)
    }
    assert starting(found(follows), "what is told follows the gap") == REPRODUCED
    against = {
        name: row(0.6 + 0.01 * (k % 2), members=float(m))
        for k, (name, m) in enumerate(zip(METHODS, members, strict=True))
    }
    assert starting(found(against), "what is told follows the gap") == NOT


def test_without_the_dense_network_nothing_is_compared_with_it() -> None:
    verdicts = found({name: one for name, one in every().items() if name != "dense"})
    assert starting(verdicts, "SafeCompress is told less of than the dense") == UNTESTED
    assert starting(verdicts, "and keeps its accuracy") == UNTESTED


@pytest.mark.parametrize(("quick", "count"), [(False, 3 * (4 + 3 * 11)), (True, 2 + 3)])
def test_the_grid_has_every_network_once(quick: bool, count: int) -> None:
    points = safecompress.grid(Plan(quick=quick), safecompress.NETWORKS)
    assert len({str(point.parameters) for point in points}) == len(points)
    assert len(points) == count * len(safecompress.NETWORKS)
    assert {tuple(p.parameters["bits"]) for p in points} == {(8,) if quick else (8, 4)}


# ---------------------------------------------------------------- rows


@pytest.fixture
def diamonds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few random diamonds in the place of the data sets that there are; others are missing."""
    random = np.random.default_rng(0)
    shape = CATALOG["diamonds"].shape

    def given(name: str, split: str) -> Dataset:
        if name != "diamonds":
            raise NoDataError(f"no {name}")
        count = 220 if split == "train" else 40
        codes = random.integers(0, 256, (count, *shape)).astype(np.uint8)
        return Dataset("diamonds", split, codes, np.arange(count) % 5, "memory", "0" * 64, True)

    kept = {split: given("diamonds", split) for split in ("train", "test")}

    def dataset(name: str, split: str) -> Dataset:
        return kept[split] if name == "diamonds" else given(name, split)

    for module in (machines, targets, study):
        monkeypatch.setattr(module, "dataset", dataset)


@pytest.mark.usefixtures("diamonds")
def test_members_and_others_come_from_one_split_and_never_meet() -> None:
    target = TrainedTarget.named("small-diamonds", 1, members=100)
    sides = target.sides()
    assert len(sides.learn) == 100
    every_one = [
        {image.numpy().tobytes() for image in side.images}
        for pair in (sides.tester, sides.judge)
        for side in (pair.members, pair.others)
    ]
    assert [len(some) for some in every_one] == [50] * 4
    assert len(set.union(*every_one)) == 200
    learnt = {image.numpy().tobytes() for image in sides.learn.images}
    assert every_one[0] | every_one[2] == learnt
    other = replace(target, seed=2).sides()
    assert learnt != {image.numpy().tobytes() for image in other.learn.images}
    assert target.sides().digest() == sides.digest() != other.digest()
    with pytest.raises(InputError, match="which has 220, leave too few others"):
        replace(target, members=200).sides()
    tested = {image.numpy().tobytes() for image in target.tested().images}
    assert tested.isdisjoint(set.union(*every_one))


@pytest.mark.slow
@pytest.mark.usefixtures("diamonds")
def test_a_row_has_every_machine_and_every_attacker_and_comes_out_again() -> None:
    target = replace(TrainedTarget.named("small-diamonds", 0, members=100), epochs=2)
    asked = dict(
        trained=target.parameters(), method="mmia", density=0.2, bits=[8], config="default",
        attack_epochs=[1, 1], settings={"tested": 20, "attack_epochs": [1, 1], "period": 2,
                                        "trial": 1},
    )  # fmt: skip
    made = compressed(**asked)
    assert made == compressed(**asked)
    assert made["weights"]["left"] == pytest.approx(0.2 * made["weights"]["all"], rel=0.02)
    assert made["epochs"] == 2
    assert made["chosen"]
    assert set(made["chosen"]) <= {0, 1, 2}
    assert list(made["machines"]) == ["float", "8-bit"]
    for machine in made["machines"].values():
        assert machine["task"]["asked"] == 40
        for who in ("bmia", "wmia", "mmia", "loss"):
            assert machine[who]["asked"] == 2 * 25
            assert 0 <= machine[who]["auc_low"] <= machine[who]["auc"] <= machine[who]["auc_high"]
            assert machine[who]["tpr1"] is None  # 25 others cannot tell 1%


@pytest.mark.slow
@pytest.mark.usefixtures("diamonds")
def test_a_study_that_trains_names_missing_data_and_shows_the_rows_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safecompress, "QUICK_METHODS", ("untested",))
    monkeypatch.setattr(safecompress, "QUICK_MEMBERS", 100)
    monkeypatch.setattr(safecompress, "QUICK_SHARE", 0.05)
    asked = study.Study(entry("safecompress"), Plan(quick=True))
    assert asked.present == ["small-diamonds"]
    assert asked.missing["small-mnist"] == "data are missing: no mnist"
    assert len(asked.tasks) == 3
    with Store(tmp_path / "rows.sqlite") as store:
        with pytest.raises(InputError, match="has no row of the study safecompress yet"):
            asked.compute(store, Inline(), kept=True)
        rows = [one.row for one in (PointRow({}, row()), PointRow({}, row(0.6)))]
        for task, one in zip(asked.tasks, rows, strict=False):
            store.put(task, one, 1.0)
        shown = asked.compute(store, Inline(), kept=True)
    assert shown.result["finished"] == [2, 3]
    assert len(shown.result["rows"]) == 2
    assert shown.result["networks"] == {}
    assert [data["name"] for data in shown.result["datasets"]] == ["diamonds"]
