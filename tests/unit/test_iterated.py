"""BIM, PGD and MI-FGSM against plain loops, on the grid and off it, in any batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim import Engine
from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid
from hwsim.attacks.core.losses import Margin
from hwsim.attacks.core.noise import Noise
from hwsim.attacks.core.result import AttackResult
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.mifgsm import MIFGSM, normalized
from hwsim.attacks.pgd import BIM, PGD
from tests.images import small_program

N, CLASSES, EPSILON = 24, 5, 10 / 255
ATTACKS = [BIM, PGD, MIFGSM]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(54, 20), nn.ReLU(), nn.Linear(20, CLASSES),
        ).eval()  # fmt: skip
    with torch.no_grad():  # centred, so that all classes occur, some of them nearly
        network[-1].bias -= network(some_inputs()).mean(0)
    return network


def some_inputs() -> Tensor:
    return Grid(255).snap(torch.rand(N, 2, 6, 6, generator=torch.Generator().manual_seed(2)))


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return some_inputs()


@pytest.fixture(scope="module")
def labels(model: nn.Module, inputs: Tensor) -> Tensor:
    return judge(model, inputs).argmax(1)


def plain(
    model: nn.Module,
    inputs: Tensor,
    classes: Tensor,
    *,
    sign: float = 1.0,
    steps: int,
    alpha: float,
    snap: Callable[[Tensor], Tensor] = lambda x: x,
    start: Tensor | None = None,
    decay: float | None = None,
) -> Tensor:
    """The textbook, one image at a time."""
    results = []
    for n in range(len(inputs)):
        x0 = inputs[n : n + 1]
        u = x0 if start is None else start[n : n + 1]
        memory = torch.zeros_like(x0)
        for _ in range(steps):
            x = snap(u).clone().requires_grad_()
            loss = F.cross_entropy(model(x), classes[n : n + 1])
            (g,) = torch.autograd.grad(sign * loss, x)
            if decay is not None:
                memory = decay * memory + g / g.abs().sum()
                g = memory
            u = u + alpha * g.sign()
            u = torch.minimum(torch.maximum(u, x0 - EPSILON), x0 + EPSILON).clamp(0, 1)
        results.append(snap(u))
    return torch.cat(results)


@pytest.mark.parametrize("space", [Continuous(), Grid(255)])
def test_bim_is_the_textbook_loop(
    model: nn.Module, inputs: Tensor, labels: Tensor, space: Any
) -> None:
    attack = BIM(steps=7, step_size=0.3 / 255, early_exit=False, space=space)
    result = attack(model, inputs, Untargeted(labels), epsilon=EPSILON)
    expected = plain(model, inputs, labels, steps=7, alpha=0.3 / 255, snap=space.snap)
    torch.testing.assert_close(result.adversarial, expected, atol=2e-7, rtol=0)


def test_targeted_bim_descends_the_loss_of_the_target(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    targets = (labels + 1) % CLASSES
    attack = BIM(early_exit=False, space=Continuous())
    result = attack(model, inputs, Targeted(targets, labels), epsilon=EPSILON)
    expected = plain(model, inputs, targets, sign=-1, steps=10, alpha=EPSILON / 5)
    torch.testing.assert_close(result.adversarial, expected, atol=2e-7, rtol=0)


def test_mifgsm_is_the_textbook_loop(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    result = MIFGSM(decay=0.8, space=Continuous())(
        model, inputs, Untargeted(labels), epsilon=EPSILON
    )
    expected = plain(model, inputs, labels, steps=10, alpha=EPSILON / 10, decay=0.8)
    # In float32, two orders of summation may decide the sign of a sum that is nearly 0.
    same = (result.adversarial - expected).abs() <= 2e-7
    assert float(same.float().mean()) > 0.999


def test_pgd_is_bim_from_the_examples_own_random_start(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    attack = PGD(steps=5, seed=11, early_exit=False, space=Continuous())
    result = attack(model, inputs, Untargeted(labels), epsilon=EPSILON)
    start = (inputs + EPSILON * Noise(inputs, 11).uniform()).clamp(0, 1)
    expected = plain(model, inputs, labels, steps=5, alpha=EPSILON / 2, start=start)
    torch.testing.assert_close(result.adversarial, expected, atol=2e-7, rtol=0)


def test_bim_with_one_step_of_epsilon_is_fgsm(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal = Untargeted(labels)
    one = BIM(steps=1, step_size=EPSILON, early_exit=False)(model, inputs, goal, epsilon=EPSILON)
    assert torch.equal(one.adversarial, FGSM()(model, inputs, goal, epsilon=EPSILON).adversarial)


def test_steps_below_one_lsb_add_up() -> None:
    class Slope(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).sum(1) * 0, -x.flatten(1).sum(1)], 1)

    x = torch.full((1, 1, 2, 2), 100 / 255)
    goal = Targeted(torch.tensor([1]), torch.tensor([0]))
    moved = []
    for steps in (1, 2, 4, 8):
        attack = BIM(steps=steps, step_size=0.3 / 255, early_exit=False, loss=Margin())
        result = attack(Slope(), x, goal, epsilon=10 / 255)
        moved.append(100 - int(Grid(255).lsb(result.adversarial).max()))
    assert moved == [0, 1, 1, 2]  # 0.3, 0.6, 1.2 and 2.4 LSB, rounded


@pytest.mark.parametrize("make", ATTACKS)
@pytest.mark.parametrize("early_exit", [False, True])
def test_images_are_on_the_grid_in_the_ball_and_judged_themselves(
    model: nn.Module, inputs: Tensor, labels: Tensor, make: Any, early_exit: bool
) -> None:
    attack = make(steps=6, early_exit=early_exit)
    result = attack(model, inputs, Untargeted(labels), epsilon=0.05)
    grid = Grid(255)
    assert torch.equal(grid.snap(result.adversarial), result.adversarial)
    assert int((grid.lsb(result.adversarial) - grid.lsb(inputs)).abs().max()) == 12
    assert torch.equal(result.success, judge(model, result.adversarial).argmax(1) != labels)
    assert torch.equal(result.raw, result.adversarial)


@pytest.mark.parametrize("make", [BIM, PGD, MIFGSM])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_do_not_change_the_result(
    model: nn.Module, inputs: Tensor, labels: Tensor, make: Any, batch_size: int
) -> None:
    twin = model.double()
    try:

        class Wide(nn.Module):
            """float64 inside, so that the order of a sum decides no sign."""

            def forward(self, x: Tensor) -> Tensor:
                logits: Tensor = twin(x.double())
                return logits

        goal, attack = Untargeted(labels), make(steps=5)
        whole = attack(Wide(), inputs, goal, epsilon=EPSILON)
        parts = attack(Wide(), inputs, goal, epsilon=EPSILON, batch_size=batch_size)
        for name in ("adversarial", "success", "forward", "backward"):
            assert torch.equal(getattr(whole, name), getattr(parts, name)), name
    finally:
        model.float()


def test_finished_examples_leave_and_are_not_paid_for(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    wrong = labels.clone()
    wrong[0] = (labels[0] + 1) % CLASSES  # misclassified from the start
    seen: list[int] = []
    handle = model.register_forward_hook(lambda _, args, out: seen.append(len(args[0])))
    result = PGD(steps=8)(model, inputs, Untargeted(wrong), epsilon=EPSILON)
    handle.remove()
    assert torch.equal(result.adversarial[0], inputs[0])
    assert result.forward[0] == 2  # the clean answer and the final check
    assert result.backward[0] == 0
    assert not result.zero_gradient[0]  # nobody has asked for its gradient
    assert 0 < int(result.success.sum()) < N
    failed = ~result.success
    assert result.backward[failed].tolist() == [8] * int(failed.sum())
    assert int(result.forward.sum()) == sum(seen)
    assert seen[1] == N - 1
    quick = result.success & (torch.arange(N) > 0)
    assert float(result.backward[quick].double().mean()) < 8


def test_early_exit_finds_every_success_of_the_full_run(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal = Untargeted(labels)
    full = BIM(early_exit=False)(model, inputs, goal, epsilon=EPSILON)
    early = BIM()(model, inputs, goal, epsilon=EPSILON)
    assert full.success.any()
    assert not (full.success & ~early.success).any()
    assert int(early.forward.sum()) < int(full.forward.sum())
    assert full.backward.tolist() == [10] * N


def test_an_example_that_never_succeeds_keeps_its_best_image() -> None:
    class Pit(nn.Module):
        """Always class 0; the second logit peaks where the mean pixel is 0.55."""

        def forward(self, x: Tensor) -> Tensor:
            height = -((x.flatten(1).mean(1) - 0.55) ** 2)
            return torch.stack([torch.ones_like(height), height], 1)

    x = torch.full((1, 1, 2, 2), 128 / 255)
    goal = Untargeted(torch.tensor([0]))
    steps = [BIM(steps=k, step_size=0.04, loss=Margin()) for k in range(1, 6)]
    loss = [float(Pit()(attack(Pit(), x, goal, epsilon=0.5).adversarial)[0, 1]) for attack in steps]
    assert loss == sorted(loss)  # it oscillates around the peak, and never gets worse
    assert loss[-1] == loss[0]


def test_restarts_help_and_only_those_still_in_need_are_restarted(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal, epsilon = Untargeted(labels), 6 / 255
    once = PGD(steps=3)(model, inputs, goal, epsilon=epsilon)
    often = PGD(steps=3, restarts=6)(model, inputs, goal, epsilon=epsilon)
    assert not (once.success & ~often.success).any()
    assert torch.equal(once.backward[once.success], often.backward[once.success])
    failed = ~often.success
    assert failed.any()
    assert often.backward[failed].tolist() == [18] * int(failed.sum())


def test_another_restart_starts_elsewhere(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    seen: list[Tensor] = []
    handle = model.register_forward_hook(lambda _, args, out: seen.append(args[0].detach()))
    PGD(steps=1, restarts=2, early_exit=False)(
        model, inputs[:1], Untargeted(labels[:1]), epsilon=1 / 255
    )
    handle.remove()
    assert not torch.equal(seen[1], seen[3])  # clean, start, its end, start


def test_textbook_restarts_keep_a_success_before_a_failure(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal, epsilon = Untargeted(labels), 6 / 255
    once = PGD(steps=3, early_exit=False)(model, inputs, goal, epsilon=epsilon)
    often = PGD(steps=3, early_exit=False, restarts=6)(model, inputs, goal, epsilon=epsilon)
    assert not (once.success & ~often.success).any()
    assert int(often.success.sum()) >= int(once.success.sum())


def test_a_seed_gives_the_same_images_and_another_seed_others(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    def run(seed: int) -> AttackResult:
        attack = PGD(steps=2, seed=seed, early_exit=False)
        return attack(model, inputs, Untargeted(labels), epsilon=EPSILON)

    assert torch.equal(run(1).adversarial, run(1).adversarial)
    assert not torch.equal(run(1).adversarial, run(2).adversarial)


def test_several_epsilons_are_attacked_apart(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal = Untargeted(labels)
    sweep = PGD(steps=3).sweep(model, inputs, goal, epsilons=[0.02, 0.06])
    for epsilon, result in zip([0.02, 0.06], sweep, strict=True):
        alone = PGD(steps=3)(model, inputs, goal, epsilon=epsilon)
        assert torch.equal(alone.adversarial, result.adversarial)
        assert torch.equal(alone.forward, result.forward)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_they_work_inside_no_grad_and_inference_mode(
    model: nn.Module, inputs: Tensor, labels: Tensor, context: Any
) -> None:
    attack = PGD(steps=2, restarts=2)
    outside = attack(model, inputs, Untargeted(labels), epsilon=EPSILON)
    with context():
        inside = attack(model, Grid(255).snap(inputs), Untargeted(labels.clone()), epsilon=EPSILON)
    assert torch.equal(outside.adversarial, inside.adversarial)


class Dead(nn.Module):
    """The logits do not change with the input; each example's gradient is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.flatten(1).sum(1) * 0 + 2, x.flatten(1).sum(1) * 0], 1)


@pytest.mark.parametrize("make", ATTACKS)
def test_a_gradient_that_is_zero_at_every_step_is_reported(make: Any, inputs: Tensor) -> None:
    goal = Untargeted(torch.zeros(N, dtype=torch.int64))
    for early_exit in (False, True):
        result = make(steps=3, early_exit=early_exit)(Dead(), inputs, goal, epsilon=EPSILON)
        assert result.zero_gradient.all()
        assert not result.success.any()
        if make is not PGD:
            assert torch.equal(result.adversarial, inputs)


def test_a_living_gradient_is_not_reported(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    result = PGD(steps=2)(model, inputs, Untargeted(labels), epsilon=EPSILON)
    assert not result.zero_gradient.any()


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1.0, 1e30])
def test_momentum_is_normalized_at_any_size_of_the_gradient(scale: float) -> None:
    g = torch.tensor([[1.0, -3.0], [0.0, 0.0]])[:, None, None] * scale
    found = normalized(g)
    assert float(found[0].abs().mean()) == pytest.approx(1.0)
    assert found[0, 0, 0, 0] > 0 > found[0, 0, 0, 1]
    assert found[1].tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize("make", ATTACKS)
def test_the_engine_is_attacked_like_any_model(make: Any) -> None:
    engine = Engine(small_program())
    x = torch.rand(32, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    labels = engine(x).argmax(1)
    goal = Untargeted(labels)
    step = FGSM(loss=Margin())(engine, x, goal, epsilon=0.1)
    result = make(steps=10, early_exit=True, loss=Margin())(engine, x, goal, epsilon=0.1)
    assert torch.equal(result.success, engine(result.adversarial).argmax(1) != labels)
    assert int(result.success.sum()) >= int(step.success.sum()) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BIM(steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: BIM(steps=2.0), "steps"),  # type: ignore[arg-type]
        (lambda: BIM(steps=True), "steps"),
        (lambda: PGD(step_size=0.0), "step_size must be a number above 0 and at most 1, got 0"),
        (lambda: PGD(step_size=math.nan), "step_size"),
        (lambda: PGD(step_size="a"), "step_size"),  # type: ignore[arg-type]
        (lambda: PGD(restarts=0), "restarts"),
        (lambda: PGD(restarts=2, random_start=False), "take the same way"),
        (lambda: PGD(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: MIFGSM(decay=-0.1), "decay must be a number of at least 0, got -0.1"),
        (lambda: MIFGSM(decay=math.nan), "decay"),
        (lambda: MIFGSM(decay=math.inf), "decay"),
        (lambda: MIFGSM(transforms=[3]), "transforms"),  # type: ignore[list-item]
    ],
)
def test_options_that_make_no_sense_are_refused(make: Callable[[], Attack], message: str) -> None:
    with pytest.raises(AttackError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_bad_epsilons_and_targets_are_refused(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    def attack(goal: Goal, epsilon: float) -> None:
        PGD()(model, inputs, goal, epsilon=epsilon)

    with pytest.raises(AttackError, match="below one step"):
        attack(Untargeted(labels), 0.001)
    with pytest.raises(AttackError, match="is its own class"):
        attack(Targeted(labels, labels), 0.1)
    with pytest.raises(AttackError, match="5 classes"):
        attack(Targeted(labels + CLASSES, labels), 0.1)


class Spoiled(nn.Module):
    """Good logits for a while, NaN after ``good`` calls."""

    def __init__(self, inner: nn.Module, good: int) -> None:
        super().__init__()
        self.inner, self.good = inner, good

    def forward(self, x: Tensor) -> Tensor:
        self.good -= 1
        logits: Tensor = self.inner(x)
        return logits if self.good >= 0 else logits * math.nan


@pytest.mark.parametrize("good", [0, 1, 3])
def test_nan_logits_are_refused_whenever_they_come(
    model: nn.Module, inputs: Tensor, labels: Tensor, good: int
) -> None:
    with pytest.raises(AttackError, match="NaN or infinite logits"):
        BIM()(Spoiled(model, good), inputs, Untargeted(labels), epsilon=0.02)


def test_probabilities_instead_of_logits_are_warned_about(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    softmax = nn.Sequential(model, nn.Softmax(1))
    with pytest.warns(UserWarning, match="probabilities, not logits"):
        BIM(steps=1)(softmax, inputs, Untargeted(labels), epsilon=0.02)
