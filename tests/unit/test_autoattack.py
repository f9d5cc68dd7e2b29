"""The bundle of four: no weaker than its members, in the ball, honest about what is doubtful."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine
from hwsim.attacks.apgd import APGD, APGDT
from hwsim.attacks.autoattack import AutoAttack
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.result import distances
from hwsim.attacks.fab import FAB
from hwsim.attacks.squares import random_squares, side
from tests.images import small_program

N, QUICK = 20, {"steps": 10, "targets": 3, "queries": 40}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)
        ).eval()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return Grid(255).snap(torch.rand(N, 2, 6, 6, generator=torch.Generator().manual_seed(5)))


@pytest.fixture(scope="module")
def labels(model: nn.Module, inputs: Tensor) -> Tensor:
    return judge(model, inputs).argmax(1)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 14 / 255), ("l2", 0.35)])
def test_whoever_a_member_fools_the_bundle_fools(
    norm: str, epsilon: float, model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    bundle = AutoAttack(norm=norm, **QUICK)  # type: ignore[arg-type]
    found = bundle(model, inputs, labels, epsilon=epsilon)
    assert torch.equal(Grid(255).snap(found.adversarial), found.adversarial)
    assert (distances(found.adversarial, inputs, bundle.norm) <= epsilon + 1e-6).all()
    assert torch.equal(found.success, judge(model, found.adversarial).argmax(1) != labels)
    assert 0 < int(found.success.sum()) < N
    members = [
        APGD(steps=10, norm=bundle.norm),
        APGDT(steps=10, norm=bundle.norm, targets=3),
        FAB(steps=10, norm=bundle.norm, targets=3),
    ]
    for member in members:
        alone = member(model, inputs, labels, epsilon=epsilon)
        assert not (alone.success & ~found.success).any(), type(member).__name__


def test_an_example_does_not_depend_on_its_batch(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    whole = AutoAttack(**QUICK)(model, inputs, labels, epsilon=14 / 255)
    some = torch.tensor([6, 12, 5])
    part = AutoAttack(**QUICK)(model, inputs[some], labels[some], epsilon=14 / 255, batch_size=2)
    for field in ("success", "forward", "backward", "zero_gradient"):
        assert torch.equal(getattr(part, field), getattr(whole, field)[some]), field


def test_a_target_is_reached_and_no_other_class_counts(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    targets = (labels + 1) % 5
    found = AutoAttack(**QUICK)(model, inputs, Targeted(targets, labels), epsilon=60 / 255)
    assert int(found.success.sum()) > N // 2
    assert torch.equal(found.success, judge(model, found.adversarial).argmax(1) == targets)


def test_the_engine_is_attacked_on_its_own_grid() -> None:
    engine = Engine(small_program())
    x = engine.space.snap(torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(4)))
    said = engine(x).argmax(1)
    bundle = AutoAttack(space=engine.space, **QUICK)
    found = bundle(engine, x, said, epsilon=0.5)
    assert torch.equal(found.success, engine(found.adversarial).argmax(1) != said)
    assert found.success.any()


# ---------------------------------------------------------------- flags


def flags(model: nn.Module, inputs: Tensor, labels: Tensor, epsilon: float = 4 / 255) -> list[str]:
    """What the bundle says of a model, each also a warning."""
    bundle = AutoAttack(**QUICK)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        bundle(model, inputs, labels, epsilon=epsilon)
    said = [str(warning.message) for warning in heard]
    assert all(flag in said for flag in bundle.flags)
    assert all("\n" not in flag for flag in bundle.flags)
    return bundle.flags


def wrapped(model: nn.Module, answer: Callable[[Tensor], Tensor]) -> nn.Module:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return answer(model(x))

    return Odd().eval()


def test_an_ordinary_network_raises_no_flag(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    assert flags(model, inputs, labels, epsilon=60 / 255) == []


def test_a_model_that_draws_is_flagged(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    draw = torch.Generator().manual_seed(3)
    odd = wrapped(model, lambda z: z + 0.1 * torch.randn(z.shape, generator=draw))
    assert any("answers one image in two ways" in flag for flag in flags(odd, inputs, labels))


def test_probabilities_are_flagged(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    odd = wrapped(model, lambda z: z.softmax(1))
    assert any("look like probabilities" in flag for flag in flags(odd, inputs, labels))


def test_gradients_of_zero_are_counted(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    odd = wrapped(model, lambda z: z * 1e4)
    found = flags(odd, inputs, labels, epsilon=1 / 255)
    assert any("have a gradient of exactly zero" in flag for flag in found)


def test_few_classes_are_flagged(inputs: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        small = nn.Sequential(nn.Flatten(), nn.Linear(72, 2)).eval()
    found = flags(small, inputs, judge(small, inputs).argmax(1))
    assert any(flag.startswith("2 classes: ") for flag in found)


def test_a_random_search_that_finds_more_than_gradients_is_flagged(inputs: Tensor) -> None:
    class Masked(nn.Module):
        """Bright images are class 1, and the gradient points the other way."""

        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1, keepdim=True)
            slope = mean.detach() * 2 - mean
            return torch.cat([-20 * (slope - 0.55), 20 * (slope - 0.55)], 1)

    x = Grid(255).snap(0.5 * inputs / inputs.flatten(1).mean(1).reshape(-1, 1, 1, 1)).clamp(0, 1)
    found = flags(Masked().eval(), x, judge(Masked(), x).argmax(1), epsilon=60 / 255)
    assert any(flag.startswith("the random search fooled ") for flag in found)


# ---------------------------------------------------------------- squares, refusals


def test_squares_shrink_as_the_paper_says() -> None:
    assert side(0, 10_000, 28, 28) == round((0.8 * 784) ** 0.5)
    assert side(60, 10_000, 28, 28) == round((0.2 * 784) ** 0.5)
    assert side(9_000, 10_000, 28, 28) == 1
    assert side(9, 1_000, 28, 28) == side(90, 10_000, 28, 28)


def test_squares_fool_without_a_gradient_and_stay_in_the_ball(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    class NoGradient(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = model(x).detach()
            return answer

    epsilon = 40 / 255
    images, forward = random_squares(
        NoGradient(), Grid(255), inputs, Untargeted(labels), epsilon, queries=60
    )
    fooled = judge(model, images).argmax(1) != labels
    assert int(fooled.sum()) >= N // 2
    assert (forward[~fooled] == 60).all()
    assert float((images - inputs).abs().max()) <= epsilon + 1e-6
    assert torch.equal(Grid(255).snap(images), images)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AutoAttack(norm="l1"), "AutoAttack spends linf or l2, not 'l1'"),
        (lambda: AutoAttack(queries=0), "queries must be a whole number of at least 1, got 0"),
        (lambda: AutoAttack(seed=-2), "seed must be a whole number of at least 0, got -2"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(AttackError) as caught:
        make()
    assert said in str(caught.value)
