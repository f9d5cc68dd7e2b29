"""Random noise, Square and HopSkipJump: the model answers, nothing else is asked of it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.decision import HopSkipJump
from hwsim.attacks.random_noise import RandomNoise
from hwsim.attacks.sheet import Sheet
from hwsim.attacks.square import Square
from hwsim.engine.module import Engine
from hwsim.numbers.config import load_config
from tests.rtl.samples import small_network

EPSILON = 40 / 255


class Judge(nn.Module):
    """Three classes by the brightness of three parts; has no gradient and counts its images."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        with torch.no_grad():
            return torch.stack([part.mean((1, 2, 3)) for part in x.chunk(3, 2)], 1) * 20


@pytest.fixture
def model() -> Judge:
    return Judge()


@pytest.fixture
def inputs() -> Tensor:
    return Grid(255).snap(torch.rand(9, 1, 9, 9, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def labels(model: Judge, inputs: Tensor) -> Tensor:
    return model(inputs).argmax(1)


ATTACKS: dict[str, Attack] = {
    "sign": RandomNoise(draws=20),
    "uniform": RandomNoise(draws=20, kind="uniform"),
    "square": Square(steps=40),
    "decision-l2": HopSkipJump(steps=3, evaluations=20),
    "decision-linf": HopSkipJump(steps=3, evaluations=20, norm="linf"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_images_are_admissible_and_success_is_that_of_the_very_image(
    name: str, model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    attack = ATTACKS[name]
    budget = 2.0 if attack.norm == "l2" else EPSILON
    result = attack(model, inputs, Untargeted(labels), epsilon=budget)
    assert torch.equal(attack.space.snap(result.adversarial), result.adversarial)
    distance = result.l2 if attack.norm == "l2" else result.linf
    assert float(distance.max()) <= budget + 1e-6
    assert torch.equal(result.success, judge(model, result.adversarial).argmax(1) != labels)
    assert not result.zero_gradient.any()
    assert not result.backward.any()


@pytest.mark.parametrize("name", ATTACKS)
def test_forward_counts_every_image_that_the_model_was_given(
    name: str, model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    attack = ATTACKS[name]
    model.images = 0
    result = attack(model, inputs, Untargeted(labels), epsilon=EPSILON)
    asked = model.images
    if name == "square":  # the clean image is asked again by the search, and remembered there
        asked -= len(inputs)
    # HopSkipJump's walk asks about its original once more.
    assert int(result.forward.sum()) == asked


@pytest.mark.parametrize("name", ATTACKS)
def test_a_seed_gives_the_same_images_and_leaves_the_callers_generators_alone(
    name: str, model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    first, again = (
        ATTACKS[name](model, inputs, Untargeted(labels), epsilon=EPSILON) for _ in range(2)
    )
    assert np.random.rand() == expected  # noqa: NPY002
    assert torch.equal(first.adversarial, again.adversarial)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "square"])
def test_results_do_not_depend_on_the_batch(
    name: str, model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    whole, parts = (
        ATTACKS[name](model, inputs, Untargeted(labels), epsilon=EPSILON, batch_size=size)
        for size in (9, 2)
    )
    assert torch.equal(whole.adversarial, parts.adversarial)
    assert torch.equal(whole.forward, parts.forward)


@pytest.mark.parametrize(
    "attack",
    [Square(steps=300), HopSkipJump(steps=4, evaluations=30, norm="linf")],
    ids=["square", "decision"],
)
def test_a_search_finds_what_noise_does_not(attack: Attack, model: Judge) -> None:
    x = torch.full((3, 1, 9, 9), 100 / 255)
    for n in range(3):
        x[n, :, 3 * n : 3 * n + 3] = 112 / 255  # 12 steps ahead; ε has 16
    goal = Untargeted(torch.arange(3))
    assert not RandomNoise(draws=9)(model, x, goal, epsilon=16 / 255).success.any()
    assert bool(attack(model, x, goal, epsilon=16 / 255).success.all())


# ---------------------------------------------------------------- noise


def test_more_draws_never_find_less(model: Judge, inputs: Tensor, labels: Tensor) -> None:
    few, many = (
        RandomNoise(draws=draws)(model, inputs, Untargeted(labels), epsilon=EPSILON).success
        for draws in (3, 30)
    )
    assert bool((many | ~few).all())
    assert int(many.sum()) > int(few.sum())


def test_sign_noise_is_a_corner_and_uniform_noise_is_inside(
    model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    corner, inside = (
        RandomNoise(draws=1, kind=kind)(model, inputs, Untargeted(labels), epsilon=EPSILON)
        for kind in ("sign", "uniform")
    )
    steps = (Grid(255).lsb(corner.raw) - Grid(255).lsb(inputs)).unique().tolist()
    assert steps == [-40, 40]
    moved = Grid(255).lsb(inside.raw) - Grid(255).lsb(inputs)
    assert int(moved.abs().max()) <= 40
    assert len(moved.unique()) > 20


# ---------------------------------------------------------------- targets


def test_square_reaches_a_target(model: Judge, inputs: Tensor, labels: Tensor) -> None:
    targets = (labels + 1) % 3
    result = Square(steps=60)(model, inputs, Targeted(targets, labels), epsilon=0.4)
    assert bool(result.success.all())
    assert torch.equal(judge(model, result.adversarial).argmax(1), targets)


def test_a_targeted_walk_begins_at_the_nearest_image_that_the_attacker_owns(
    model: Judge, inputs: Tensor, labels: Tensor
) -> None:
    targets = (labels + 1) % 3
    owned = torch.zeros(3, 1, 9, 9)
    for n in range(3):
        owned[n, :, 3 * n : 3 * n + 3] = 1.0
    attack = HopSkipJump(steps=3, evaluations=20, starting_images=owned)
    result = attack.minimize(model, inputs, Targeted(targets, labels))
    assert bool(result.success.all())
    start = (owned[targets] - inputs).flatten(1).norm(dim=1)
    assert bool((result.l2 < start / 2).all())


@pytest.mark.slow
def test_where_nothing_is_found_the_original_comes_back(inputs: Tensor) -> None:
    class Stubborn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[2.0, 0.0]]).expand(len(x), 2)

    goal = Untargeted(torch.zeros(9, dtype=torch.int64))
    for attack in ATTACKS.values():
        result = attack.sweep(Stubborn(), inputs, goal, epsilons=[EPSILON])[0]
        assert not result.success.any()
    result = HopSkipJump(tries=2).minimize(Stubborn(), inputs, goal)
    assert torch.equal(result.adversarial, inputs)


# ---------------------------------------------------------------- the engine


@pytest.mark.parametrize("name", ["square", "decision-l2"])
def test_the_engine_is_attacked_through_its_answers_alone(name: str) -> None:
    engine = Engine(small_network(load_config("tiny")))
    x = Grid(255).snap(torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1)))
    own = judge(engine, x).argmax(1)
    result = ATTACKS[name](engine, x, Untargeted(own), epsilon=1.0)
    assert torch.equal(result.success, judge(engine, result.adversarial).argmax(1) != own)
    assert int(result.success.sum()) >= 2


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RandomNoise(draws=0), "draws must be a whole number of at least 1, got 0"),
        (lambda: RandomNoise(kind="pink"), "noise is sign or uniform, not 'pink'"),
        (lambda: RandomNoise(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: Square(steps=0), "steps must be a whole number of at least 1"),
        (lambda: Square(p_init=1.5), "p_init must be a number above 0 and at most 1"),
        (lambda: HopSkipJump(norm="l0"), "HopSkipJump minimizes l2 or linf, not 'l0'"),
        (lambda: HopSkipJump(theta=float("nan")), "theta must be a number above 0"),
        (lambda: HopSkipJump(starting_images=torch.zeros(6)), r"must have shape \(N, C, H, W\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, says) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AttackError, match=says):
        make()


def test_an_input_of_one_value_has_no_square() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 3))
    with pytest.raises(AttackError, match="Square needs inputs of at least two values, got one"):
        Square()(model, torch.rand(2, 1, 1, 1), [0, 0], epsilon=0.1)


@pytest.mark.parametrize("shape", [(1, 12, 1), (3, 1, 17), (7, 1, 1), (2, 1, 1), (1, 1, 2)])
def test_inputs_without_squares_are_searched_as_sheets(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = math.prod(shape)
    model = nn.Sequential(nn.Flatten(), nn.Linear(values, 3))
    sheet, x = Sheet(model, torch.Size(shape)), torch.rand(4, *shape)
    folded = sheet.fold(x)
    assert min(folded.shape[2:]) >= 2
    assert torch.equal(sheet.unfold(folded), x)
    assert torch.equal(sheet(folded), model(x))
    assert float(folded.sum()) == pytest.approx(float(x.sum()))
    labels = model(x).argmax(1)
    found = Square(steps=40)(model, x, labels, epsilon=0.5)
    assert bool(found.success.any())
    assert float(found.linf.max()) <= 0.5


def test_an_image_is_no_sheet() -> None:
    x = torch.rand(2, 3, 4, 5)
    sheet = Sheet(nn.Flatten(), x.shape[1:])
    assert sheet.fold(x) is x
    assert sheet.sides == (4, 5)


def test_a_missing_library_is_one_line(
    model: Judge, inputs: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "art.estimators.classification.blackbox", None)
    for name in ("square", "decision-l2"):
        with pytest.raises(AttackError, match=r"pip install 'hwsim\[blackbox\]'"):
            ATTACKS[name](model, inputs, Untargeted(labels), epsilon=EPSILON)
