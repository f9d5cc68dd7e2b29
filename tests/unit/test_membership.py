"""Membership attacks on leaks that are known: a network of random labels, and one of nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.membership import thresholds
from hwsim.attacks.membership.attack import Shadowed, Target, attack, label_scores
from hwsim.attacks.membership.judged import best_threshold, judge
from hwsim.attacks.membership.known import MEMBERSHIP, listed
from hwsim.attacks.membership.label_only import LabelOnly
from hwsim.attacks.membership.learned import LearnedAttack
from hwsim.attacks.membership.lira import lira
from hwsim.attacks.membership.networks import BlackBox, WhiteBox, _OuterConvolution
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.rmia import rmia
from hwsim.attacks.membership.seen import VIEWS, observe, seen_of, watched
from hwsim.attacks.membership.shadows import (
    ShadowRecipe,
    memberships,
    reduced,
    small_network,
    train_batched,
    train_each,
)
from hwsim.attacks.membership.splits import halves

COUNT, FEATURES, CLASSES = 240, 128, 20
MODELS, EPOCHS = 8, 15
SIDES = slice(COUNT), slice(COUNT, 2 * COUNT)
RECIPE = ShadowRecipe(epochs=60, rate=0.05)


class Leak:
    """Random samples with random labels: a network, and shadow models by the same recipe.

    It has learnt the first third of them by heart, or the last, of which nobody is asked.
    """

    def __init__(self, memorizes: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(3 * COUNT, FEATURES, generator=generator)
        self.y = torch.randint(0, CLASSES, (3 * COUNT,), generator=generator)
        self.inside = memberships(2 * COUNT, MODELS, 3)
        learnt = np.zeros((MODELS + 1, 3 * COUNT), np.bool_)
        learnt[1:, : 2 * COUNT] = self.inside
        learnt[0, :COUNT] = memorizes
        learnt[0, 2 * COUNT :] = not memorizes

        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(FEATURES, 96), nn.ReLU(), nn.Linear(96, CLASSES))

        self.network, *self.shadows = train_batched(make, self.x, self.y, learnt, RECIPE)

    def sides(self, view: str) -> tuple[Records, Records]:
        return tuple(observe(self.network, self.x[part], self.y[part], view) for part in SIDES)

    def target(self, view: str) -> Target:
        asked = self.x[: 2 * COUNT], self.y[: 2 * COUNT]
        seen = [observe(one, *asked, "logits") for one in self.shadows]
        sides = [(self.x[part], self.y[part]) for part in SIDES]

        def ask(x: Tensor) -> Tensor:
            return self.network(x).detach().argmax(1)

        how = LabelOnly(noises=(0.02, 0.05, 0.1), draws=4)
        return Target(
            *self.sides(view),
            label_scores(ask, *sides, how=how),
            Shadowed.of(seen, self.inside, alike=True),
            epochs=EPOCHS,
        )


@pytest.fixture(scope="module")
def memorized() -> Leak:
    return Leak(memorizes=True)


@pytest.fixture(scope="module")
def blank() -> Leak:
    return Leak(memorizes=False)


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_an_attack_finds_a_network_of_random_labels_out(memorized: Leak, name: str) -> None:
    judged = attack(name, memorized.target("white")).judged
    assert judged.auc.value > 0.95


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_an_attack_finds_nothing_where_nothing_was_learnt(blank: Leak, name: str) -> None:
    judged = attack(name, blank.target("white")).judged
    low, high = judged.auc.interval
    assert low <= 0.5 <= high
    low, high = judged.balanced.interval
    assert low <= 0.5 <= high


# ---------------------------------------------------------------- what is seen


def test_the_gradient_is_that_of_autograd(memorized: Leak) -> None:
    seen = memorized.sides("white")[0].at(torch.arange(3))
    layer = memorized.network[-1]
    for number in range(3):
        wrong = F.cross_entropy(
            memorized.network(memorized.x[number : number + 1]), memorized.y[number : number + 1]
        )
        expected = torch.autograd.grad(wrong, layer.weight)[0]
        torch.testing.assert_close(seen.gradients[number], expected, rtol=1e-4, atol=1e-6)
        assert float(seen.losses[number]) == pytest.approx(wrong.item(), rel=1e-4, abs=1e-6)


def test_a_view_shows_no_more_than_it_says(memorized: Leak) -> None:
    shown = {view: set(memorized.sides(view)[0]._tensors()) for view in VIEWS}
    assert shown["class"] == {"labels", "answers"}
    assert shown["logits"] == shown["probabilities"] == {"labels", "answers", "outputs"}
    assert shown["white"] >= {"losses", "features", "residuals"}
    probabilities = memorized.sides("probabilities")[0].outputs
    torch.testing.assert_close(probabilities.sum(1), torch.ones(COUNT))


def test_a_network_in_training_is_asked_in_eval_mode_and_left_as_it_was() -> None:
    network = nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 2)).train()
    x, y = torch.randn(8, 3), torch.zeros(8, dtype=torch.int64)
    first, second = (observe(network, x, y) for _ in range(2))
    assert torch.equal(first.outputs, second.outputs)
    assert network.training


def test_log_odds_do_not_saturate() -> None:
    """Where 1 − p is below the last bit of p, float64 and exact arithmetic still agree."""
    logits = torch.tensor([[50.0, 0.0], [60.0, 0.0], [-60.0, 0.0]])
    seen = seen_of(logits, torch.zeros(3, dtype=torch.int64), "logits")
    assert seen.log_odds().tolist() == [50.0, 60.0, -60.0]
    assert np.diff(thresholds.loss(seen)[:2]).item() > 0
    quantized = Records(
        seen.labels, seen.answers, 2, torch.tensor([[1.0, 0.0]] * 3), "probabilities"
    )
    assert quantized.log_odds().tolist() == pytest.approx([17 * math.log(2)] * 3)


def test_scores_are_those_of_their_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 5, generator=generator, dtype=torch.float64).float()
    labels = torch.randint(0, 5, (20,), generator=generator)
    seen = seen_of(logits, labels, "logits")
    p = logits.double().softmax(1)
    own = p[torch.arange(20), labels]
    np.testing.assert_allclose(thresholds.loss(seen), own.log(), rtol=1e-9)
    top = p.amax(1)
    np.testing.assert_allclose(thresholds.confidence(seen), (top / (1 - top)).log(), rtol=1e-9)
    np.testing.assert_allclose(thresholds.entropy(seen), (p * p.log()).sum(1), rtol=1e-9)
    for number in range(20):
        k = int(labels[number])
        others = sum(float(p[number, i] * (1 - p[number, i]).log()) for i in range(5) if i != k)
        expected = float((1 - own[number]) * own[number].log()) + others
        assert thresholds.modified_entropy(seen)[number] == pytest.approx(expected, rel=1e-9)
    assert thresholds.gap(seen).tolist() == (logits.argmax(1) == labels).double().tolist()


# ---------------------------------------------------------------- networks that learn


def test_the_convolution_of_a_product_is_that_of_torch() -> None:
    layer, rows, columns = _OuterConvolution(), torch.randn(3, 7), torch.randn(3, 11)
    products = rows[:, None, :, None] * columns[:, None, None, :]
    expected = F.conv2d(products, layer.weight, layer.bias, padding=2)
    torch.testing.assert_close(layer(rows, columns), expected, rtol=1e-5, atol=1e-5)


def test_widths_are_the_published_ones(memorized: Leak) -> None:
    seen = memorized.sides("white")[0]
    wide = {
        network: [
            (layer.in_features, layer.out_features)
            for layer in network(seen).modules() if isinstance(layer, nn.Linear)
        ]
        for network in (BlackBox, WhiteBox)
    }  # fmt: skip
    assert wide[BlackBox] == [
        (CLASSES, 1024), (1024, 512), (512, 64), (CLASSES, 512), (512, 64),
        (128, 256), (256, 64), (64, 1),
    ]  # fmt: skip
    cells = CLASSES // 2 * (96 // 2)
    assert wide[WhiteBox] == [
        (CLASSES, 128), (128, 64), (1, 128), (128, 64), (CLASSES, 128), (128, 64),
        (cells, 256), (256, 128), (128, 64), (256, 256), (256, 128), (128, 64), (64, 1),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_attacker_whatever_torch_drew_before(memorized: Leak) -> None:
    mine, theirs = memorized.target("white").parts(judged=False)
    first = LearnedAttack("wmia", 2).fit(mine, theirs)
    torch.rand(5)
    second = LearnedAttack("wmia", 2).fit(mine, theirs)
    assert (first.score(mine) == second.score(mine)).all()
    assert first.threshold == second.threshold


def test_a_warm_start_begins_where_the_other_ended(memorized: Leak) -> None:
    mine, theirs = memorized.target("white").parts(judged=False)
    first = LearnedAttack("mmia", 3).fit(mine, theirs)
    second = LearnedAttack("mmia", 1, rate=1e-12).fit(mine, theirs, first.state)
    np.testing.assert_allclose(first.score(mine), second.score(mine), rtol=1e-3, atol=1e-4)
    assert second.held_out >= first.held_out - 1e-3
    with pytest.raises(AttackError, match="warm start"):
        LearnedAttack("bmia", 1).fit(mine, theirs, {"bmia": {}})


def test_an_attacker_can_be_differentiated_through_what_it_saw(memorized: Leak) -> None:
    mine, theirs = memorized.target("white").parts(judged=False)
    fitted = LearnedAttack("mmia", 1).fit(mine, theirs)
    network = memorized.network
    logits, features = watched(network, memorized.x[:10])
    seen = seen_of(logits, memorized.y[:10], "white", features)
    loss = sum(one(seen).sum() for one in fitted.networks.values())
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert all(float(g.abs().sum()) > 0 for g in gradients)


# ---------------------------------------------------------------- shadow models


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
    split = halves(101, 0)
    assert sorted(torch.cat([split.known, split.judged]).tolist()) == list(range(101))
    assert len(split.known) == 50
    assert halves(101, 0).known.tolist() == split.known.tolist()
    assert halves(101, 1).known.tolist() != split.known.tolist()


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
        (lambda leak: halves(4, 0), "too few"),
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
