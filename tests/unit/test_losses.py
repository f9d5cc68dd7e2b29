"""Losses against the formulas written out in plain loops, and where they do not vanish."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.dlr import DLR, TargetedDLR
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.losses import CrossEntropy, Loss, Margin, ProbabilityLoss, goal_loss
from hwsim.attacks.core.rescaled import Rescaled
from hwsim.attacks.fgsm import FGSM

CLASSES = 6


def some_logits(count: int = 40, scale: float = 5.0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(count, CLASSES, generator=draw) * scale
    return logits, torch.arange(count) % CLASSES


def seed_of(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    z = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(z, labels).sum(), z)
    return found


def plain_margin(row: list[float], label: int) -> float:
    return max(z for k, z in enumerate(row) if k != label) - row[label]


def test_the_margin_is_the_best_other_logit_less_the_labels() -> None:
    logits, labels = some_logits()
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    expected = torch.tensor([plain_margin(row, label) for row, label in rows])
    torch.testing.assert_close(Margin()(logits, labels), expected)


def test_the_margins_gradient_is_plus_one_minus_one_at_any_margin() -> None:
    logits = torch.tensor([[1e6, 3.0, 2.0], [3.0, 5.0, 5.0]])
    found = seed_of(Margin(), logits, torch.tensor([0, 0]))
    assert found.tolist() == [[-1, 1, 0], [-1, 1, 0]]  # the first of two equal classes


def test_dlr_is_its_formula() -> None:
    logits, labels = some_logits()
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        best = sorted(row, reverse=True)
        expected.append(plain_margin(row, label) / (best[0] - best[2]))
    torch.testing.assert_close(DLR()(logits, labels), torch.tensor(expected))


def test_targeted_dlr_is_its_formula() -> None:
    logits, sources = some_logits()
    targets = (sources + 2) % CLASSES
    expected = []
    for row, s, t in zip(logits.tolist(), sources.tolist(), targets.tolist(), strict=True):
        best = sorted(row, reverse=True)
        expected.append((row[s] - row[t]) / (best[0] - (best[2] + best[3]) / 2))
    found = goal_loss(TargetedDLR(), logits, Targeted(targets, sources))
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("factor", [2.0**-30, 2.0**20])
def test_scaling_the_logits_does_not_change_dlr(factor: float) -> None:
    logits, sources = some_logits()
    targets = (sources + 1) % CLASSES
    assert torch.equal(DLR()(logits * factor, sources), DLR()(logits, sources))
    goal, loss = Targeted(targets, sources), TargetedDLR()
    assert torch.equal(goal_loss(loss, logits * factor, goal), goal_loss(loss, logits, goal))


def test_a_tie_of_the_denominator_falls_back_to_the_margin_and_is_counted() -> None:
    logits = torch.tensor([[4.0, 4.0, 4.0, 1.0], [4.0, 4.0, 4.0, 1.0], [9.0, 4.0, 3.0, 1.0]])
    labels = torch.tensor([1, 3, 0])
    loss = DLR()
    value = loss(logits, labels)
    assert (loss.tied, loss.seen) == (2, 3)
    assert value.tolist() == pytest.approx([0.0, 3.0, -5 / 6])
    gradient = seed_of(loss, logits, labels)
    assert torch.isfinite(gradient).all()
    assert gradient[1].tolist() == [1, 0, 0, -1]


def test_a_tie_in_targeted_dlr_is_counted_too() -> None:
    logits, loss = torch.tensor([[4.0, 4.0, 4.0, 4.0, 1.0]]), TargetedDLR()
    value = goal_loss(loss, logits, Targeted(torch.tensor([4]), torch.tensor([0])))
    assert (loss.tied, loss.seen, value.tolist()) == (1, 1, [3.0])


def test_targeted_dlr_refuses_an_untargeted_goal() -> None:
    logits, labels = some_logits()
    with pytest.raises(AttackError, match="needs a targeted goal"):
        goal_loss(TargetedDLR(), logits, Untargeted(labels))
    with pytest.raises(AttackError, match="needs a targeted goal"):
        goal_loss(Rescaled(TargetedDLR()), logits, Untargeted(labels))


def test_dlr_with_too_few_classes_names_the_margin_instead() -> None:
    zeros = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(AttackError, match=r"at least 3 classes, the model has 2: use Margin"):
        DLR()(torch.zeros(1, 2), zeros)
    with pytest.raises(AttackError, match="at least 4 classes"):
        TargetedDLR().between(torch.zeros(1, 3), zeros, zeros + 1)


def test_a_fixed_temperature_divides_the_logits() -> None:
    logits, labels = some_logits()
    found = Rescaled(CrossEntropy(), temperature=7.0)(logits, labels)
    torch.testing.assert_close(found, CrossEntropy()(logits / 7, labels))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e5, 1e30])
def test_an_automatic_temperature_bounds_the_winner_at_any_scale(scale: float) -> None:
    logits, _ = some_logits(scale=scale)
    p = torch.softmax(logits * Rescaled(Margin(), rho=0.02).scale(logits), 1)
    assert float(p.max()) <= 0.98 + 1e-6
    assert float(p.min()) > 1e-4
    wanted = math.log((CLASSES - 1) * 0.98 / 0.02)
    reach = (logits * Rescaled(Margin(), rho=0.02).scale(logits)).aminmax(dim=1)
    torch.testing.assert_close(reach.max - reach.min, torch.full((40,), wanted))


def test_equal_logits_are_left_alone() -> None:
    assert Rescaled(Margin()).scale(torch.full((2, 4), 3.0)).tolist() == [[1.0], [1.0]]


def test_the_temperature_has_no_gradient_of_its_own() -> None:
    logits, labels = some_logits()
    scale = Rescaled(CrossEntropy()).scale(logits)
    expected = scale * (torch.softmax(scale * logits, 1) - nn.functional.one_hot(labels, CLASSES))
    torch.testing.assert_close(seed_of(Rescaled(CrossEntropy()), logits, labels), expected)


@pytest.mark.parametrize(
    "loss", [Margin(), DLR(), Rescaled(CrossEntropy()), Rescaled(CrossEntropy(), temperature=50.0)]
)
def test_these_losses_have_a_gradient_where_cross_entropy_has_none(loss: Loss) -> None:
    logits, labels = torch.tensor([[500.0, 90.0, 10.0, 0.0]]), torch.tensor([0])
    assert not seed_of(CrossEntropy(), logits, labels).any()
    assert seed_of(loss, logits, labels)[0, 0] < 0


def test_rescaling_wraps_the_models_own_probabilities() -> None:
    def coarse(z: Tensor) -> Tensor:
        return torch.floor(torch.softmax(z.double(), 1) * 65536) / 65536

    logits, labels = torch.tensor([[500.0, 90.0, 10.0, 0.0]]), torch.tensor([0])
    assert not seed_of(ProbabilityLoss(coarse), logits, labels).any()
    assert seed_of(Rescaled(ProbabilityLoss(coarse)), logits, labels).any()


def test_rescaling_keeps_the_source_that_the_wrapped_loss_asks_for() -> None:
    logits, sources = some_logits()
    goal = Targeted((sources + 1) % CLASSES, sources)
    for loss in (TargetedDLR(), Margin()):
        found = goal_loss(Rescaled(loss, temperature=4.0), logits, goal)
        torch.testing.assert_close(found, goal_loss(loss, logits / 4, goal))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rescaled(Margin(), temperature=0.0), "temperature must be a number above 0"),
        (lambda: Rescaled(Margin(), temperature=math.nan), "temperature"),
        (lambda: Rescaled(Margin(), temperature=math.inf), "infinite"),
        (lambda: Rescaled(Margin(), rho=0.6), "rho must be a number above 0 and at most 0.5"),
        (lambda: Rescaled(Margin(), rho=0.5).scale(torch.zeros(1, 2)), "rho must be below 0.5"),
    ],
)
def test_temperatures_that_make_no_sense_are_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(AttackError, match=message):
        make()


class Inhibited(nn.Module):
    """A linear classifier whose last layer was enlarged 10^4 times."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1)) * 1e4
        return logits


def test_an_enlarged_network_resists_cross_entropy_and_not_the_other_losses() -> None:
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    model = Inhibited()
    goal = Untargeted(model(x).argmax(1))
    naive = FGSM()(model, x, goal, epsilon=0.3)
    assert int(naive.success.sum()) <= 16
    for loss in (Margin(), DLR(), Rescaled(CrossEntropy())):
        adaptive = FGSM(loss=loss)(model, x, goal, epsilon=0.3)
        assert int(adaptive.success.sum()) >= 48
        assert not adaptive.zero_gradient.any()
