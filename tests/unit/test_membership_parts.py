"""Shadow models, likelihood ratios and judgement against plain loops; refusals in one line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.roc import auc
from hwsim.attacks.membership import thresholds
from hwsim.attacks.membership.attack import attack
from hwsim.attacks.membership.judged import best_threshold, judge
from hwsim.attacks.membership.known import MEMBERSHIP, listed
from hwsim.attacks.membership.learned import Fitted, LearnedAttack
from hwsim.attacks.membership.lira import lira
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.rmia import rmia
from hwsim.attacks.membership.seen import observe
from hwsim.attacks.membership.shadows import (
    ShadowRecipe,
    memberships,
    reduced,
    small_network,
    train_batched,
    train_each,
)
from hwsim.attacks.membership.splits import even_order, halves
from tests.leaks import CLASSES, COUNT, FEATURES, Leak


@pytest.fixture(scope="module")
def memorized() -> Leak:
    return Leak(memorizes=True)


# ---------------------------------------------------------------- shadow models


@pytest.mark.slow
def test_side_by_side_is_one_after_the_other(memorized: Leak) -> None:
    recipe = ShadowRecipe(epochs=2)
    both = [
        train(lambda: small_network(FEATURES, CLASSES), memorized.x[: 2 * COUNT],
              memorized.y[: 2 * COUNT], memorized.inside[:4], recipe)
        for train in (train_batched, train_each)
    ]  # fmt: skip
    for one, other in zip(*both, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_convolutions_are_trained_side_by_side_too() -> None:
    x, y = torch.rand(12, 1, 6, 6), torch.arange(12) % 3
    inside = memberships(12, 4, 0)

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        )

    recipe = ShadowRecipe(epochs=2, batch=3)
    for one, other in zip(
        train_batched(make, x, y, inside, recipe), train_each(make, x, y, inside, recipe),
        strict=True,
    ):  # fmt: skip
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_every_sample_is_in_half_of_the_shadow_models() -> None:
    inside = memberships(30, 6, 0)
    assert (inside.sum(0) == 3).all()
    assert (inside.sum(1) == 15).all()
    with pytest.raises(AttackError, match="pairs"):
        memberships(30, 3, 0)


def test_images_are_averaged_until_a_small_network_can_read_them() -> None:
    assert reduced(torch.rand(2, 3, 32, 32)).shape == (2, 192)
    assert reduced(torch.rand(2, 1, 28, 28)).shape == (2, 196)
    assert reduced(torch.rand(2, 700)).shape == (2, 700)
    square = torch.arange(1024.0).reshape(1, 1, 32, 32)
    assert reduced(square)[0, 0] == square[0, 0, :2, :2].mean()


# ---------------------------------------------------------------- likelihood ratios


def test_lira_is_the_ratio_of_two_normal_distributions() -> None:
    random = np.random.default_rng(0)
    inside = memberships(6, 8, 0)
    shadows, target = random.normal(size=(8, 6)), random.normal(size=6)
    found = lira(target, shadows, inside, own_variances=True)
    offline = lira(target, shadows, inside, online=False, own_variances=True)
    for n in range(6):
        sides = [shadows[chosen[:, n], n] for chosen in (inside, ~inside)]
        density = [
            math.exp(-((target[n] - s.mean()) ** 2) / (2 * s.var())) / s.std() for s in sides
        ]
        assert found[n] == pytest.approx(math.log(density[0] / density[1]))
        assert offline[n] == pytest.approx((target[n] - sides[1].mean()) / sides[1].std())


def test_rmia_is_the_share_of_samples_that_are_favoured_less() -> None:
    random = np.random.default_rng(1)
    inside = memberships(8, 4, 0)
    shadows, target = -random.exponential(size=(4, 8)), -random.exponential(size=8)
    population = np.array([1, 4, 6])
    found = rmia(target, shadows, inside, population, gamma=1.5)
    p = np.exp(shadows)
    for n in range(8):
        count = 0
        for z in population:
            ratio = [
                math.exp(target[k]) / ((p[inside[:, k], k].mean() + p[~inside[:, k], k].mean()) / 2)
                for k in (n, z)
            ]
            count += ratio[0] / ratio[1] >= 1.5
        assert found[n] == pytest.approx(count / 3)


# ---------------------------------------------------------------- what is judged


def test_the_threshold_parts_best_and_lies_on_no_score() -> None:
    members, others = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.5, 2.5])
    assert best_threshold(members, others) == 0.75
    assert judge(members, others, 0.75).balanced.successes == 5


def test_few_others_cannot_measure_a_rare_false_alarm() -> None:
    scores = np.arange(100.0)
    judged = judge(scores + 50, scores, 80.0)
    # One of the others may be above, so the score is 98: of the members 99 … 149 are.
    assert (judged.tpr1.successes, judged.tpr1.total) == (51, 100)
    assert judged.tpr01 is None
    assert judge(scores[:99], scores[:99], 0.0).tpr1 is None
    assert judged.facts()["tpr01"] is None


def test_what_is_known_and_what_judges_have_nothing_in_common() -> None:
    labels = torch.arange(101) % 7
    split = halves(labels, 0)
    assert sorted(torch.cat([split.known, split.judged]).tolist()) == list(range(101))
    assert len(split.known) == 50
    assert halves(labels, 0).known.tolist() == split.known.tolist()
    assert halves(labels, 1).known.tolist() != split.known.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_no_half_has_more_of_a_class_than_its_share(seed: int) -> None:
    """Else an attacker learns from the label what is turned around where he is judged."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (203,), generator=generator).clamp(max=4 - seed % 3)
    order = even_order(labels, generator)
    assert sorted(order.tolist()) == list(range(203))
    for piece in (order[:50], order[50:101], order[101:], order[150:]):
        for label in labels.unique():
            share = float((labels == label).double().mean()) * len(piece)
            assert abs(int((labels[piece] == label).sum()) - share) <= 2
    assert order.tolist() != even_order(labels, generator).tolist()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda leak: attack("mia-nobody", leak.target("class")), "choose from"),
        (lambda leak: attack("mia-loss", leak.target("class")), "only the class"),
        (lambda leak: attack("mia-wmia", leak.target("logits")), "white"),
        (lambda leak: attack("mia-lira", replace(leak.target("logits"), shadows=None)), "shadow"),
        (lambda leak: attack("mia-label", replace(leak.target("class"), asked=None)), "nobody"),
        (lambda leak: LearnedAttack("else"), "choose from"),
        (lambda leak: observe(leak.network, leak.x, leak.y, "all"), "unknown view"),
        (lambda leak: observe(leak.network, leak.x, leak.y + CLASSES), "labels must be"),
        (lambda leak: observe(nn.Flatten(), leak.x, leak.y, "white"), "no linear layer"),
        (lambda leak: judge(np.zeros(2), np.zeros(3), 0.0), "equally many"),
        (lambda leak: judge(np.array([math.nan]), np.zeros(1), 0.0), "NaN"),
        (lambda leak: halves(torch.zeros(4), 0), "too few"),
        (lambda leak: leak.sides("class")[0].behind(leak.sides("logits")[1]), "alike"),
        (lambda leak: train_batched(lambda: nn.Sequential(nn.BatchNorm1d(FEATURES)), leak.x,
                                    leak.y, np.ones((2, len(leak.x)), np.bool_)), "BatchNorm"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(memorized: Leak, what, words: str) -> None:
    with pytest.raises(AttackError, match=words) as refused:
        what(memorized)
    assert "\n" not in str(refused.value)


def test_attacks_are_listed_by_name() -> None:
    assert [entry.name for entry in listed("mia-gap, mia-loss,mia-gap")] == ["mia-gap", "mia-loss"]
    assert len(listed()) == len(MEMBERSHIP)
    with pytest.raises(ValueError, match="unknown attack"):
        listed("mia-nobody")


def test_no_part_of_a_16_bit_probability_is_less_than_half_of_its_last_bit() -> None:
    """A certain wrong answer ranks last, and is worth what the unit can tell."""
    outputs = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    seen = Records(torch.tensor([0, 0]), outputs.argmax(1), 3, outputs, outputs_are="probabilities")
    wrong, right = thresholds.modified_entropy(seen)
    least = math.log(2.0**-17)
    assert wrong == pytest.approx(2 * least, rel=1e-4)
    assert -1e-3 < right < 0


class _Column(nn.Module):
    """An attacker whose log-odds stand in a column of the outputs, louder or quieter."""

    def __init__(self, column: int, loudness: float) -> None:
        super().__init__()
        self.column, self.loudness = column, loudness

    def forward(self, records: Records) -> torch.Tensor:
        assert records.outputs is not None
        return self.loudness * records.outputs[:, self.column]


@pytest.mark.parametrize("loudness", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("useless", ["noise", "turned around"])
def test_whoever_has_learnt_nothing_does_not_drown_the_other(loudness: float, useless: str) -> None:
    """A column that tells much, with a heavy tail, and one that tells nothing or the contrary."""
    generator = torch.Generator().manual_seed(6)
    sides = []
    for shift in (1.5, 0.0):
        useful = torch.randn(400, generator=generator) + shift
        useful[:8] *= 40.0
        other = torch.randn(400, generator=generator) - shift * (useless != "noise")
        labels = torch.zeros(400, dtype=torch.int64)
        sides.append(Records(labels, labels, 2, torch.stack([other, useful], 1)))
    attack = LearnedAttack("mmia")
    columns = {"bmia": _Column(0, loudness), "wmia": _Column(1, 1.0)}
    alone = {
        kind: Fitted({kind: network}, {kind: 1.0}, {kind: 1}, 0.0, 0.5)
        for kind, network in columns.items()
    }
    joined = attack.join(alone, *sides)
    found, useful = (
        auc(*(one.score(side) for side in sides)).value for one in (joined, alone["wmia"])
    )
    assert found > useful - 0.01 > 0.8
    assert joined.weights["bmia"] >= 0.0
