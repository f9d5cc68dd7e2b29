"""Membership attacks on leaks that are known, and what they see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.membership import thresholds
from hwsim.attacks.membership.attack import attack
from hwsim.attacks.membership.known import MEMBERSHIP
from hwsim.attacks.membership.learned import LearnedAttack
from hwsim.attacks.membership.networks import BlackBox, WhiteBox, _OuterConvolution
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import VIEWS, observe, seen_of, watched
from tests.leaks import CLASSES, COUNT, Leak


@pytest.fixture(scope="module")
def memorized() -> Leak:
    return Leak(memorizes=True)


@pytest.fixture(scope="module")
def blank() -> Leak:
    return Leak(memorizes=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERSHIP)
def test_an_attack_finds_a_network_of_random_labels_out(memorized: Leak, name: str) -> None:
    judged = attack(name, memorized.target("white")).judged
    assert judged.auc.value > 0.95


@pytest.mark.slow
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
