"""The attack on latency: what it returns is what the engine takes longest for, and allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.latency import Latency, LatencyResult, Observed
from hwsim.compiler.compiler import compile
from hwsim.engine.cycles import timing_of
from hwsim.engine.density import Columns
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from tests.images import residual_program, small_program

TINY = load_config("tiny").replace(skip=True)


def pictures(count: int = 8, shape: tuple[int, ...] = (1, 6, 6), seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def engine() -> Engine:
    """1x6x6 -> conv, pool, two fc -> 3 classes, zeros skipped."""
    return Engine(small_program(TINY))


def cost(engine: Engine, x: Tensor) -> np.ndarray:
    """What the engine's counters say, START included."""
    return engine.cycles(x).sum(1) + 1


def layers(machine: SkippingMachine) -> dict[int, Columns]:
    return {one.layer: one for one in machine.columns}


def attacked(engine: Engine, x: Tensor, epsilon: float = 0.2, **options: Any) -> LatencyResult:
    machine = SkippingMachine(engine)
    return Latency(space=engine.space, **options)(machine, x, epsilon=epsilon)


@pytest.mark.parametrize(("steps", "queries"), [(10, 0), (0, 40), (10, 40), (0, 0)])
def test_the_cycles_are_those_of_the_images_and_never_fewer(
    engine: Engine, steps: int, queries: int
) -> None:
    x = engine.space.snap(pictures())
    found = attacked(engine, x, steps=steps, queries=queries)
    assert np.array_equal(found.cost.numpy(), cost(engine, found.images))
    assert np.array_equal(found.climbed.numpy(), cost(engine, found.before))
    assert np.array_equal(found.clean.numpy(), cost(engine, x))
    assert bool((found.clean <= found.climbed).all())
    assert bool((found.climbed <= found.cost).all())
    assert bool((found.cost > found.clean).any()) == (steps + queries > 0)
    assert bool((found.cost > found.climbed).any()) == (queries > 0)
    answers = engine(found.images).argmax(1) == engine(x).argmax(1)
    assert torch.equal(found.kept, answers)
    assert found.looks == 1 + (steps + 1 if steps else 0) + queries


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 1.0])
def test_images_stay_in_the_ball_the_box_and_on_the_grid(engine: Engine, epsilon: float) -> None:
    x = engine.space.snap(pictures())
    found = attacked(engine, x, epsilon, queries=30)
    for images in (found.images, found.before):
        assert float((images - x).abs().max()) <= epsilon + 1e-6
        assert float(images.min()) >= 0.0
        assert float(images.max()) <= 1.0
        assert torch.equal(engine.space.snap(images), images)


def test_inputs_that_are_no_pixels_are_attacked_on_their_own_codes() -> None:
    engine = Engine(residual_program(TINY))
    low, high = engine.bounds
    x = engine.space.snap(low + (high - low) * pictures())
    found = attacked(engine, x, 0.3, queries=30)
    assert float((found.images - x).abs().max()) <= 0.3 + 1e-6
    assert torch.equal(engine.space.snap(found.images), found.images)
    assert np.array_equal(found.cost.numpy(), cost(engine, found.images))


def test_answers_are_kept_where_that_is_asked_for_and_cost_something(engine: Engine) -> None:
    x = engine.space.snap(pictures(40))
    free = attacked(engine, x, 0.5, queries=40)
    bound = attacked(engine, x, 0.5, queries=40, keep_answer=True)
    assert not bool(free.kept.all()), "nothing to keep: the test says nothing"
    assert torch.equal(engine(bound.images).argmax(1), engine(x).argmax(1))
    assert bool((bound.cost >= bound.clean).all())
    assert bool((bound.cost > bound.clean).any())


def test_the_same_seed_finds_the_same_in_any_batch(engine: Engine) -> None:
    x = pictures()
    whole = attacked(engine, x, seed=3)
    parts = [attacked(engine, one, seed=3).images for one in x.split(3)]
    assert torch.equal(whole.images, torch.cat(parts))
    assert not torch.equal(whole.images, attacked(engine, x, seed=4).images)


def test_no_epsilon_is_no_attack(engine: Engine) -> None:
    x = engine.space.snap(pictures())
    found = attacked(engine, x, 0.0)
    assert torch.equal(found.images, x)
    assert found.looks == 1


# ---------------------------------------------------------------- a known optimum


def threshold_network(classes: int = 3) -> tuple[Engine, nn.Sequential]:
    """Activation (y, x) is above 0 where pixel (y, x) is above one half."""
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.fill_(-0.5)
    ramp = torch.linspace(0, 1, 256).reshape(4, 1, 8, 8)
    return Engine(compile(module.eval(), ramp, TINY)), module


def test_the_optimum_is_found_where_it_is_known() -> None:
    """Pixels within ε below the threshold can be lifted over it, darker ones cannot."""
    engine, _ = threshold_network()
    x = torch.full((3, 1, 8, 8), 0.45)
    x[1, 0, :4] = 0.2
    x[2] = 0.2
    best = x.clone()
    best[x == 0.45] = 0.55
    found = attacked(engine, x, 0.1, steps=10, queries=0)
    assert np.array_equal(found.cost.numpy(), cost(engine, best))
    worst = SkippingMachine(engine).worst.cycles[0]
    assert found.cost[0] == worst > found.cost[1] > found.cost[2] == found.clean[2]


def test_a_density_of_codes_has_no_slope_where_all_is_zero() -> None:
    """The published density lifts nothing there; the search on the counter still does.

    Not from a map of zeros alone: its one entry is made a cycle later than a first that is none.
    """
    engine, _ = threshold_network()
    x = torch.full((2, 1, 8, 8), 0.45)
    x[:, :, 0, 0] = 0.6
    machine = SkippingMachine(engine, smooth="codes")
    steps = Latency(steps=10, queries=0)(machine, x, epsilon=0.1)
    assert torch.equal(steps.cost, steps.clean)
    search = Latency(steps=10, queries=400)(machine, x, epsilon=0.1)
    assert bool((search.cost > search.clean).all())


def test_energy_is_another_objective(engine: Engine) -> None:
    x = engine.space.snap(pictures(20))
    machine = SkippingMachine(engine, "energy")
    found = Latency(queries=60)(machine, x, epsilon=0.3)
    assert np.array_equal(found.cost.numpy(), machine.costs(found.images).energy)
    timing = timing_of(engine.program)
    full = timing.full()
    for one in (one for one in machine.columns if one.layer in timing.skipping):
        less = {n: mask.copy() for n, mask in full.items()}
        less[one.layer][0, 3] = False
        saved = timing.energy_nj(full, 1) - timing.energy_nj(less, 1)
        assert saved[0] == pytest.approx(one.costs[3])
    assert bool((found.cost > found.clean).any())


# ---------------------------------------------------------------- refusals


def test_what_cannot_depend_on_the_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"'tiny' skips no zeros.*skip = true"):
        SkippingMachine(Engine(small_program()))
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    program = compile(module.eval(), pictures(), TINY)
    with pytest.raises(InputError, match="no fully connected layer of this network has a fan-in"):
        SkippingMachine(Engine(program))
    short = small_program(TINY.replace(skip_columns=1, skip_masks=1))
    with pytest.raises(InputError, match="of at most 1 "):
        SkippingMachine(Engine(short))
    with pytest.raises(InputError, match="unknown objective 'x': choose from cycles, energy"):
        SkippingMachine(Engine(small_program(TINY)), "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps"),
        ({"queries": 1.5}, "queries"),
        ({"seed": -1}, "seed"),
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": 2.0}, "step_size"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AttackError, match=message):
        Latency(**options)


def test_inputs_and_budgets_that_make_no_sense_are_refused(engine: Engine) -> None:
    for epsilon in (-0.1, 1.5, float("nan"), float("inf"), 0.001):
        with pytest.raises(AttackError, match="epsilon"):
            attacked(engine, pictures(), epsilon)
    with pytest.raises(AttackError, match="inputs must lie in"):
        attacked(engine, 2 * pictures())


def test_any_machine_can_be_slowed_down() -> None:
    """One whose cost is the sum of the pixels: the optimum is the upper face of the ball."""

    class Sum:
        model = nn.Flatten()

        def look(self, x: Tensor, gradient: bool = False) -> Observed:
            total = x.double().sum((1, 2, 3))
            answers = torch.zeros(len(x), dtype=torch.int64)
            return Observed(total, answers, torch.ones_like(x) if gradient else None)

    x = (pictures() * 255).round() / 255
    found = Latency(queries=0)(Sum(), x, epsilon=0.2)
    assert torch.allclose(found.images, (x + 51 / 255).clamp(max=1.0))


def test_programs_keep_their_values(engine: Engine) -> None:
    """Skipping changes no logit, so that images found here are those of the other engine, too."""
    plain: Program = engine.program.skipping(False)
    x = pictures()
    assert torch.equal(Engine(plain)(x), engine(x))
