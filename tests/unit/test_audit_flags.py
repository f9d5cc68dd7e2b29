"""Each flag of the audit on evidence made by hand: it is raised, and it stays down."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwsim.audit.evidence import (
    Agreement,
    Attempt,
    Convergence,
    Evidence,
    GradientEvidence,
    Saturation,
    Stability,
    Ties,
)
from hwsim.audit.flag_texts import FLAGS
from hwsim.audit.flags import FlagVerdict, judge_all, short_depth
from hwsim.audit.statistics import ALPHA, compare, sign_test
from hwsim.audit.suite import bottom_line

N = 64
EPSILONS = (0.1, 0.3, 0.5)


def made(
    name: str, counts: Sequence[int], epsilons: Sequence[float] = EPSILONS, **more: Any
) -> Attempt:
    """An attempt that fools the first ``counts`` images at each ε."""
    family = {"fgsm": "one-step", "pgd": "iterated", "unbounded": "unbounded"}.get(
        name.split()[0], "gradient-free"
    )
    facts: dict[str, Any] = dict(family=family, loss=name.split()[-1], source="", zero_gradient=0)
    rows = ["1" * count + "0" * (N - count) for count in counts]
    return Attempt(
        name=name, epsilons=epsilons, success=rows, forward=1.0, backward=1.0, **(facts | more)
    )


def honest() -> Evidence:
    """What an undefended network gives: iterated beats one step, knowing more helps."""
    evidence = Evidence(N)
    for loss in ("ce-float32", "ce-float64", "margin", "dlr", "ce-rescaled"):
        add(evidence, made(f"fgsm {loss}", (10, 50, 55)))
        add(evidence, made(f"pgd {loss}", (20, 64, 64)))
        add(evidence, made(f"unbounded {loss}", (64,), (1.0,)))
        evidence.gradients.append(GradientEvidence(loss, 0, 0.0, 6, 0.97, (-7.0, -5.0, -2.0)))
    add(evidence, made("fgsm ce-16bit", (3, 9, 12)))
    add(evidence, made("pgd ce-16bit", (6, 12, 20)))
    add(evidence, made("unbounded ce-16bit", (30,), (1.0,)))
    evidence.gradients.append(GradientEvidence("ce-16bit", 40, 0.6, 40, 0.4, (None, None, None)))
    add(evidence, made("noise sign", (0, 2, 9)))
    add(evidence, made("fgsm ce-float32 from float", (10, 49, 55), family="transfer"))
    add(evidence, made("pgd ce-float32 from float", (18, 60, 64), family="transfer"))
    for step, cosine in ((1, 0.6), (4, 0.88), (16, 0.85)):
        both = {"ste": cosine, "ste-unclamped": cosine}
        evidence.agreement.append(Agreement("input", "directions", step, both, both))
    noise = {"ste": 0.1, "ste-unclamped": 0.1}
    evidence.agreement.append(Agreement("input", "coordinates", 1, noise, noise))
    evidence.saturation.append(Saturation("conv1", 0.001, 0.5))
    evidence.ties = Ties(N, 0, 0, 40)
    evidence.stability = Stability(10, 6400, 0)
    evidence.convergence.append(Convergence("pgd ce-float32", 0.1, 44, 30, 40, 2))
    return evidence


def add(evidence: Evidence, attempt: Attempt) -> None:
    evidence.attempts[attempt.name] = attempt


def verdict(evidence: Evidence, key: str) -> FlagVerdict:
    return next(v for v in judge_all(evidence) if v.key == key)


def raised(evidence: Evidence) -> list[str]:
    return [v.key for v in judge_all(evidence) if v.raised]


def test_honest_evidence_raises_no_flag() -> None:
    verdicts = judge_all(honest())
    assert [v.key for v in verdicts] == [flag.key for flag in FLAGS]
    assert [v.raised for v in verdicts] == [False] * len(FLAGS)


def test_without_evidence_nothing_is_clear() -> None:
    assert {v.raised for v in judge_all(Evidence(N))} == {None}


def test_evidence_survives_json() -> None:
    import json

    evidence = honest()
    again = Evidence.from_dict(json.loads(json.dumps(evidence.as_dict())))
    assert again.as_dict() == json.loads(json.dumps(evidence.as_dict()))
    assert [v.finding for v in judge_all(again)] == [v.finding for v in judge_all(evidence)]


def with_gradients(loss: str, **change: int) -> Evidence:
    evidence = honest()
    rows = evidence.gradients
    at = [row.loss for row in rows].index(loss)
    rows[at] = dataclasses.replace(rows[at], **change)
    return evidence


@pytest.mark.parametrize("loss", ["ce-float32", "ce-float64", "margin", "dlr"])
def test_one_image_without_a_gradient_is_a_flag(loss: str) -> None:
    assert raised(with_gradients(loss, zero_images=1)) == ["zero-gradient"]


def test_the_answered_class_without_a_term_on_most_images_is_a_flag() -> None:
    assert raised(with_gradients("ce-float32", no_winner=33)) == ["zero-gradient"]
    assert raised(with_gradients("ce-float32", no_winner=32)) == []
    # Where float64 rounds, float32 has long been gone.
    assert raised(with_gradients("ce-float64", no_winner=33)) == []


def test_the_chips_own_probabilities_raise_no_flag() -> None:
    evidence = with_gradients("ce-16bit", zero_images=N, no_winner=N)
    add(evidence, made("pgd ce-16bit", (30, 0, 0)))
    add(evidence, made("unbounded ce-16bit", (0,), (1.0,)))
    assert raised(evidence) == []


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("loss", ["margin", "dlr", "ce-rescaled"])
def test_a_loss_that_fools_more_images_is_a_flag(attack: str, loss: str) -> None:
    evidence = honest()
    naive = evidence.attempts[f"{attack} ce-float32"]
    add(evidence, dataclasses.replace(naive, success=made("x", (10, 38, 43)).success))
    other = evidence.attempts[f"{attack} {loss}"]
    for name in ("margin", "dlr", "ce-rescaled"):
        same = evidence.attempts[f"{attack} ce-float32"].success
        add(evidence, dataclasses.replace(evidence.attempts[f"{attack} {name}"], success=same))
    assert "other-loss-wins" not in raised(evidence)
    add(evidence, dataclasses.replace(other, success=made("x", (10, 50, 43)).success))
    assert "other-loss-wins" in raised(evidence)
    assert (
        f"{attack} {loss} beats {attack} ce-float32 on 12 images"
        in verdict(evidence, "other-loss-wins").finding
    )


def test_one_step_that_beats_many_is_a_flag() -> None:
    evidence = honest()
    add(evidence, made("pgd margin", (10, 40, 41)))
    assert "one-step-wins" in raised(evidence)
    assert "fgsm margin beats pgd margin" in verdict(evidence, "one-step-wins").finding


@pytest.mark.parametrize("name", ["noise sign", "square", "pgd ce-float32 from float"])
def test_an_attack_that_knows_less_and_does_more_is_a_flag(name: str) -> None:
    evidence = honest()
    add(evidence, made("pgd ce-float32", (10, 20, 30)))
    family = "transfer" if "from" in name else "gradient-free"
    add(evidence, made(name, (10, 20, 30), family=family))
    assert "blind-wins" not in {
        v.key for v in judge_all(evidence) if v.raised and name in v.finding
    }
    add(evidence, made(name, (10, 20, 45), family=family))
    assert name in verdict(evidence, "blind-wins").finding
    assert verdict(evidence, "blind-wins").raised


def test_success_that_falls_with_epsilon_is_a_flag() -> None:
    evidence = honest()
    add(evidence, made("pgd margin", (20, 60, 48)))
    assert "not-rising" in raised(evidence)


def test_success_that_stands_still_is_a_flag_only_if_enough_is_left() -> None:
    evidence = honest()
    add(evidence, made("pgd margin", (20, 24, 26)))
    assert "not-rising" in raised(evidence)
    add(evidence, made("pgd margin", (57, 57, 58)))  # 7 survivors say nothing
    assert "not-rising" not in raised(evidence)


def test_an_unbounded_attack_that_leaves_images_is_a_flag() -> None:
    evidence = honest()
    add(evidence, made("unbounded margin", (63,), (1.0,)))
    assert raised(evidence) == []  # 1 of 64 is below 2%
    add(evidence, made("unbounded margin", (62,), (1.0,)))
    assert raised(evidence) == ["unbounded-fails"]


def test_an_attack_stopped_on_its_way_is_a_flag() -> None:
    evidence = honest()
    evidence.convergence.append(Convergence("pgd margin", 0.1, 44, 44, 40, 3))
    assert raised(evidence) == []  # a loss may rise for ever; 3 of 64 images are below 5%
    evidence.convergence.append(Convergence("pgd margin", 0.3, 44, 16, 160, 4))
    assert raised(evidence) == ["unfinished"]


def test_a_gradient_that_no_step_width_confirms_is_a_flag() -> None:
    evidence = honest()
    for step, cosine in ((1, 0.05), (4, 0.2)):
        low = {"ste": cosine, "ste-unclamped": 0.8}
        evidence.agreement.append(Agreement("after fc1", "directions", step, low, low))
    assert raised(evidence) == ["gradient-disagrees"]
    assert "after fc1 (ste): 0.20" in verdict(evidence, "gradient-disagrees").finding
    good = {"ste": 0.5, "ste-unclamped": 0.8}
    evidence.agreement.append(Agreement("after fc1", "directions", 16, good, good))
    assert raised(evidence) == []


def test_a_layer_that_is_called_by_a_path_is_named_by_its_end() -> None:
    assert short_depth("input") == "input"
    assert short_depth("after fc1") == "after fc1"
    long = "after model/activation/Relu;model/conv2d/BiasAdd;model/conv2d_2/Conv2D"
    assert short_depth(long) == f"after …{long[-23:]}"


def test_saturated_layers_and_ties_are_flags() -> None:
    evidence = honest()
    evidence.saturation.append(Saturation("conv2", 0.06, 0.1))
    assert raised(evidence) == ["saturated"]
    for ties in (Ties(N, 4, 0, 0), Ties(N, 0, 4, 0)):
        evidence = honest()
        evidence.ties = ties
        assert raised(evidence) == ["saturated"]


def test_one_logit_that_differs_is_a_flag() -> None:
    evidence = honest()
    evidence.stability = Stability(10, 6400, 1)
    assert raised(evidence) == ["unstable"]


def test_the_sign_test_equals_the_binomial_tail() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(0, 7) == 1.0
    assert sign_test(7, 0) == 2.0**-7
    assert sign_test(3, 1) == pytest.approx((4 + 1) / 16)


def test_equal_attacks_are_ranked_by_chance_as_rarely_as_promised() -> None:
    noise, alarms, trials = np.random.default_rng(0), 0, 2000
    for _ in range(trials):
        hits = noise.random((2, 3, N)) < 0.4
        alarms += compare("a", "b", EPSILONS, hits[0], hits[1]).p < ALPHA
    assert alarms / trials <= ALPHA


def test_the_worst_case_is_taken_image_by_image_and_over_smaller_balls() -> None:
    evidence = Evidence(N)
    add(evidence, made("fgsm ce-float32", (10, 5, 0)))
    flipped = ["0" * 60 + "1111", "0" * N, "0" * N]
    add(evidence, dataclasses.replace(made("noise sign", (0, 0, 0)), success=flipped))
    rows = bottom_line(evidence, EPSILONS)
    assert [row["naive"] for row in rows] == [10 / N, 5 / N, 0.0]
    assert [row["worst"] for row in rows] == [14 / N] * 3
    low, high = rows[0]["worst_interval"]
    assert low < 14 / N < high
    assert rows[0]["strongest"] == "fgsm ce-float32"
