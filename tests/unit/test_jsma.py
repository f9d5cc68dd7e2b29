"""JSMA and HJSMA against the published algorithms written out as plain loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hwsim
from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Continuous, Grid
from hwsim.attacks.evaluate.schedule import escalate
from hwsim.attacks.greedy import NOT_SALIENT, REACHED, SPENT
from hwsim.attacks.jsma import HJSMA, JSMA
from hwsim.attacks.saliency import (
    Output,
    derivatives,
    differentiating,
    forward,
    jacobian,
    saliency,
)
from hwsim.engine.module import Engine

N, CLASSES, SHAPE = 12, 5, (2, 4, 4)
VALUES = math.prod(SHAPE)


@pytest.fixture
def inputs() -> Tensor:
    return Grid(255).snap(torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(2)))


@pytest.fixture
def model(inputs: Tensor) -> nn.Module:
    """A random network that has something to say for every class."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        last = nn.Linear(96, CLASSES)
        net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), last).eval()
    with torch.no_grad():
        last.bias -= net(inputs).mean(0)
    return net


@pytest.fixture
def labels(model: nn.Module, inputs: Tensor) -> Tensor:
    return judge(model, inputs).argmax(1)


def targeted(labels: Tensor) -> Targeted:
    return Targeted((labels + 1) % CLASSES, labels)


def rows(model: nn.Module, x: Tensor) -> Tensor:
    """(classes, M) Jacobian at one image, straight from autograd."""
    full = torch.autograd.functional.jacobian(lambda flat: model(flat.view(1, *SHAPE))[0], x)
    assert isinstance(full, Tensor)
    return full.reshape(-1, VALUES)


def by_hand(attack: JSMA, model: nn.Module, image: Tensor, source: int, target: int | None) -> Any:
    """Papernot's Algorithm 3 for one image, pair after pair: (image, changed values)."""
    x, made, changed = image.flatten().clone(), 0, set()
    sign = 1.0 if attack.theta > 0 else -1.0
    aim = source if target is None else target
    if target is None:
        sign = -sign
    step = round(abs(attack.theta) * 255) / 255 * (1 if attack.theta > 0 else -1)
    while made < attack.iterations(VALUES):
        answer = int(model(x.view(1, *SHAPE)).argmax())
        if answer != source if target is None else answer == target:
            break
        j = sign * rows(model, x)
        u, v = j[aim], -(j.sum(0) - j[aim])
        free = [i for i in range(VALUES) if (x[i] < 0.99 if attack.theta > 0 else x[i] > 0.01)]
        best, chosen = 0.0, None
        for i in free:
            for k in free:
                alpha, beta = float(u[i] + u[k]), float(v[i] + v[k])
                if i < k and alpha > 0 and beta > 0 and alpha * beta > best:
                    best, chosen = alpha * beta, (i, k)
        if chosen is None:
            break
        for i in chosen:
            x[i] = (x[i] + step).clamp(0, 1)
        changed |= set(chosen)
        made += 1
    return x.view(SHAPE), len(changed)


@pytest.mark.slow
@pytest.mark.parametrize("theta", [1.0, -1.0, 0.4, -0.2])
@pytest.mark.parametrize("goal", ["targeted", "untargeted"])
def test_jsma_is_the_published_algorithm(
    model: nn.Module, inputs: Tensor, labels: Tensor, theta: float, goal: str
) -> None:
    attack = JSMA(output="logits", theta=theta, max_distortion=0.4)
    aim: Goal = targeted(labels) if goal == "targeted" else Untargeted(labels)
    result = attack(model, inputs, aim, epsilon=math.inf)
    for i in range(N):
        target = int(labels[i] + 1) % CLASSES if goal == "targeted" else None
        image, changed = by_hand(attack, model, inputs[i], int(labels[i]), target)
        torch.testing.assert_close(result.adversarial[i], image, atol=1e-6, rtol=0)
        assert int(result.l0[i]) == changed
    assert int(result.success.sum()) > 0


def test_hjsma_changes_the_most_salient_elements_of_one_map(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    attack, goal = HJSMA(output="logits", max_distortion=1.0, stop=False), targeted(labels)
    for i in range(N):
        j = rows(model, inputs[i].flatten())
        t = int(goal.loss_labels[i])
        others = j.sum(0) - j[t]
        score = torch.where((j[t] < 0) | (others >= 0), 0.0, j[t].abs())
        score[inputs[i].flatten() >= 0.99] = 0.0
        order = [int(k) for k in score.argsort(descending=True) if score[k] > 0]
        for count in (1, 3, VALUES):
            part = Targeted(goal.loss_labels[i : i + 1], labels[i : i + 1])
            result = attack(model, inputs[i : i + 1], part, epsilon=count)
            moved = (result.adversarial != inputs[i]).flatten().nonzero().flatten()
            assert set(moved.tolist()) == set(order[:count])
            assert result.backward.tolist() == [2]
            assert result.forward.tolist() == [2]  # the clean image, and the final check


def test_hjsma_with_a_bound_is_algorithm_1(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    counts = list(range(1, 13))
    grown = escalate(
        HJSMA(max_distortion=1.0, stop=False), model, inputs, epsilons=counts,
        targets=targeted(labels).loss_labels,
    )  # fmt: skip
    bounded = HJSMA(max_distortion=1.0)(model, inputs, targeted(labels), epsilon=counts[-1])
    assert torch.equal(grown.success, bounded.success)
    assert 0 < int(grown.success.sum()) < N
    first = grown.epsilon[grown.success]
    assert torch.equal(bounded.l0[bounded.success], first)


def test_the_saliency_map_is_equation_7() -> None:
    u = torch.tensor([2.0, -1.0, 3.0, 0.0, 4.0])
    v = torch.tensor([5.0, 5.0, -1.0, 5.0, 0.0])
    assert saliency(u, v, "target").tolist() == [2.0, 0.0, 0.0, 0.0, 0.0]
    assert saliency(u, v, "product").tolist() == [10.0, 0.0, 0.0, 0.0, 0.0]
    with pytest.raises(AttackError, match="unknown score"):
        saliency(u, v, "sum")  # type: ignore[arg-type]


def test_derivatives_are_rows_of_the_jacobian(model: nn.Module, inputs: Tensor) -> None:
    classes = torch.arange(N) % CLASSES
    with differentiating(model):
        leaf, logits = forward(model, inputs)
        own, others = derivatives(leaf, logits, classes)
    full = torch.cat(list(jacobian(model, inputs, chunk=5)))
    assert full.shape == (N, CLASSES, VALUES)
    for i in range(N):
        j = rows(model, inputs[i].flatten())
        torch.testing.assert_close(full[i], j)
        torch.testing.assert_close(own[i], j[classes[i]])
        torch.testing.assert_close(others[i], j.sum(0) - j[classes[i]])


def test_probabilities_give_the_softmax_map_up_to_its_positive_factor(
    model: nn.Module, inputs: Tensor
) -> None:
    classes = torch.full((N,), 3)
    with differentiating(model):
        leaf, logits = forward(model, inputs)
        own, others = derivatives(leaf, logits, classes, "probabilities")
    p = logits.softmax(1)[:, 3].detach()
    assert torch.equal(own, -others)
    for i in range(N):
        x = inputs[i : i + 1].clone().requires_grad_(True)
        (true,) = torch.autograd.grad(model(x).softmax(1)[0, 3], x)
        torch.testing.assert_close(own[i] * p[i] * (1 - p[i]), true.flatten(), atol=1e-6, rtol=1e-3)


def test_a_sure_network_does_not_hide_its_probabilities(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 4096 * model(x)

    attack = JSMA(max_distortion=0.5)
    plain = attack(Sure(), inputs, Untargeted(labels), epsilon=math.inf)
    assert not plain.zero_gradient.any()
    assert plain.success.all()


# ---------------------------------------------------------------- the search


class Dimming(nn.Module):
    """Class 1 only falls where any value rises: no pair is salient towards it."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.flatten(1).sum(1, keepdim=True)
        return torch.cat([total + 1, -total], 1)


def test_a_map_of_zeros_ends_the_search_and_no_pixel_is_changed() -> None:
    x, goal = torch.full((2, 1, 3, 3), 0.2), Targeted(torch.ones(2).long(), torch.zeros(2).long())
    for attack in (JSMA(max_distortion=1.0), HJSMA(max_distortion=1.0)):
        search = attack.search(Dimming(), x, goal)
        assert torch.equal(search.images(math.inf), x)
        assert search.ending.tolist() == [NOT_SALIENT] * 2
        assert not search.zero_gradient.any()
    # Lowering them does help, until all are black.
    down = JSMA(theta=-1.0, max_distortion=1.0)(Dimming(), x, goal, epsilon=math.inf)
    assert down.l0.tolist() == [8.0, 8.0]
    assert not down.success.any()


def test_a_constant_network_has_no_gradient_and_says_so() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0.0 * x.flatten(1)[:, :3] + torch.tensor([2.0, 0.0, 0.0])

    x = torch.full((2, 1, 3, 3), 0.5)
    result = JSMA(max_distortion=0.5)(Constant(), x, Untargeted(torch.tensor([0, 1])), epsilon=4)
    assert result.zero_gradient.tolist() == [True, False]  # the second is wrong from the start
    assert result.success.tolist() == [False, True]
    assert torch.equal(result.adversarial, result.original)


def test_saturated_values_are_never_chosen(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    x = inputs.clone()
    x[:, 0] = 254 / 255
    result = JSMA(max_distortion=0.5)(model, x, targeted(labels), epsilon=math.inf)
    assert torch.equal(result.adversarial[:, 0], x[:, 0])
    assert float(result.l0.max()) > 0


@pytest.mark.parametrize("theta", [0.5, -0.5])
def test_theta_gives_the_direction_and_whole_steps(
    model: nn.Module, inputs: Tensor, labels: Tensor, theta: float
) -> None:
    result = JSMA(theta=theta, max_distortion=0.5)(model, inputs, targeted(labels), epsilon=8)
    moved = Grid(255).lsb(result.adversarial) - Grid(255).lsb(inputs)
    assert float(result.l0.max()) > 0
    assert bool((moved * math.copysign(1, theta) >= 0).all())
    free = (result.adversarial > 0) & (result.adversarial < 1) & (moved != 0)
    assert set((moved[free].abs() % 127).tolist()) <= {0}


def test_a_budget_is_the_beginning_of_the_search_whatever_was_asked_before(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    attack, goal = JSMA(theta=0.5, max_distortion=0.5), targeted(labels)
    search = attack.search(model, inputs, goal)
    budgets = [math.inf, 3, 8, 1, 5, 8]
    there = {k: (search.images(k), search.passes(k)) for k in budgets}
    for k in budgets:
        alone = attack.search(model, inputs, goal)
        assert torch.equal(alone.images(k), there[k][0])
        for once, late in zip(alone.passes(k), there[k][1], strict=True):
            assert torch.equal(once, late)
        changed = (there[k][0] != inputs).flatten(1).sum(1)
        assert float(changed.max()) <= k


@pytest.mark.parametrize(("output", "products"), [("logits", 2), ("probabilities", 1)])
def test_passes_count_what_each_example_needed(
    model: nn.Module, inputs: Tensor, labels: Tensor, output: Output, products: int
) -> None:
    calls = [0]
    model.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    for i in range(4):
        calls[0] = 0
        one = targeted(labels)[torch.tensor([i])]
        result = JSMA(max_distortion=0.5, output=output)(model, inputs[i : i + 1], one, epsilon=6)
        assert int(result.forward) == calls[0]
        assert int(result.backward) % products == 0
        assert int(result.backward) <= products * calls[0]


def test_stopping_takes_the_first_image_that_reaches_the_goal(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal = targeted(labels)
    stopped = JSMA(max_distortion=0.6).search(model, inputs, goal)
    on = JSMA(max_distortion=0.6, stop=False).search(model, inputs, goal)
    final = stopped.images(math.inf)
    on.images(math.inf)
    won = stopped.ending == REACHED
    assert int(won.sum()) > 0
    assert bool((on.iterations >= stopped.iterations).all())
    assert REACHED not in on.ending.tolist()
    assert SPENT in on.ending.tolist()
    for k in range(0, 19, 2):
        reached = goal.is_adversarial(judge(model, on.images(k)))
        assert not bool((reached & won & (stopped.changed > k)).any())
    assert torch.equal(goal.is_adversarial(judge(model, final)), won)


def test_the_batch_does_not_matter(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    for attack in (JSMA(max_distortion=0.5), JSMA(max_distortion=0.5, block=3), HJSMA()):
        whole = attack(model, inputs, targeted(labels), epsilon=9)
        parts = attack(model, inputs, targeted(labels), epsilon=9, batch_size=5)
        assert torch.equal(whole.adversarial, parts.adversarial)
        assert torch.equal(whole.forward, parts.forward)
        assert torch.equal(whole.backward, parts.backward)


def test_a_block_ends_where_the_goal_is_reached_and_saves_passes(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    goal = targeted(labels)
    single = JSMA(max_distortion=0.6)(model, inputs, goal, epsilon=math.inf)
    search = JSMA(max_distortion=0.6, block=4).search(model, inputs, goal)
    final = search.images(math.inf)
    won = search.ending == REACHED
    assert torch.equal(goal.is_adversarial(judge(model, final)), won)
    assert int(won.sum()) > 0
    changed = (final != inputs).flatten(1).sum(1)
    assert torch.equal(changed, search.changed)
    before = search.images(int(search.changed.max()) - 1)
    longest = (search.changed == search.changed.max()) & won
    assert not bool((goal.is_adversarial(judge(model, before)) & longest).any())
    assert int(search.passes(math.inf)[1].sum()) < int(single.backward.sum())


def test_an_untargeted_attack_can_take_the_runner_up(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    second = judge(model, inputs).scatter(1, labels[:, None], -math.inf).argmax(1)
    ours = JSMA(untargeted="runner-up", stop=False)(model, inputs, Untargeted(labels), epsilon=4)
    same = JSMA(stop=False)(model, inputs, Targeted(second, labels), epsilon=4)
    assert torch.equal(ours.adversarial, same.adversarial)


def test_images_stay_on_their_grid_or_in_the_continuum(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    grid = Grid.of_bits(4)
    coarse = JSMA(theta=0.3, space=grid)(model, inputs, targeted(labels), epsilon=4)
    assert torch.equal(grid.snap(coarse.adversarial), coarse.adversarial)
    free = HJSMA(theta=0.3, space=Continuous())(model, inputs, targeted(labels), epsilon=4)
    moved = (free.adversarial - inputs)[free.adversarial != inputs]
    assert float(moved.max()) == pytest.approx(0.3, abs=1e-6)


def test_gradients_are_found_where_autograd_is_off_and_flags_return(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    model.train()
    with torch.inference_mode():
        off = JSMA()(model, inputs, Untargeted(labels), epsilon=4)
    on = JSMA()(model, inputs, Untargeted(labels), epsilon=4)
    assert torch.equal(off.adversarial, on.adversarial)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_the_engine_is_attacked_through_its_own_derivatives(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    engine = Engine(hwsim.compile(model, inputs))
    own = engine(inputs).argmax(1)
    for attack in (JSMA(max_distortion=0.5), HJSMA(max_distortion=0.5)):
        result = attack(engine, inputs, Untargeted(own), epsilon=math.inf)
        assert torch.equal(engine(result.adversarial).argmax(1) != own, result.success)
        assert int(result.success.sum()) > N // 2


def test_three_channels_of_32_pixels_work() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(196, 10)
        )
        x = torch.rand(3, 3, 32, 32)
    own = judge(wide, Grid(255).snap(x)).argmax(1)
    result = JSMA(max_distortion=0.02)(wide, x, Untargeted(own), epsilon=math.inf)
    assert float(result.l0.max()) <= 3072 * 0.02
    assert int(result.success.sum()) > 0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"theta": 0.0}, "theta must lie in"),
        ({"theta": 1.5}, "theta must lie in"),
        ({"theta": math.nan}, "theta must lie in"),
        ({"theta": "1"}, "theta must be a number"),
        ({"theta": True}, "theta must be a number"),
        ({"theta": 0.001}, "below one step of the input grid"),
        ({"max_distortion": 0.0}, "max_distortion is a share"),
        ({"max_distortion": 14.5}, "max_distortion is a share"),
        ({"max_distortion": math.nan}, "max_distortion is a share"),
        ({"max_distortion": None}, "max_distortion must be a number"),
        ({"block": 0}, "block must be a number of iterations"),
        ({"block": 2.0}, "block must be a number of iterations"),
        ({"output": "softmax"}, "unknown output 'softmax': choose from logits, probabilities"),
        ({"untargeted": "random"}, "unknown untargeted 'random'"),
    ],
)
@pytest.mark.parametrize("kind", [JSMA, HJSMA])
def test_options_that_make_no_sense_are_refused(
    kind: type[JSMA], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(AttackError, match=says) as caught:
        kind(**options)
    assert "\n" not in str(caught.value)


def test_goals_and_budgets_that_make_no_sense_are_refused(
    model: nn.Module, inputs: Tensor, labels: Tensor
) -> None:
    with pytest.raises(AttackError, match="is its own class"):
        JSMA()(model, inputs, Targeted(labels, labels), epsilon=4)
    with pytest.raises(AttackError, match="but the model has 5 classes"):
        JSMA()(model, inputs, Targeted(torch.full((N,), 7), labels), epsilon=4)
    with pytest.raises(AttackError, match="whole number of values"):
        JSMA()(model, inputs, targeted(labels), epsilon=2.5)
    with pytest.raises(AttackError, match=r"allows no change: give at least 0\.0625"):
        JSMA(max_distortion=0.01)(model, inputs, targeted(labels), epsilon=4)


def test_a_model_without_a_useful_gradient_is_refused(inputs: Tensor) -> None:
    class Detached(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().flatten(1)[:, :CLASSES]

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first = x.flatten(1)[:, :CLASSES]
            return torch.sqrt(first * 0.0) + first

    goal = Untargeted(inputs.flatten(1)[:, :CLASSES].argmax(1))
    with pytest.raises(AttackError, match="gives no gradient"):
        JSMA()(Detached(), inputs, goal, epsilon=4)
    with pytest.raises(AttackError, match="is not finite"):
        JSMA()(Broken(), inputs, goal, epsilon=4)


def test_a_block_in_which_all_images_end_without_a_salient_pair_is_an_end(inputs: Tensor) -> None:
    constant = nn.Sequential(nn.Flatten(), nn.Linear(VALUES, CLASSES)).requires_grad_(False)
    for weight in constant.parameters():
        weight.zero_()
    goal = Targeted(torch.ones(N, dtype=torch.int64), torch.zeros(N, dtype=torch.int64))
    for attack in (JSMA(block=3), HJSMA(block=3)):
        found = attack(constant, inputs, goal, epsilon=math.inf)
        assert not bool(found.success.any())
        assert bool((found.adversarial == inputs).all())
