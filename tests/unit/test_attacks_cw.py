"""Carlini and Wagner against closed forms: a linear classifier's nearest adversarial images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from hwsim import Engine
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid
from hwsim.attacks.core.margin import margins
from hwsim.attacks.core.result import AttackResult
from hwsim.attacks.cw import CarliniWagner
from hwsim.attacks.cw_l0 import CWL0
from hwsim.attacks.cw_l2 import CWL2
from hwsim.attacks.cw_linf import CWLinf
from tests.images import small_program
from tests.linear import CLASSES, gaps, greys, linear_network

N = 8
ALL = (CWL2, CWL0, CWLinf)
#: Constants near those that matter to these small networks; the defaults search for longer.
QUICK: dict[type[CarliniWagner], dict[str, float]] = {
    CWL2: {"binary_search_steps": 7},
    CWL0: {"initial_const": 0.01, "largest_const": 20.0},
    CWLinf: {"initial_const": 0.01, "largest_const": 2.0},
}


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return linear_network()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return greys(N)


@pytest.fixture(scope="module")
def labels(linear: nn.Module, inputs: Tensor) -> Tensor:
    return judge(linear, inputs).argmax(1)


def nearest(model: nn.Module, x: Tensor, labels: Tensor, dual: float) -> Tensor:
    """Distance to each class where the norm's dual is ``dual`` and the box is far, (N, classes)."""
    gap, way = gaps(model, x, labels)
    return gap / way.norm(dual, dim=2).clamp(min=1e-9)


@pytest.mark.slow
def test_l2_is_the_distance_to_the_nearest_hyperplane(linear, inputs, labels):
    optimum = nearest(linear, inputs, labels, 2).amin(1)
    for space in (Continuous(), Grid(255)):
        found = CWL2(space=space, steps=150).minimize(linear, inputs, Untargeted(labels))
        assert found.success.all()
        assert (found.l2 <= 1.03 * optimum + 1 / 255).all()
        assert (found.l2 >= optimum - 1e-5).all()


def test_targeted_l2_is_the_distance_where_the_target_wins_over_all(linear, inputs, labels):
    targets = (labels + 2) % CLASSES
    found = CWL2(space=Continuous(), steps=150).minimize(linear, inputs, Targeted(targets, labels))
    to_target = nearest(linear, inputs, labels, 2).gather(1, targets[:, None]).flatten()
    assert found.success.all()
    assert torch.equal(judge(linear, found.adversarial).argmax(1), targets)
    assert (found.l2 >= to_target - 1e-5).all()  # the pairwise distance is a lower bound
    assert found.l2.median() <= 1.2 * to_target.median()


@pytest.mark.slow
def test_linf_is_the_gap_over_the_l1_norm(linear, inputs, labels):
    optimum = nearest(linear, inputs, labels, 1).amin(1)
    for space in (Continuous(), Grid(255)):
        found = CWLinf(space=space).minimize(linear, inputs, Untargeted(labels))
        assert found.success.all()
        assert (found.linf >= optimum - 1e-5).all()
        # τ shrinks by 0.9 at a time, so the last success may stand 1/0.9 above the optimum.
        assert (found.linf <= 1.2 * optimum + 2 / 255).all()


@pytest.mark.slow
def test_l0_is_close_to_the_fewest_values_that_can_close_the_gap(linear, inputs, labels):
    gap, way = gaps(linear, inputs, labels)
    x = inputs.flatten(1)[:, None]
    gain = torch.maximum(way * (1 - x), -way * x).sort(2, descending=True).values.cumsum(2)
    optimum = ((gain < gap[:, :, None]).sum(2) + 1).amin(1)
    for space in (Continuous(), Grid(255)):
        found = CWL0(space=space, **QUICK[CWL0]).minimize(linear, inputs, Untargeted(labels))
        assert found.success.all()
        assert (found.l0 >= optimum).all()
        assert (found.l0 <= optimum + 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL)
def test_what_is_returned_lies_on_the_grid_and_fools_the_model(attack, linear, inputs, labels):
    for grid in (Grid(255), Grid(15)):
        found = attack(space=grid, steps=50, **QUICK[attack]).minimize(
            linear, inputs, Untargeted(labels)
        )
        assert torch.equal(grid.snap(found.adversarial), found.adversarial)
        assert torch.equal(found.success, judge(linear, found.adversarial).argmax(1) != labels)
        assert found.success.float().mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL)
def test_images_win_by_at_least_the_confidence_in_units_of_the_logits(
    attack, linear, inputs, labels
):
    for goal in (Untargeted(labels), Targeted((labels + 1) % CLASSES, labels)):
        near = attack(steps=50, **QUICK[attack]).minimize(linear, inputs, goal)
        far = attack(steps=50, confidence=0.7, **QUICK[attack]).minimize(linear, inputs, goal)
        lead = margins(judge(linear, far.adversarial), goal).value
        assert far.success.all()
        assert (lead >= 0.7 - 1e-4).all()
        assert distance(attack, far).sum() > distance(attack, near).sum()


def distance(attack: type[CarliniWagner], result: AttackResult) -> Tensor:
    return {"l2": result.l2, "l0": result.l0, "linf": result.linf}[attack.norm]


@pytest.fixture(scope="module")
def curved() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES)
    )


@pytest.mark.parametrize("attack", ALL)
def test_an_example_does_not_depend_on_its_batch(attack, curved, inputs):
    goal = Untargeted(judge(curved, inputs).argmax(1))
    whole = attack(steps=30, **QUICK[attack]).minimize(curved, inputs, goal)
    some = torch.tensor([6, 2, 5])
    part = attack(steps=30, **QUICK[attack]).minimize(
        curved, inputs[some], goal[some], batch_size=2
    )
    assert torch.equal(part.success, whole.success[some])
    assert torch.allclose(distance(attack, part), distance(attack, whole)[some], rtol=0.02)


class Watched(nn.Module):
    """Counts the images that went through."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen, self.batches = model, 0, set[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        self.batches.add(len(x))
        return self.model(x)


@pytest.mark.parametrize("attack", ALL)
def test_the_model_sees_each_example_as_often_as_is_counted(attack, curved, inputs):
    goal = Untargeted(judge(curved, inputs).argmax(1))
    model = Watched(curved)
    found = attack(steps=20, **QUICK[attack]).minimize(model, inputs, goal)
    assert model.seen == int(found.forward.sum())
    assert len(model.batches) > 1  # who is finished has left
    assert (found.backward == found.forward - 2).all()  # the clean pass and the judge's


def test_without_early_exit_every_search_takes_all_its_steps(linear, inputs, labels):
    attack = CWL2(steps=7, binary_search_steps=3, abort_early=False)
    found = attack.minimize(linear, inputs, Untargeted(labels))
    assert found.backward.tolist() == [21] * N


def test_the_last_of_ten_searches_tries_the_largest_constant_on_those_that_never_succeeded():
    class Far(nn.Module):
        """So flat that c has to exceed 1e8 before the hinge weighs more than the distance."""

        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1, keepdim=True)
            return torch.cat([(mean - 0.9) * 1e-9, (0.9 - mean) * 1e-9], 1)

    x = torch.full((1, 1, 2, 2), 0.5)
    options = dict(steps=100, step_size=0.1, initial_const=1e-3)
    nine = CWL2(binary_search_steps=9, **options).minimize(Far(), x, Untargeted(torch.tensor([1])))
    ten = CWL2(binary_search_steps=10, **options).minimize(Far(), x, Untargeted(torch.tensor([1])))
    assert nine.success.tolist() == [False]
    assert ten.success.tolist() == [True]


@pytest.mark.parametrize("attack", ALL)
def test_an_input_that_is_wrong_already_is_returned_as_it_is(attack, linear, inputs, labels):
    found = attack().minimize(linear, inputs, Untargeted((labels + 1) % CLASSES))
    assert found.success.all()
    assert torch.equal(found.adversarial, found.original)
    assert found.backward.tolist() == [0] * N
    assert not found.zero_gradient.any()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL)
def test_an_exactly_zero_gradient_is_reported_and_soon_given_up(attack):
    class Inhibited(nn.Module):
        """Class 0 by 3 everywhere; the gate in front of the pixels is closed for dark images."""

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.relu(x.flatten(1).mean(1, keepdim=True) - 0.5)
            return torch.cat([3.0 - 9 * gate, 9 * gate], 1)

    x = torch.stack([torch.full((1, 3, 3), 0.2), torch.full((1, 3, 3), 0.6)])
    goal = Untargeted(torch.zeros(2, dtype=torch.int64))
    found = attack(**QUICK[attack]).minimize(Inhibited(), x, goal)
    assert found.success.tolist() == [False, True]
    assert found.zero_gradient.tolist() == [True, False]
    assert torch.equal(found.adversarial[0], found.original[0])
    assert int(found.forward[0]) < 50


def test_a_tie_is_broken_although_the_hinge_is_zero_there():
    class Tied(nn.Module):
        """Both logits are equal at the original, and the first class wins ties."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([0 * x.flatten(1)[:, 0], 8 * (x - 0.5).flatten(1).sum(1)], 1)

    x = torch.full((1, 1, 2, 2), 0.5)
    found = CWL2(space=Continuous()).minimize(Tied(), x, Untargeted(torch.tensor([0])))
    assert found.success.tolist() == [True]
    assert float(found.l2) < 0.02


class Staircase(nn.Module):
    """Class 0 until the mean of the pixels has climbed a step; the gradient is a ramp's."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        steps = mean + (torch.floor(mean * 4) / 4 - mean).detach()
        return torch.stack([0.6 - steps, steps], 1)


@pytest.mark.slow
def test_a_search_crosses_a_plateau_on_which_its_loss_cannot_fall():
    x = torch.full((1, 1, 4, 4), 0.26)
    goal = Untargeted(torch.tensor([0]))
    found = CWL2(step_size=0.02, initial_const=10.0).minimize(Staircase(), x, goal)
    assert found.success.tolist() == [True]
    assert float(found.adversarial.mean()) == pytest.approx(0.5, abs=0.02)


def test_l0_freezes_whole_pixels_where_channels_count_together(linear, inputs, labels):
    found = CWL0(per_channel=False, **QUICK[CWL0]).minimize(linear, inputs, Untargeted(labels))
    pixels = (found.adversarial != found.original).any(1).flatten(1).sum(1)
    assert found.success.all()
    assert (pixels <= 3).all()
    assert (found.l0 > pixels).any()  # what is free in one channel is free in the other


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL)
def test_the_engine_is_attacked_through_its_own_datapath(attack):
    engine = Engine(small_program())
    draw = torch.Generator().manual_seed(4)
    x = Grid(255).snap(torch.rand(12, 1, 6, 6, generator=draw))
    goal: Goal = Untargeted(engine(x).argmax(1))
    found = attack(steps=60, **QUICK[attack]).minimize(engine, x, goal)
    assert torch.equal(found.success, engine(found.adversarial).argmax(1) != goal.loss_labels)
    assert int(found.success.sum()) >= 5  # the network says class 0 to 99 of 100 random images
    assert torch.equal(Grid(255).snap(found.adversarial), found.adversarial)


@pytest.mark.parametrize("attack", ALL)
@pytest.mark.parametrize(
    "option",
    [
        {"confidence": -0.1}, {"confidence": math.nan}, {"steps": 0}, {"steps": 2.5},
        {"initial_const": 0.0}, {"initial_const": -1.0}, {"step_size": 0.0},
        {"step_size": math.inf},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_in_one_line(attack, option):
    with pytest.raises(AttackError) as caught:
        attack(**option)
    assert "\n" not in str(caught.value)
    assert next(iter(option)) in str(caught.value)


@pytest.mark.parametrize(
    ("attack", "option"),
    [
        (CWL2, {"binary_search_steps": 0}),
        (CWL0, {"largest_const": 0.0}),
        (CWLinf, {"largest_const": -1.0}),
        (CWLinf, {"decrease_factor": 1.0}),
        (CWLinf, {"decrease_factor": 0.0}),
    ],
)
def test_options_of_one_attack_are_checked_too(attack, option):
    with pytest.raises(AttackError, match=next(iter(option))):
        attack(**option)


@pytest.mark.parametrize("attack", ALL)
def test_models_and_goals_that_make_no_sense_are_refused(attack, linear, inputs, labels):
    class Constant(nn.Module):
        def __init__(self, value: float, classes: int = 2) -> None:
            super().__init__()
            self.value, self.classes = value, classes

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, : self.classes] * self.value

    zeros = torch.zeros(N, dtype=torch.int64)
    with pytest.raises(AttackError, match="NaN"):
        attack().minimize(Constant(math.nan), inputs, Untargeted(zeros))
    with pytest.raises(AttackError, match="its own class"):
        attack().minimize(linear, inputs, Targeted(labels, labels))
    with pytest.raises(AttackError, match="one class"):
        attack().minimize(Constant(1.0, classes=1), inputs, Untargeted(zeros))

    class NoGradient(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return linear(x).detach()

    with pytest.raises(AttackError, match="gives no gradient"):
        attack().minimize(NoGradient(), inputs, Untargeted(labels))


@pytest.mark.slow
def test_a_radius_counts_what_lies_within_it(linear, inputs, labels):
    found = CWL2().minimize(linear, inputs, Untargeted(labels))
    middle = float(found.l2.median())
    within = CWL2()(linear, inputs, Untargeted(labels), epsilon=middle)
    assert torch.equal(within.success, found.l2 <= middle + 1e-6)
