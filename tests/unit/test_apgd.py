"""Auto-PGD: the ball, the grid, the schedule of Croce and Hein, and who leaves early."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine
from hwsim.attacks.apgd import APGD, APGDT
from hwsim.attacks.core.balls import placed, project
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.core.dlr import DLR
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid, Space
from hwsim.attacks.core.result import distances
from hwsim.attacks.pgd import PGD
from tests.images import small_program

CLASSES, N = 5, 24
KINDS: dict[str, Callable[..., APGD]] = {
    "ce": APGD, "dlr": lambda **options: APGD(loss=DLR(), **options), "targeted": APGDT,
}  # fmt: skip
EPSILON: dict[str, float] = {"linf": 20 / 255, "l2": 0.45}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(288, CLASSES)
        ).eval()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return Grid(255).snap(torch.rand(N, 2, 6, 6, generator=torch.Generator().manual_seed(5)))


@pytest.fixture(scope="module")
def labels(model: nn.Module, inputs: Tensor) -> Tensor:
    return judge(model, inputs).argmax(1)


@pytest.mark.parametrize("space", [Continuous(), Grid(255), Grid(15)], ids=str)
@pytest.mark.parametrize("norm", EPSILON)
@pytest.mark.parametrize("kind", KINDS)
def test_images_lie_in_the_ball_and_on_the_grid(
    kind: str, norm: Norm, space: Space, model: nn.Module, inputs: Tensor
) -> None:
    x = space.snap(inputs)
    labels = judge(model, x).argmax(1)
    epsilon = EPSILON[norm]
    found = KINDS[kind](norm=norm, steps=12, space=space)(model, x, labels, epsilon=epsilon)
    assert torch.equal(space.snap(found.adversarial), found.adversarial)
    most = found.effective_epsilon + (1e-6 if isinstance(space, Continuous) else 1e-7)
    assert (distances(found.adversarial, x, norm) <= most).all()
    assert torch.equal(found.success, judge(model, found.adversarial).argmax(1) != labels)
    assert 0 < int(found.success.sum()) < N


@pytest.mark.slow
def test_a_linear_model_is_fooled_only_and_mostly_where_the_ball_reaches_over_the_boundary() -> (
    None
):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        linear = nn.Sequential(nn.Flatten(), nn.Linear(18, 4)).eval()
    draw = torch.Generator().manual_seed(6)
    x = 0.4 + 0.2 * torch.rand(40, 2, 3, 3, generator=draw)  # the ball meets no edge of the box
    labels = judge(linear, x).argmax(1)
    logits, weight = judge(linear, x), linear[1].weight.detach()
    gap = logits.gather(1, labels[:, None]) - logits
    gap.scatter_(1, labels[:, None], torch.inf)
    way = weight[None] - weight[labels][:, None]
    for norm, dual in (("linf", 1), ("l2", 2)):
        near = (gap / way.norm(dual, dim=2).clamp(min=1e-9)).amin(1)
        epsilon = float(near.median())
        sure = (near - epsilon).abs() > 1e-3 * epsilon
        for kind, make in KINDS.items():
            attack = make(norm=norm, steps=60, restarts=2, space=Continuous())
            found = attack(linear, x, labels, epsilon=epsilon)
            assert not (found.success & sure & (near > epsilon)).any()
            # Without a target it may run towards another class than the nearest.
            missed = int((~found.success & sure & (near < epsilon)).sum())
            assert missed <= (1 if kind == "targeted" else 8)


def test_steps_are_looked_at_when_the_paper_says() -> None:
    # p = 0, .22, .41, .57, .70, .80, .87, .93, .99 of 100 steps.
    assert [n for n in APGD(steps=100).looks() if n <= 100] == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_does_not_depend_on_its_batch(
    kind: str, model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    attack = KINDS[kind](steps=10, restarts=2)
    whole = attack(model, inputs, labels, epsilon=EPSILON["linf"])
    some = torch.tensor([6, 20, 5])
    part = attack(model, inputs[some], labels[some], epsilon=EPSILON["linf"], batch_size=2)
    for field in ("success", "forward", "backward", "zero_gradient"):
        assert torch.equal(getattr(part, field), getattr(whole, field)[some]), field


def test_it_finds_what_pgd_finds_in_as_many_steps(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    budget = dict(epsilon=16 / 255)
    ours = APGD(steps=20)(model, inputs, labels, **budget)
    theirs = PGD(steps=20)(model, inputs, labels, **budget)
    assert int(ours.success.sum()) >= int(theirs.success.sum()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_reached_the_goal_leaves(
    kind: str, model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.training = 0, False

        def forward(self, x: Tensor) -> Tensor:
            self.seen += len(x)
            answer: Tensor = model(x)
            return answer

    watched = Watched()
    found = KINDS[kind](steps=10)(watched, inputs, labels, epsilon=EPSILON["linf"])
    assert watched.seen == int(found.forward.sum())
    assert int(found.forward[found.success].max()) < int(found.forward[~found.success].min())


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_is_reached_and_no_other_class_counts(
    kind: str, model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    targets = (labels + 1) % CLASSES
    goal = Targeted(targets, labels)
    found = KINDS[kind](steps=30)(model, inputs, goal, epsilon=60 / 255)
    assert int(found.success.sum()) > N // 2
    assert torch.equal(found.success, judge(model, found.adversarial).argmax(1) == targets)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_are_attacked_by_the_margin_where_the_ratio_is_undefined(
    classes: int, inputs: Tensor
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        small = nn.Sequential(nn.Flatten(), nn.Linear(72, classes)).eval()
    labels = judge(small, inputs).argmax(1)
    found = APGDT(steps=10)(small, inputs, labels, epsilon=0.3)
    assert found.success.any()
    if classes == 2:
        with pytest.raises(AttackError, match="needs at least 3 classes, the model has 2"):
            APGD(loss=DLR())(small, inputs, labels, epsilon=0.3)


def test_a_gradient_of_zero_moves_nothing_from_the_start_on_and_is_reported() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([3 + 0 * x.flatten(1)[:, :1], 0 * x.flatten(1)[:, :1]], 1)

    x = torch.full((2, 1, 3, 3), 0.5)
    found = APGD(steps=5)(Flat(), x, torch.zeros(2, dtype=torch.int64), epsilon=0.1)
    assert found.zero_gradient.all()
    assert not found.success.any()


@pytest.mark.parametrize("norm", EPSILON)
@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_is_attacked_on_its_own_grid(kind: str, norm: Norm) -> None:
    engine = Engine(small_program())
    draw = torch.Generator().manual_seed(4)
    x = engine.space.snap(torch.rand(12, 1, 6, 6, generator=draw))
    said = engine(x).argmax(1)
    budget = {"linf": 0.5, "l2": 3.0}[norm]
    found = KINDS[kind](norm=norm, steps=15, space=engine.space)(engine, x, said, epsilon=budget)
    assert torch.equal(found.success, engine(found.adversarial).argmax(1) != said)
    assert torch.equal(engine.space.snap(found.adversarial), found.adversarial)
    assert (distances(found.adversarial, x, norm) <= budget + 1e-6).all()
    assert found.success.any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: APGD(norm="l1"), "APGD spends linf or l2, not 'l1'"),
        (lambda: APGD(steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: APGD(rho=1.5), "rho must be a number above 0 and at most 1, got 1.5"),
        (lambda: APGD(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: APGDT(targets=0), "targets must be a whole number of at least 1, got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(AttackError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- balls


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_a_projection_is_in_the_ball_and_no_other_point_of_it_is_nearer(norm: Norm) -> None:
    draw = torch.Generator().manual_seed(7)
    change = torch.randn(20, 1, 3, 3, generator=draw)
    radius = torch.full((20,), {"l0": 3.0, "l1": 1.0, "l2": 0.7, "linf": 0.4}[norm])
    inside = project(change, radius, norm)
    zero = torch.zeros_like(change)
    assert (distances(inside, zero, norm) <= radius * (1 + 1e-5)).all()
    far = distances(inside, change, "l2")
    for _ in range(200):
        other = project(inside + 0.2 * torch.randn(change.shape, generator=draw), radius, norm)
        assert (distances(other, change, "l2") >= far - 1e-5).all()
    small = 1e-3 * change
    if norm != "l0":
        assert torch.allclose(project(small, radius, norm), small, atol=1e-7)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_image_of_a_point_is_in_the_ball_and_next_to_the_point(norm: Norm) -> None:
    draw = torch.Generator().manual_seed(8)
    grid = Grid(255)
    x = grid.snap(torch.rand(30, 1, 4, 4, generator=draw))
    for epsilon in (0.02, 0.1, 1.0):
        radius = torch.full((30,), epsilon)
        point = (x + project(torch.randn(x.shape, generator=draw), radius, norm)).clamp(0, 1)
        image = placed(grid, x, point, epsilon, norm)
        assert torch.equal(grid.snap(image), image)
        assert (distances(image, x, norm) <= epsilon).all()
        assert float((image - point).abs().max()) < 1.001 / 255
