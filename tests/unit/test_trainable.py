"""Hardware in the loop: the Engine's forward to the bit, and the gradient of its weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.pgd import PGD
from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.engine.pulls import pull_of
from hwsim.engine.weight_gradient import Gradients, gradients
from hwsim.errors import InputError
from hwsim.models.layers import HashConv2d, HashLinear, compress
from hwsim.models.loop import accuracy, train
from hwsim.models.recipe import Recipe
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer, PoolLayer
from hwsim.program.program import Program
from hwsim.training.trainable import TrainableEngine
from tests.rounding import gamma, roundings


def plain() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * 4, 12),
        nn.ReLU(),
        nn.Linear(12, 5),
    )


def with_statistics(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data = torch.tensor([1.0, -0.7, 0.4, 2.0, 1.3, -1.0, 0.8, 0.9])
            part.bias.data = torch.linspace(-0.2, 0.3, 8)
            part.running_mean = torch.linspace(-0.1, 0.1, 8)
            part.running_var = torch.linspace(0.5, 1.5, 8)
    return module.eval()


def single() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 12 * 12, 5))


NETWORKS = {
    "plain": plain,
    "hashed": lambda: compress(plain(), 1 / 4),
    "banked": lambda: compress(plain(), 1 / 2, "banked", hash_banks=4),
    "single": single,
}


@pytest.fixture(params=NETWORKS)
def module(request: pytest.FixtureRequest) -> nn.Module:
    return with_statistics(NETWORKS[request.param]())


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 2, 12, 12, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_before_the_first_step_it_is_what_compile_makes(module: nn.Module, bits: int) -> None:
    config = load_config("tiny").with_bits(bits)
    program = compile(module, images(), config)
    ours = TrainableEngine(module, images(), config)
    for a, b in zip(program.mac_layers, ours.program().mac_layers, strict=True):
        assert (a.name, a.scale, a.zero) == (b.name, b.scale, b.zero)
        assert np.array_equal(a.weight_scale, b.weight_scale)
        for words in ("weights", "multiplier", "shift", "bias"):
            assert np.array_equal(getattr(a, words), getattr(b, words))
    assert torch.equal(ours(images()), Engine(program)(images()))


@pytest.mark.parametrize("fused", [False, True])
def test_after_steps_the_forward_is_the_engine_of_the_new_words(
    module: nn.Module, fused: bool
) -> None:
    """Fused optimizers change parameters behind autograd's back."""
    ours = TrainableEngine(module, images(), "tiny")
    before = [layer.weights.copy() for layer in ours.program().mac_layers]
    learnt = [p for p in ours.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer = torch.optim.SGD(learnt, 0.5)
    if fused:
        optimizer = torch.optim.AdamW(learnt, 0.05, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(ours(images()), torch.tensor([0, 1, 2, 3, 4, 0])).backward()
        optimizer.step()
    after = ours.program()
    assert any(
        not np.array_equal(old, layer.weights)
        for old, layer in zip(before, after.mac_layers, strict=True)
    )
    assert torch.equal(ours(images()), Engine(after)(images()))
    ours.refit()
    fresh = compile(module, images(), "tiny")
    assert torch.equal(ours(images()), Engine(fresh)(images()))


class _Round(torch.autograd.Function):
    """⌊x⌋ whose gradient is that of x."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: object, *seeds: Tensor) -> Tensor:
        return seeds[0]


def words(layer: nn.Module, weight: Tensor, twin: MacLayer) -> Tensor:
    """Integer virtual weights, straight-through in the real ones."""
    steps = torch.from_numpy(twin.weight_scale)
    scaled = weight.double() / (
        steps if len(steps) == 1 else steps.view(-1, *[1] * (weight.ndim - 1))
    )
    rounded = _Round.apply(scaled + 0.5)
    inside = rounded + (rounded.detach().clamp(-127, 127) - rounded.detach())
    if isinstance(layer, HashConv2d | HashLinear):
        return torch.cat([inside, -inside])[layer.slot].view(twin.n_out, -1)
    return inside.reshape(twin.n_out, -1)


def reference(module: nn.Module, program: Program, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits in float64 by torch's own operators, and the leaves whose gradients are asked for."""
    parts = dict(module.named_modules())
    leaves: list[Tensor] = []
    maps = _Round.apply(x.double() * 255 + 0.5)
    for layer in program.layers:
        if not isinstance(layer, MacLayer):
            assert isinstance(layer, PoolLayer)
            maps = F.max_pool2d(maps, layer.window.kernel, layer.window.stride)
            continue
        part = parts[layer.name]
        weight = part.weight.detach().clone().requires_grad_()  # type: ignore[operator, union-attr]
        shift = torch.zeros(layer.n_out, dtype=torch.float64, requires_grad=True)
        leaves += [weight, shift]
        matrix = words(part, weight, layer)
        if layer.window is not None:
            window = layer.window
            kernel = matrix.view(layer.n_out, -1, *window.kernel)
            acc = F.conv2d(maps, kernel, None, window.stride, window.padding[:2])
        else:
            acc = F.linear(maps.flatten(1), matrix)
        shape = (-1, 1, 1) if layer.kind == "conv" else (-1,)
        bias = torch.from_numpy(layer.bias).double()
        if layer.last:
            return (acc + bias) * layer.scale + shift, leaves
        m, s, rounding = (
            torch.from_numpy(np.asarray(value, np.float64)).view(shape)
            for value in (layer.multiplier, layer.shift, layer.rounding)
        )
        p = acc * m + bias.view(shape)
        raw = _Round.apply(p / 2.0**s) + (shift / layer.scale).view(shape)
        passes = (p.detach() > rounding) & (raw.detach() <= 255)
        clamped = raw.detach().clamp(0, 255)
        maps = torch.where(passes, raw + (clamped - raw.detach()), clamped)
    raise AssertionError


def test_weight_gradient_is_that_of_an_independent_straight_through_model(
    module: nn.Module,
) -> None:
    ours = TrainableEngine(module, images(), "tiny")
    x = images().requires_grad_()
    logits = ours(x)
    # The same float32 numbers for both, a softmax less a label.
    seed = logits.detach().softmax(1) - F.one_hot(torch.tensor([0, 1, 2, 3, 4, 0]), 5)
    logits.backward(seed)
    y = images().double().requires_grad_()
    expected, leaves = reference(module, ours.program(), y)
    assert torch.equal(logits.detach().double(), expected.detach())
    expected.backward(seed.double())
    size = terms(ours, images(), seed)
    assert_within(x.grad, y.grad, size.images, roundings(ours.program()))
    parts = dict(module.named_modules())
    for layer, (weight, shift), by_weight, by_output in zip(
        ours.program().mac_layers, zip(leaves[::2], leaves[1::2], strict=True),
        size.weights, size.outputs, strict=True,
    ):  # fmt: skip
        part = parts[layer.name]
        assert weight.grad is not None
        assert float(weight.grad.abs().max()) > 0
        count = roundings(ours.program()) + len(x) * layer.pixels + 4
        if isinstance(part, HashConv2d | HashLinear):
            address = torch.from_numpy(layer.hash_table[0].astype(np.int64)).reshape(-1)
            real = torch.zeros(weight.numel(), dtype=torch.float64)
            by_weight = real.index_add_(0, address, by_weight.reshape(-1))
            count += int(torch.bincount(address).max())  # addends of one real weight
        assert_within(part.weight.grad, weight.grad, by_weight.view_as(weight), count)
        added = parts["4"] if part.bias is None else part
        assert_within(added.bias.grad, shift.grad, by_output, count)


def terms(ours: TrainableEngine, x: Tensor, seed: Tensor) -> Gradients:
    """Σ|terms| of all gradients for seeds (N, classes), float64: every factor by its size.

    Of the engine's own gates, which the comparison itself shows to be right: a term too many or too
    few is far more than the roundings of the others.
    """
    engine = ours.engine()
    backward = copy.copy(engine.pullback)
    backward.pulls = [
        pull_of(engine.program, stage.number, signed=False) for stage in engine.datapath.stages
    ]
    tape = engine.datapath.run(engine.grid(x), states=True, kept_maps=True)
    found = gradients(backward, tape, seed.abs())
    weights = [by_weight.abs().double() for by_weight in found.weights]
    outputs = [by_output.double() for by_output in found.outputs]
    return Gradients(torch.from_numpy(found.images).double(), weights, outputs)  # type: ignore[arg-type]


def assert_within(found: Tensor | None, exact: Tensor | None, size: Any, count: int) -> None:
    """Fail unless every number is as near as ``count`` roundings of its terms allow.

    The size itself was rounded as often, so that it may fall short by as much.
    """
    assert found is not None
    assert exact is not None
    share = float(gamma(count))
    beyond = (found.double() - exact).abs() - share / (1 - share) * size
    assert float(beyond.max()) <= 0, f"{float(beyond.max()):.3g} more than roundings allow"


@pytest.mark.parametrize("part", ["images", "weights"])
def test_a_gradient_without_one_of_its_terms_is_not_within_the_bound(part: str) -> None:
    module = with_statistics(plain())
    ours = TrainableEngine(module, images(), "tiny")
    engine, seed = ours.engine(), torch.ones(6, 5)
    tape = engine.datapath.run(engine.grid(images()), states=True, kept_maps=True)
    exact, size = gradients(engine.pullback, tape, seed), terms(ours, images(), seed)
    seed[3, 2] = 0
    wrong = gradients(engine.pullback, tape, seed)
    pairs = {
        "images": (torch.from_numpy(wrong.images), torch.from_numpy(exact.images), size.images),
        "weights": (wrong.weights[0], exact.weights[0], size.weights[0]),
    }
    found, truth, allowed = pairs[part]
    with pytest.raises(AssertionError, match="more than roundings allow"):
        assert_within(found, truth.double(), allowed, 1000)


def test_an_attack_on_it_is_the_attack_on_its_engine(module: nn.Module) -> None:
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    ours = TrainableEngine(module, images(), "tiny")
    engine = Engine(ours.program())
    attack = PGD(steps=3, early_exit=False)
    found, expected = (
        attack(model, images(), Untargeted(labels), epsilon=0.1) for model in (ours, engine)
    )
    assert torch.equal(found.adversarial, expected.adversarial)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_only_weights_and_what_is_added_learn() -> None:
    module = with_statistics(plain())
    ours = TrainableEngine(module, images(), "tiny")
    learnt = {name for name, p in module.named_parameters() if p.requires_grad}
    assert learnt == {
        "0.weight", "0.bias", "3.weight", "4.bias", "8.weight", "8.bias", "10.weight", "10.bias"
    }  # fmt: skip
    assert sum(p.requires_grad for p in ours.parameters()) == len(learnt)


#: Of its terms, what 16-bit words may cost a gradient: eight roundings by half a last place.
SHARE = 8 * 2.0**-17


def test_a_wide_engine_has_the_float_networks_gradient() -> None:
    """At 16 bits the straight-through gradient is that of the network it stands for."""
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 5)
    ).eval()  # fmt: skip
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    F.cross_entropy(module(images()), labels).backward()
    expected = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    ours = TrainableEngine(module, images(), load_config("tiny").with_bits(16))
    logits = ours(images())
    F.cross_entropy(logits, labels).backward()
    seed = (logits.detach().softmax(1) - F.one_hot(labels, 5)) / len(labels)
    size = terms(ours, images(), seed)
    parameters = list(zip(module.parameters(), expected, strict=True))
    program = ours.program()
    for (numbers,), by_weight, by_output, (weight, bias) in zip(
        program.numbers, size.weights, size.outputs,
        zip(parameters[::2], parameters[1::2], strict=True), strict=True,
    ):  # fmt: skip
        # A term is a product of numbers of 16 bits, each off by a share; small activations are off
        # by a part of their last place, whatever they are.
        allowed = by_weight * SHARE + by_output[:, None] * numbers.scale
        for (parameter, value), most in ((weight, allowed), (bias, by_output * SHARE)):
            assert parameter.grad is not None
            assert float(((parameter.grad - value).abs() - most).max()) <= 0


@pytest.mark.slow
def test_training_through_four_bit_hardware_recovers_what_rounding_cost() -> None:
    """Blobs learnt in float lose on a 4-bit engine; learning on that engine gets it back."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(160) % 5
    centres = torch.rand(5, 2, 12, 12, generator=generator)
    x = (0.5 * centres[labels] + 0.5 * torch.rand(160, 2, 12, 12, generator=generator)) * 0.8
    torch.manual_seed(2)
    learnt = Recipe(epochs=30, batch=16, shift=0, lr=1e-2)
    module = train(compress(plain(), 1 / 8), x, labels, learnt)
    config = load_config("tiny").with_bits(4)

    def loss(module: nn.Module) -> float:
        return float(F.cross_entropy(Engine(compile(module, x, config))(x), labels).detach())

    before, in_float = loss(module), copy.deepcopy(module)
    recipe = Recipe(epochs=6, batch=16, shift=0, lr=5e-4, weight_decay=0.0, precision="float32")
    train(in_float, x, labels, recipe)
    ours = TrainableEngine(module, x, config)
    train(ours, x, labels, recipe, on_epoch=lambda epoch: ours.refit())
    assert loss(module) < 0.8 * before
    assert loss(module) < 0.8 * loss(in_float)
    assert accuracy(ours, x, labels) > 0.95


def test_what_cannot_learn_on_the_engine_is_refused() -> None:
    with pytest.raises(InputError, match="not by finite differences"):
        TrainableEngine(plain(), images(), "tiny", "finite-difference")
    shared = nn.Linear(288, 288)
    twice = nn.Sequential(nn.Flatten(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(288, 5))
    with pytest.raises(InputError, match="used twice"):
        TrainableEngine(twice, images(), "tiny")
