"""What the mechanism study concludes from its rows."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.plan import Answers, Plan, PointRow
from hwsim.studies.judge.claims import NOT, PARTLY, REPRODUCED, UNTESTED, Verdict
from hwsim.studies.judge.softmax_limits import below, least
from hwsim.studies.papers import mechanism, mechanism_grid, mechanism_verdicts

PLAN = Plan(quick=True)
SHORT, LONG = "mnist-cnn-plain-e4", "mnist-cnn-plain"


def record(network: str, rewrite: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "network": network, "rewrite": rewrite, "machine": "float", "softmax": "float32",
        "images": 100, "clean": 0.99, "kept": 1.0, "margin": 10.0, "blind": 0.0, "naive": 0.9,
        "step": 0.9, "adaptive": 1.0, "pgd": 0.4,
    }  # fmt: skip
    return fields | changes


def verdict(records: list[dict[str, Any]], start: str) -> Verdict:
    pgd = {
        (r["network"], r["rewrite"], r["machine"]): Rate(round(200 * r["pgd"]), 200)
        for r in records
    }
    found = [v for v in mechanism_verdicts.verdicts(records, pgd) if v.claim.startswith(start)]
    return found[0]


def test_the_papers_mean_is_over_its_hashnets_and_no_other_network() -> None:
    every = [
        record(n, rewrite, naive=0.5 if n in mechanism.HASHNETS else 0.0)
        for n in mechanism.NETWORKS
        for rewrite in (mechanism.NONE, mechanism.PUBLISHED)
    ]
    means = mechanism._means(PLAN, mechanism.NETWORKS, every)
    assert [(m["network"], m["rewrite"]) for m in means] == [
        ("mean", mechanism.NONE), ("mean", mechanism.PUBLISHED),
    ]  # fmt: skip
    assert {m["naive"] for m in means} == {0.5}
    assert mechanism._means(PLAN, ["mnist-cnn", LONG], every) == []


@pytest.mark.parametrize(
    ("before", "after", "said"), [(10.0, 30.0, REPRODUCED), (30.0, 10.0, NOT), (10.0, 10.0, NOT)]
)
def test_training_on_is_judged_by_the_margin_before_any_rewrite(
    before: float, after: float, said: str
) -> None:
    rows = [
        record(SHORT, mechanism.NONE, margin=before),
        record(LONG, mechanism.NONE, margin=after),
        record(LONG, mechanism.PUBLISHED, margin=99.0),
    ]
    assert verdict(rows, "(ours) training on").verdict == said


def test_training_on_is_not_judged_without_the_shorter_training() -> None:
    rows = [record(LONG, mechanism.NONE), record(LONG, mechanism.PUBLISHED)]
    assert verdict(rows, "(ours) training on").verdict == UNTESTED


def test_a_collapse_must_start_high_and_end_low_on_every_network() -> None:
    deep = "mnist-cnn-h64-plain"
    rows = [
        record(LONG, mechanism.NONE, naive=0.95),
        record(LONG, mechanism.PUBLISHED, naive=0.012),
        record(deep, mechanism.NONE, naive=0.70),  # too low a start
        record(deep, mechanism.PUBLISHED, naive=0.05),
    ]
    assert verdict(rows, "(ours) trained for long").verdict == PARTLY
    assert verdict(rows[:2], "(ours) trained for long").verdict == REPRODUCED
    assert verdict(rows, "τ = 0.1 on the last layer").verdict == UNTESTED  # none of the paper's


def test_a_number_in_a_network_that_lost_its_accuracy_is_not_the_papers() -> None:
    low = {"naive": 0.01, "adaptive": 1.0}
    kept = [record(LONG, mechanism.NONE), record(LONG, mechanism.PUBLISHED, **low)]
    lost = [record(LONG, mechanism.NONE), record(LONG, mechanism.PUBLISHED, kept=0.9, **low)]
    assert verdict(kept, "(ours) some setting").verdict == REPRODUCED
    assert verdict(lost, "(ours) some setting").verdict == NOT


@pytest.mark.parametrize(("defended", "said"), [(0.4, REPRODUCED), (0.35, REPRODUCED), (0.2, NOT)])
def test_a_defense_that_seems_to_work_is_judged_where_an_attack_can_fail(
    defended: float, said: str
) -> None:
    rows = [
        record(LONG, mechanism.NONE, naive=0.9, pgd=0.4),
        record(LONG, mechanism.PUBLISHED, naive=0.1, pgd=defended),
    ]
    assert verdict(rows, "(ours) wherever").verdict == said


@pytest.mark.parametrize(("step", "said"), [(0.9, REPRODUCED), (0.5, NOT)])
def test_one_step_on_the_margin_restores_success_or_does_not(step: float, said: str) -> None:
    rows = [record(LONG, mechanism.NONE), record(LONG, mechanism.PUBLISHED, naive=0.01, step=step)]
    assert verdict(rows, "(ours) where it appears").verdict == said


def test_every_trained_network_is_measured_with_and_without_the_papers_rewrite() -> None:
    for network in mechanism.PLAIN:
        assert mechanism.rewrites(network) == [mechanism.NONE, mechanism.PUBLISHED]
    points = mechanism.grid(PLAN, [LONG])
    lines = {point.fields["line"] for point in points}
    label = mechanism.PLAIN[LONG]
    assert lines == {f"{label} {mechanism.NONE}", f"{label} {mechanism.PUBLISHED}"}


def test_the_least_wall_leaves_just_enough_images_a_gradient() -> None:
    leads = [3.0, 1.0, 2.0, 4.0]
    for share, highest in ((0.25, 1.0), (0.5, 2.0), (0.51, 3.0), (0.75, 3.0), (1.0, 4.0)):
        wall = least(leads, share)
        assert highest < wall < highest + 1e-9
        assert below(leads, wall) >= share
        assert below(leads, highest) < share  # any lower wall leaves too few
    assert below(leads, 0.0) == 0.0


@pytest.mark.parametrize(
    ("after", "said"), [([30.0] * 99 + [5.0], REPRODUCED), ([30.0] * 90 + [5.0] * 10, NOT)]
)
def test_a_wall_explains_the_papers_pair_only_if_hardly_a_lead_stays_below_it(
    after: list[float], said: str
) -> None:
    plan = Plan(bits=(8,))
    leads = {mechanism.NONE: [float(k % 10 + 1) for k in range(100)], mechanism.PUBLISHED: after}
    answers = Answers([
        PointRow(
            {"line": f"1 {rewrite}", "machine": machine, "what": "leads"},
            {"images": 100, "margins": some, "leads": some},
        )
        for rewrite, some in leads.items()
        for machine in plan.names
    ])  # fmt: skip
    verdict = mechanism_verdicts.walls(plan, [mechanism_grid.DENSE], answers)
    assert verdict.verdict == said
    assert "at 10 nats" in verdict.ours
