"""Attacks on networks whose inputs are no pixels: other ranges, vectors, series."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import CodeGrid, Grid
from hwsim.attacks.evaluate.cross import Crossing, cross_evaluate
from hwsim.attacks.evaluate.schedule import escalate
from hwsim.attacks.evaluate.tally import total
from hwsim.attacks.evaluate.transfer import transfer
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.known import ATTACKS, make_attack
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.pgd import PGD
from hwsim.attacks.random_noise import RandomNoise
from hwsim.compiler.compiler import compile
from hwsim.engine import reference
from hwsim.engine.module import Engine
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.program.wires import Input

N, CLASSES = 6, 4
#: Options that keep a run short; budgets are shares of the input's width, or numbers of values.
SHORT: dict[str, tuple[dict[str, Any], float]] = {
    "fgsm": ({}, 0.2),
    "hfgsm": ({}, 0.2),
    "bim": ({"steps": 4}, 0.2),
    "pgd": ({"steps": 4, "restarts": 2}, 0.2),
    "mifgsm": ({"steps": 3, "transforms": ["ni", "tim", "sim", "dim"]}, 0.2),
    "sfgrm": ({"steps": 2, "samples": 2}, 0.2),
    "jsma": ({"max_distortion": 0.3}, math.inf),
    "hjsma": ({"max_distortion": 0.3, "theta": -0.4}, math.inf),
    "cw-l2": ({"steps": 8, "binary_search_steps": 3, "initial_const": 1.0}, math.inf),
    "cw-l0": ({"steps": 8, "initial_const": 1.0, "largest_const": 4.0}, math.inf),
    "cw-linf": ({"steps": 8, "initial_const": 1.0}, 0.5),
    "apgd": ({"steps": 4, "norm": "l2"}, 0.4),
    "apgd-t": ({"steps": 4, "targets": 2}, 0.2),
    "fmn": ({"steps": 8, "norm": "l1"}, math.inf),
    "ddn": ({"steps": 8}, math.inf),
    "sigma-zero": ({"steps": 8}, math.inf),
    "alma": ({"steps": 8}, math.inf),
    "fab": ({"steps": 6, "norm": "l2"}, math.inf),
    "autoattack": ({"steps": 4, "targets": 2, "queries": 5}, 0.2),
    "square": ({"steps": 15}, 0.2),
    "decision": ({"steps": 1, "evaluations": 10, "tries": 90, "norm": "linf"}, math.inf),
    "noise": ({"draws": 5, "kind": "uniform"}, 0.2),
}


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, CLASSES),
    )


def vectors() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def series() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 6, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 7, CLASSES)
    )


#: What is built, the shape of an input, and its range.
MODELS: dict[str, tuple[Any, tuple[int, ...], float, float]] = {
    "pixels": (images, (2, 6, 6), 0.0, 1.0),
    "images": (images, (2, 6, 6), -1.0, 1.0),
    "far images": (images, (2, 6, 6), -3.0, 5.0),
    "vectors": (vectors, (784,), 0.0, 1.0),
    "far vectors": (vectors, (784,), -3.0, 5.0),
    "series": (series, (3, 17), -1.0, 1.0),
    "bytes": (images, (2, 6, 6), 0.0, 255.0),
}


def network(name: str, bits: int = 8) -> tuple[nn.Module, Engine, Tensor]:
    """The float network, its engine, and inputs over the whole range, both ends included."""
    make, shape, low, high = MODELS[name]
    torch.manual_seed(7)
    module = make().eval()
    draw = torch.Generator().manual_seed(8)
    x = torch.rand(64, *shape, generator=draw) * (high - low) + low
    x.view(-1)[0], x.view(-1)[1] = low, high
    program = compile(module, x, load_config("default").with_bits(bits))
    return module, Engine(program), x[:N]


def made(name: str, engine: Engine, **more: Any) -> tuple[Attack, float]:
    """The attack and its budget in units of the engine's input."""
    options, budget = SHORT[name]
    attack = make_attack(name, space=engine.space, **options, **more)
    if attack.norm != "l0":
        budget *= engine.space.span
    return attack, budget


def test_every_attack_is_tried() -> None:
    assert sorted(SHORT) == sorted(ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", ATTACKS)
def test_results_are_inputs_of_the_engine_within_epsilon(name: str, kind: str) -> None:
    if name in ("square", "decision"):
        pytest.importorskip("art")
    _, engine, x = network(kind)
    labels = judge(engine, x).argmax(1)
    attack, epsilon = made(name, engine)
    result = attack(engine, x, labels, epsilon=epsilon)
    space, (low, high) = engine.space, engine.bounds
    assert result.adversarial.shape == x.shape
    assert torch.equal(result.original, space.snap(x))
    hair = 1e-6 * (high - low)
    assert float(result.adversarial.min()) >= low - hair
    assert float(result.adversarial.max()) <= high + hair
    assert torch.equal(space.snap(result.adversarial), result.adversarial)
    before, after = (engine.grid(t).astype(np.int64) for t in (result.original, result.adversarial))
    moved = np.abs(after - before).reshape(len(x), -1).max(1)
    if attack.norm == "linf" and epsilon < math.inf:
        most = round(attack.effective(epsilon) / engine.step)
        assert most * engine.step <= epsilon * (1 + 1e-5)
        assert moved.max() <= most
    assert result.linf.numpy() == pytest.approx(moved * engine.step, rel=1e-5)
    # It did something, and what it says of it is so.
    assert moved.max() > 0
    logits = reference_logits(engine.program, result.adversarial)
    assert torch.equal(engine.integer_logits(result.adversarial), logits)
    assert torch.equal(result.success, logits.argmax(1) != labels)


def reference_logits(program: Program, x: Tensor) -> Tensor:
    """What the oracle answers, (N, classes) int64, from the values to the logits."""
    width, shape = program.config.act_w, program.input_shape
    rows = []
    for values in x.double().flatten(1).tolist():
        codes = [reference.code(value, program.input, width) for value in values]
        rows.append(reference.run(program, np.array(codes).reshape(shape)).logits)
    return torch.tensor(rows)


def twin(engine: Engine, scale: Fraction, zero: int) -> Engine:
    """The same integers behind codes that mean other values: an affine image of the network."""
    old = engine.program.input
    return Engine(engine.program.replace(input=Input(old.shape, scale, zero)))


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "zero"), [(Fraction(2, 255), 128), (Fraction(8, 255), 96)])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_affine_image_of_a_network_is_attacked_to_the_same_codes(
    name: str, scale: Fraction, zero: int
) -> None:
    if name in ("square", "decision"):
        pytest.importorskip("art")
    _, engine, _ = network("pixels")
    other = twin(engine, scale, zero)
    codes = torch.randint(256, (N, 2, 6, 6), generator=torch.Generator().manual_seed(3))
    codes.view(-1)[0], codes.view(-1)[1] = 0, 255
    x, y = codes.float() / 255, ((codes - zero).double() * float(scale)).float()
    assert np.array_equal(engine.grid(x), other.grid(y))
    labels = judge(engine, x).argmax(1)
    (attack, epsilon), (again, wider) = made(name, engine), made(name, other)
    here, there = attack(engine, x, labels, epsilon=epsilon), again(other, y, labels, epsilon=wider)
    assert np.array_equal(engine.grid(here.adversarial), other.grid(there.adversarial))
    assert not np.array_equal(engine.grid(here.adversarial), engine.grid(x))
    for field in ("success", "forward", "backward", "zero_gradient"):
        assert torch.equal(getattr(here, field), getattr(there, field)), field
    assert there.l2.numpy() == pytest.approx(here.l2.numpy() * other.space.span, rel=1e-4)
    assert torch.equal(here.l0, there.l0)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mifgsm", "cw-l2", "jsma"])
def test_a_float_network_of_another_range_is_attacked_likewise(name: str) -> None:
    module, _, x = network("pixels")
    space = CodeGrid(255, Fraction(4, 255), 127)
    low = space.bounds[0]

    class Wider(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            answer: Tensor = module(((y - low) / 4).clamp(0, 1))
            return answer

    x = Grid(255).snap(x)
    y = space.from_unit(x)
    labels = module(x).argmax(1)
    options, budget = SHORT[name]
    here = make_attack(name, **options)(module, x, labels, epsilon=budget)
    there = make_attack(name, space=space, **options)(
        Wider(), y, labels, epsilon=budget if math.isinf(budget) else 4 * budget
    )
    codes, others = Grid(255).lsb(here.adversarial), space.lsb(there.adversarial)
    # Rounding of floats may turn a sign where a gradient is nearly 0, and no more.
    assert float((codes != others).float().mean()) < 0.02


def test_step_sizes_are_in_units_of_the_input() -> None:
    _, engine, _ = network("far images")
    span = engine.space.span
    one = PGD(steps=3, step_size=0.05 * span, space=engine.space, early_exit=False)
    unit = PGD(steps=3, step_size=0.05, space=engine.space.unit, early_exit=False)
    assert one.in_unit_box().step_size == pytest.approx(unit.step_size)
    with pytest.raises(AttackError, match="step_size must be a number above 0 and at most 8"):
        PGD(step_size=1.01 * span, space=engine.space)
    with pytest.raises(AttackError, match=r"and at most 1, got 1\.5"):
        PGD(step_size=1.5)


def test_starting_images_are_inputs_of_the_same_range() -> None:
    pytest.importorskip("art")
    _, engine, x = network("far vectors")
    labels = judge(engine, x).argmax(1)
    options = SHORT["decision"][0] | {"tries": 1}
    attack = make_attack("decision", space=engine.space, starting_images=x, **options)
    found = attack(engine, x, Untargeted(labels), epsilon=math.inf)
    reached = torch.tensor([bool((labels != label).any()) for label in labels])
    assert bool(reached.any())
    assert torch.equal(found.success, reached)


def test_every_way_of_counting_takes_other_ranges() -> None:
    module, engine, x = network("far vectors")
    labels = judge(engine, x).argmax(1)
    attack, epsilons = FGSM(space=engine.space), [0.1, 1.0, 4.0]
    plain = attack.sweep(engine, x, labels, epsilons=epsilons)
    moved = [int(r.success.sum()) for r in plain]
    models = {"float": module, "engine": engine}
    crossed = total(cross_evaluate(Crossing.of(models, attack, epsilons), x, labels, batch_size=4))
    assert list(crossed.success["engine_engine"]) == moved
    assert crossed.effective_epsilons == tuple(attack.effective(e) for e in epsilons)
    steps = escalate(attack, engine, x, epsilons=epsilons)
    assert steps.success_escalated == list(crossed.success_escalated["engine_engine"])
    carried = transfer(models, x, labels, crafted_on="engine", attack=attack, epsilons=epsilons)
    assert carried.success["engine"] == moved


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_snapping_gives_what_the_engine_reads(bits: int) -> None:
    _, engine, _ = network("far images", bits)
    space = engine.space
    assert isinstance(space, CodeGrid)
    low, high = space.bounds
    draw = torch.Generator().manual_seed(1)
    every = space.value(torch.arange(space.levels + 1))
    ties = every[:-1] + 0.5 * float(space.scale)
    x = torch.cat([torch.rand(4000, generator=draw) * (high - low) + low, every, ties])
    x = x[: len(x) // 72 * 72].view(-1, 2, 6, 6)
    codes = torch.from_numpy(engine.grid(x).transpose(0, 3, 1, 2).astype(np.int64))
    assert torch.equal(space.lsb(x).long(), codes)
    snapped = space.snap(x)
    assert torch.equal(space.snap(snapped), snapped)
    assert torch.equal(space.lsb(snapped).long(), codes)
    unit = space.to_unit(snapped)
    assert torch.equal(unit, space.unit.snap(unit))
    assert torch.equal(space.from_unit(unit), snapped)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_points_between_codes_are_read_as_on_the_unit_grid(bits: int) -> None:
    space = CodeGrid((1 << bits) - 1, Fraction(355, 113 << bits), 3)
    draw = torch.Generator().manual_seed(4)
    u = torch.rand(20_000, generator=draw)
    # Halves of codes are ties, which rounding could break either way.
    u = torch.cat([u, space.unit.snap(u) / 2, torch.tensor([0.5, 1.0, 0.0])])
    assert torch.equal(space.lsb(space.from_unit(u)), space.unit.lsb(u))
    exact = (u.double() * space.levels - space.zero) * float(space.scale)
    hair = 0.01 * float(space.scale) + 2.0**-24 * space.span
    assert float((space.from_unit(u).double() - exact).abs().max()) < hair


@pytest.mark.parametrize(
    ("epsilon", "steps"),
    [(0.5, 63), (2 / 255, 1), (1.999, 254), (2.0, 255), (float(np.float32(34 / 255)), 17)],
)
def test_epsilon_is_in_units_of_the_input(epsilon: float, steps: int) -> None:
    space = CodeGrid(255, Fraction(2, 255), 128)
    assert space.step(epsilon) == steps
    assert space.effective(epsilon) == steps * 2 / 255


def test_refusals_say_the_range() -> None:
    _, engine, x = network("far images")
    labels = judge(engine, x).argmax(1)
    attack = FGSM(space=engine.space)
    low, high = engine.bounds
    told = rf"\[{low:g}, {high:g}\]"
    with pytest.raises(AttackError, match=f"inputs must lie in {told}, these reach from"):
        attack(engine, x * 2, labels, epsilon=1.0)
    with pytest.raises(AttackError, match=f"the width of the input's range {told}, got 9"):
        attack(engine, x, labels, epsilon=9.0)
    with pytest.raises(AttackError, match=f"below one step of the input grid, .* in {told}"):
        attack(engine, x, labels, epsilon=0.01)
    inside = x.clamp(0, 1)
    with pytest.raises(
        AttackError, match=f"takes inputs in {told} .* give the attack space=engine"
    ):
        FGSM()(engine, inside, labels, epsilon=0.1)
    with pytest.raises(AttackError, match="inputs must have shape"):
        attack(engine, x[:, :, :, :, None], labels, epsilon=1.0)


def test_data_that_chose_the_range_is_taken() -> None:
    for name in MODELS:
        _, engine, x = network(name)
        assert torch.isfinite(engine(x)).all()
        assert (
            RandomNoise(draws=1, space=engine.space)(
                engine, x, judge(engine, x).argmax(1), epsilon=0.5 * engine.space.span
            ).adversarial.shape
            == x.shape
        )


def test_a_step_of_a_momentum_attack_does_not_depend_on_what_inputs_are_called() -> None:
    _, engine, x = network("vectors")
    labels = judge(engine, x).argmax(1)
    flat = MIFGSM(steps=3, space=engine.space)(engine, x, labels, epsilon=0.1)
    image = MIFGSM(steps=3, space=engine.space)(engine, x[:, :, None, None], labels, epsilon=0.1)
    assert torch.equal(flat.adversarial, image.adversarial.flatten(1))


def test_pixels_are_shown_to_an_attack_as_they_are() -> None:
    """So that nothing of what it makes of them can differ by a bit."""
    module, engine, x = network("pixels")
    for model in (module, engine):
        attack = FGSM(space=engine.space)
        seen = attack.shown(model, x)
        assert seen[0] is attack
        assert seen[1] is model
        assert seen[2] is x
    assert engine.space == Grid(255)
