"""FMN, DDN, σ-zero, ALMA and FAB against closed forms, and what all of them promise."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine
from hwsim.attacks.alma import ALMA
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid, Space
from hwsim.attacks.core.minimizing import MinimizingAttack
from hwsim.attacks.core.result import distances
from hwsim.attacks.ddn import DDN
from hwsim.attacks.fab import FAB
from hwsim.attacks.fmn import FMN
from hwsim.attacks.sigma_zero import SigmaZero
from tests.images import small_program
from tests.linear import CLASSES, PIXELS, gaps, greys, linear_network

N = 8
Made = Callable[..., MinimizingAttack]


def norm_is(kind: type[MinimizingAttack], norm: str) -> Made:
    """The attack in one norm."""

    def make(**options: object) -> MinimizingAttack:
        return kind(norm=norm, **options)  # type: ignore[call-arg]

    return make


ALL: dict[str, Made] = {
    **{f"fmn {norm}": norm_is(FMN, norm) for norm in ("l0", "l1", "l2", "linf")},
    "ddn": DDN,
    "sigma-zero": SigmaZero,
    **{f"alma {norm}": norm_is(ALMA, norm) for norm in ("l1", "l2")},
    **{f"fab {norm}": norm_is(FAB, norm) for norm in ("l1", "l2", "linf")},
    "fab targets": lambda **options: FAB(targets=3, **options),
}
#: The norm in which a slope is measured, for each in which a distance is.
DUAL = {"l1": math.inf, "l2": 2, "linf": 1}
#: By how much an attack may stand above the least distance on a linear model: the median example
#: (to 1% or so) and the worst, some of which lie hard by the boundary from the start.
STEPS = 100
EXCESS = {"fmn l1": (1.05, 1.3), "fmn l2": (1.01, 1.1), "fmn linf": (1.03, 1.2),
          "ddn": (1.08, 1.12),
          "fab l1": (1.01, 1.1), "fab l2": (1.01, 1.01), "fab linf": (1.01, 1.1),
          "fab targets": (1.01, 1.1), "alma l1": (1.25, 1.4), "alma l2": (1.1, 1.3)}  # fmt: skip


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return linear_network()


@pytest.fixture(scope="module")
def curved() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES)
        ).eval()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return greys(N)


@pytest.fixture(scope="module")
def labels(linear: nn.Module, inputs: Tensor) -> Tensor:
    return judge(linear, inputs).argmax(1)


def size(attack: MinimizingAttack, x: Tensor, y: Tensor) -> Tensor:
    return distances(x, y, attack.norm).float()


@pytest.mark.slow
@pytest.mark.parametrize("space", [Continuous(), Grid(255)], ids=["continuous", "grid"])
@pytest.mark.parametrize("name", EXCESS)
def test_the_distance_is_that_to_the_nearest_hyperplane(
    name: str, space: Space, linear: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    attack = ALL[name](space=space, steps=STEPS)
    gap, way = gaps(linear, inputs, labels)
    # In L1 the steepest value runs into 0 or 1, and others have to help.
    slope = way.norm(DUAL[attack.norm], dim=2).clamp(min=1e-9)
    optimum = (gap / slope).amin(1)
    if attack.norm == "l1":
        room = torch.where(way > 0, 1 - inputs.flatten(1)[:, None], inputs.flatten(1)[:, None])
        optimum = by_the_steepest(gap, way.abs(), room)
    found = attack.minimize(linear, inputs, Untargeted(labels))
    assert found.success.all()
    step = 0.0 if isinstance(space, Continuous) else 1 / 255
    hair = {"l1": PIXELS * step / 2, "l2": PIXELS**0.5 * step / 2, "linf": step}[attack.norm]
    far = size(attack, found.adversarial, inputs)
    assert (far >= optimum - 1e-5).all()
    middle, worst = EXCESS[name]
    assert (far <= worst * optimum + hair + 1e-4).all()
    assert ((far - hair) / optimum).median() <= middle


def by_the_steepest(gap: Tensor, steep: Tensor, room: Tensor) -> Tensor:
    """(N,) the least L1 change that closes a gap: each value as far as it goes, steepest first."""
    best = []
    for gaps_, steeps, rooms in zip(gap, steep, room, strict=True):
        ways = []
        for g, s, r in zip(gaps_.tolist(), steeps, rooms, strict=True):
            left, spent = g, 0.0
            for k in s.argsort(descending=True).tolist():
                part = min(float(r[k]), left / max(float(s[k]), 1e-9))
                left, spent = left - part * float(s[k]), spent + part
                if left <= 1e-9:
                    break
            ways.append(spent if left <= 1e-6 else math.inf)
        best.append(min(ways))
    return torch.tensor(best)


@pytest.mark.parametrize("name", ["fmn l0", "sigma-zero"])
def test_l0_is_close_to_the_fewest_values_that_can_close_the_gap(
    name: str, linear: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    gap, way = gaps(linear, inputs, labels)
    x = inputs.flatten(1)[:, None]
    gain = torch.maximum(way * (1 - x), -way * x).sort(2, descending=True).values.cumsum(2)
    optimum = ((gain < gap[:, :, None]).sum(2) + 1).amin(1)
    for space in (Continuous(), Grid(255)):
        found = ALL[name](space=space, steps=STEPS).minimize(linear, inputs, Untargeted(labels))
        assert found.success.all()
        assert (found.l0 >= optimum).all()
        assert (found.l0 <= optimum + 1).all()


@pytest.mark.parametrize("name", ALL)
def test_what_is_returned_lies_on_the_grid_and_fools_the_model(
    name: str, curved: nn.Module, inputs: Tensor
) -> None:
    labels = judge(curved, inputs).argmax(1)
    for grid in (Grid(255), Grid(15)):
        x = grid.snap(inputs)
        attack = ALL[name](space=grid, steps=25)
        found = attack.minimize(curved, x, Untargeted(labels))
        assert torch.equal(grid.snap(found.adversarial), found.adversarial)
        assert torch.equal(found.success, judge(curved, found.adversarial).argmax(1) != labels)
        assert torch.equal(found.adversarial[~found.success], x[~found.success])
        assert int(found.success.sum()) >= N // 2


@pytest.mark.parametrize("name", ALL)
def test_a_target_is_reached(name: str, linear: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    targets = (labels + 2) % CLASSES
    attack = ALL[name](steps=50)
    found = attack.minimize(linear, inputs, Targeted(targets, labels))
    assert int(found.success.sum()) >= N - 2
    said = judge(linear, found.adversarial).argmax(1)
    assert torch.equal(found.success, said == targets)


@pytest.mark.parametrize("name", ALL)
def test_an_example_does_not_depend_on_its_batch(
    name: str, curved: nn.Module, inputs: Tensor
) -> None:
    goal = Untargeted(judge(curved, inputs).argmax(1))
    attack = ALL[name](steps=20)
    whole = attack.minimize(curved, inputs, goal)
    some = torch.tensor([6, 2, 5])
    part = attack.minimize(curved, inputs[some], goal[some], batch_size=2)
    assert torch.equal(part.success, whole.success[some])
    near, far = (size(attack, r.adversarial, r.original) for r in (part, whole))
    assert torch.allclose(near, far[some], rtol=0.02)
    assert torch.equal(part.backward, whole.backward[some])


class Watched(nn.Module):
    """Counts the images that went through."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen, self.training = model, 0, False

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        answer: Tensor = self.model(x)
        return answer


@pytest.mark.parametrize("name", ALL)
def test_the_model_sees_each_example_as_often_as_is_counted(
    name: str, curved: nn.Module, inputs: Tensor
) -> None:
    goal = Untargeted(judge(curved, inputs).argmax(1))
    model = Watched(curved)
    found = ALL[name](steps=10).minimize(model, inputs, goal)
    assert model.seen == int(found.forward.sum())


@pytest.mark.parametrize("name", ALL)
def test_an_input_that_is_wrong_already_is_returned_as_it_is(
    name: str, linear: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    found = ALL[name]().minimize(linear, inputs, Untargeted((labels + 1) % CLASSES))
    assert found.success.all()
    assert torch.equal(found.adversarial, found.original)
    assert found.backward.tolist() == [0] * N
    assert not found.zero_gradient.any()


@pytest.mark.parametrize("name", ALL)
def test_a_gradient_of_zero_is_no_step_and_is_reported(name: str) -> None:
    class Blind(nn.Module):
        """Class 0 wherever one looks, and a slope only for bright images."""

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.relu(x.flatten(1).mean(1, keepdim=True) - 0.5)
            return torch.cat([3.0 - 9 * gate, 9 * gate], 1)

    x = torch.stack([torch.full((1, 3, 3), 0.0), torch.full((1, 3, 3), 0.6)])
    goal = Untargeted(torch.zeros(2, dtype=torch.int64))
    found = ALL[name](steps=40).minimize(Blind(), x, goal)
    assert found.zero_gradient.tolist() == [True, False]
    assert found.success.tolist()[0] is False
    assert torch.equal(found.adversarial[0], found.original[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_engine_is_attacked_through_its_own_datapath(name: str) -> None:
    engine = Engine(small_program())
    draw = torch.Generator().manual_seed(4)
    x = Grid(255).snap(torch.rand(12, 1, 6, 6, generator=draw))
    said = engine(x).argmax(1)
    found = ALL[name](steps=40, space=engine.space).minimize(engine, x, Untargeted(said))
    assert torch.equal(found.success, engine(found.adversarial).argmax(1) != said)
    assert torch.equal(engine.space.snap(found.adversarial), found.adversarial)
    assert int(found.success.sum()) >= 3  # the network says class 0 to 99 of 100 random images


def test_a_change_of_one_step_is_the_least_and_ends_the_search(linear: nn.Module) -> None:
    class Edge(nn.Module):
        """Class 0 in the dark, and the image stands right before the boundary."""

        def forward(self, x: Tensor) -> Tensor:
            lead = x.flatten(1).sum(1, keepdim=True) - 9 * 100.4 / 255
            return torch.cat([-lead, lead], 1)

    x = torch.full((1, 1, 3, 3), 100 / 255)
    goal = Untargeted(torch.zeros(1, dtype=torch.int64))
    found = FMN(norm="linf", steps=200).minimize(Edge(), x, goal)
    assert found.linf.tolist() == pytest.approx([1 / 255])
    assert int(found.backward) < 200


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FMN(norm="l3"), "FMN minimizes l0 or l1 or l2 or linf, not 'l3'"),
        (lambda: ALMA(norm="l0"), "ALMA minimizes l2 or l1, not 'l0'"),
        (lambda: FAB(norm="l0"), "FAB minimizes linf or l2 or l1, not 'l0'"),
        (lambda: FMN(steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: DDN(gamma=0.0), "gamma must be a number above 0"),
        (lambda: DDN(first=math.nan), "first must be a number above 0"),
        (lambda: SigmaZero(sigma=0.0), "sigma must be a number above 0"),
        (lambda: SigmaZero(threshold=2.0), "threshold must be a number above 0 and at most 1"),
        (lambda: ALMA(average=1.0), "average must be a number above 0"),
        (lambda: FAB(targets=-1), "targets must be a whole number of at least 0, got -1"),
        (lambda: FAB(beta=math.inf), "beta must be a number above 0 and at most 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(AttackError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ALL)
def test_models_that_make_no_sense_are_refused(
    name: str, linear: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    class NoGradient(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return linear(x).detach()

    with pytest.raises(AttackError, match="gives no gradient"):
        ALL[name]().minimize(NoGradient(), inputs, Untargeted(labels))
    with pytest.raises(AttackError, match="its own class"):
        ALL[name]().minimize(linear, inputs, Targeted(labels, labels))
