"""The density of skipping layers: its value by its formula, its gradient by autograd in float."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.engine.density import Columns, Density, _Read
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.runs.float_density import FloatDensity
from tests.images import residual_program, small_program

FINE = load_config("default").with_bits(16)


def pictures(program: Program, count: int = 6, seed: int = 0) -> Tensor:
    low, high = (float(end) for end in program.input.bounds(program.config.act_max))
    draw = torch.rand(count, *program.input_shape, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * draw


def two_layers(bias: float = 0.0) -> nn.Sequential:
    """Convolution, ReLU, pool, two fc; some sums are negative."""
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4 * 4 * 4, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip
    with torch.no_grad():
        module[0].bias += bias
    return module.eval()


def fc_columns(program: Program, seed: int = 1) -> list[Columns]:
    """Costs drawn for every fc layer."""
    noise = np.random.default_rng(seed)
    return [
        Columns(number, noise.uniform(1, 9, layer.fan_in))
        for number, layer in enumerate(program.layers)
        if getattr(layer, "kind", "") == "fc"
    ]


@pytest.mark.parametrize("make", [small_program, residual_program])
def test_a_seed_at_the_last_map_is_the_seed_at_the_logits_one_layer_down(make: object) -> None:
    program: Program = make()  # type: ignore[operator]
    engine = Engine(program)
    tape = engine.datapath.run(engine.grid(pictures(program)), states=True)
    seed = np.random.default_rng(0).normal(size=(6, program.classes)).astype(np.float32)
    (chunk,) = tape.chunks
    last, pull = engine.datapath.stages[-1], engine.pullback.pulls[-1]
    (back,) = pull(seed.reshape(6, 1, 1, -1), None)
    (place,) = last.sources
    assert program.maps[place.map].shape[0] == back.shape[3]
    found = engine.pullback.from_maps({place.map: back}, chunk.states)
    assert np.array_equal(found, engine.pullback.run(seed, tape))
    assert found.any()


def test_codes_count_as_their_formula_says() -> None:
    program = small_program()
    engine, x = Engine(program), pictures(program)
    columns = fc_columns(program)
    found, _ = Density(engine, columns, "codes", width=3.0)(x)
    maps = engine.feature_maps(x)
    read = {2: maps[-2], 3: maps[-1]}
    expected = np.zeros(len(x))
    for one in columns:
        codes = read[one.layer].reshape(len(x), -1).astype(np.float64)
        expected += codes**2 / (codes**2 + 9.0) @ one.costs
    assert np.allclose(found.numpy(), expected, rtol=1e-5)


def in_float(module: nn.Sequential, program: Program, columns: list[Columns], x: Tensor) -> Tensor:
    """The logistic density of the float network, in codes of the program."""
    wide = module.double()
    first = F.max_pool2d(wide[0](x.double()), 2).flatten(1)
    second = wide[4](F.relu(first))
    total = torch.zeros(len(x), dtype=torch.float64)
    for one, sums in zip(columns, (first, second), strict=True):
        codes = sums / program.numbers[one.layer][0].scale
        total += torch.sigmoid(codes / 500.0) @ torch.from_numpy(one.costs)
    return total


def test_the_gradient_of_sums_is_that_of_the_float_network() -> None:
    module = two_layers()
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    program = compile(module, images, FINE)
    engine, columns = Engine(program), fc_columns(program)
    value, gradient = Density(engine, columns, "sums", width=500.0)(images)
    x = engine.space.snap(images).double().requires_grad_()
    expected = in_float(module, program, columns, x)
    (by_float,) = torch.autograd.grad(expected.sum(), x)
    assert torch.allclose(value.double(), expected.detach(), rtol=1e-3)
    error = (gradient.double() - by_float).abs().max() / by_float.abs().max()
    assert error < 2e-3


def test_sums_move_what_is_zero_and_codes_do_not() -> None:
    """All activations of the layer are 0: only in front of the clamp is there a slope."""
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.fill_(-0.5)
    program = compile(module, torch.linspace(0, 1, 64).reshape(4, 1, 4, 4), load_config("tiny"))
    engine, columns = Engine(program), fc_columns(program)
    dark = torch.full((2, 1, 4, 4), 0.45)
    assert not engine.feature_maps(dark)[0].any()
    assert not Density(engine, columns, "codes")(dark)[1].any()
    assert bool((Density(engine, columns, "sums")(dark)[1] > 0).all())
    assert bool((Density(engine, columns, "sums")(0.0 * dark)[1] > 0).all())


def test_the_density_of_float_is_its_formula_and_gradient() -> None:
    module = two_layers()
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    program = compile(module, images, FINE)
    columns = fc_columns(program)
    value, gradient = FloatDensity(module, program, columns, width=300.0)(images)
    x = images.clone().requires_grad_()
    first = F.max_pool2d(F.relu(module[0](x)), 2).flatten(1)
    second = F.relu(module[4](first))
    total = torch.zeros(len(x))
    for one, read in zip(columns, (first, second), strict=True):
        square = (read / program.numbers[one.layer][0].scale) ** 2
        total = total + square / (square + 300.0**2) @ torch.from_numpy(one.costs).float()
    (expected,) = torch.autograd.grad(total.sum(), x)
    assert torch.allclose(value, total.detach(), rtol=1e-4)
    assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    assert not any(one._forward_pre_hooks for one in module.modules())


def test_what_makes_no_sense_is_refused() -> None:
    program = small_program()
    engine = Engine(program)
    with pytest.raises(InputError, match="unknown density 'x': choose from sums, codes"):
        Density(engine, fc_columns(program), "x")  # type: ignore[arg-type]
    for width in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="must be above 0"):
            Density(engine, fc_columns(program), width=width)
    with pytest.raises(InputError, match="no fc layer that reads 27 values"):
        FloatDensity(nn.Linear(3, 4), program, fc_columns(program))


def test_lanes_that_are_taken_together_are_left_out_together() -> None:
    random = np.random.default_rng(0)
    costs = np.repeat(random.random((3, 2, 1)), 5, 1).reshape(3, 2, 5)[:, :, :1].repeat(5, 2)
    filled = random.random((2, 3, 5, 2)).astype(np.float32)
    ones = np.ones_like(filled)
    read = _Read(None, costs.transpose(0, 2, 1).astype(np.float32), 2, None, 1.0)  # type: ignore[arg-type]
    value, slope = read.weighed(filled, ones)
    expected = sum(
        read.costs[:, left] * (1 - (1 - filled[:, :, left : left + 2]).prod(2))
        for left in (0, 2, 4)
    )
    assert value == pytest.approx(expected.sum((1, 2)), rel=1e-5)
    for x in range(5):
        more = filled.copy()
        more[:, 1, x, 0] += 1e-3
        grown = (read.weighed(more, ones)[0] - value) / 1e-3
        assert grown == pytest.approx(slope[:, 1, x, 0], rel=2e-2, abs=2e-3)
