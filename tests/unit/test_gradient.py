"""Gradients through the datapath: gates, saturation, and what the real hardware does instead."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim import Engine, HwsimError, compile
from hwsim.engine import reference
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network, open_network, pixels
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, MacLayer, PoolLayer
from hwsim.program.program import Program
from tests.images import small_program
from tests.rounding import assert_within, gamma, roundings


def pulled_back(engine: nn.Module, images: Tensor, seed: Tensor) -> Tensor:
    """∂(Σ seed · logits)/∂images."""
    x = images.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad((engine(x) * seed).sum(), x)
    return found


def cosine(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0))


def scale(a: Tensor, b: Tensor) -> float:
    """The factor by which b is on average larger than a: least squares of b on a."""
    return float((a.double() * b.double()).sum() / (a.double() ** 2).sum())


# --- by hand ------------------------------------------------------------------------------------

W1 = np.array([[60, -20, 7, 3], [-50, 90, 1, -8], [10, 10, -120, 4]])
W2 = np.array([[30, -70, 25], [-40, 5, 90]])
#: Slope of the hidden layer in real units: m · 2^-s · 2^(fa + fw − fa_out).
SLOPE = 3 / 4


def two_layers(hidden_bias: int) -> Program:
    """1x2x2 -> 3 hidden -> 2 classes; ``hidden_bias`` in output steps opens or closes all gates."""
    config = load_config("default")

    def fc(words: np.ndarray, source: Any, m: int, s: int, bias: int, last: bool) -> MacLayer:
        count, fan_in = words.shape
        return MacLayer(
            name="out" if last else "hidden", kind="fc", in_shape=source,
            out_shape=(count, 1, 1), window=None,
            spec=HashSpec("dense", count, fan_in, words.size),
            weights=words.T.reshape(-1).astype(np.int32), weight_scale=np.array([2.0**-7]),
            scale=2.0 ** -(15 if last else 8), hi=config.act_max,
            multiplier=np.full(count, m, np.int32), shift=np.full(count, s, np.int32),
            bias=np.full(count, bias, np.int64), last=last,
        )  # fmt: skip

    shift = 9
    bias = (hidden_bias << shift) + (1 << (shift - 1))
    hidden = fc(W1, (1, 2, 2), 3, shift, bias, last=False)
    return Program.chain(config, (hidden, fc(W2, (3, 1, 1), 0, 0, 0, last=True)), (1, 2, 2))


def assert_chain_rule(found: Tensor, seed: Tensor) -> None:
    """With every gate open; numbers of few bits, so that float64 holds every sum exactly."""

    def pulled(seed: np.ndarray, out: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        chain = (out / 128).T @ seed.T  # (3, N)
        slopes = (hidden / 128).T @ (SLOPE * chain) * 255 / 256
        exact = [Fraction(slope) for slope in slopes.T.ravel().tolist()]
        return np.array(exact, object).reshape(-1, 1, 2, 2)

    signed = pulled(seed.double().numpy(), W2, W1)
    size = pulled(np.abs(seed.double().numpy()), np.abs(W2), np.abs(W1))
    assert_within(found.numpy(), signed, size, roundings(two_layers(OPEN)))


IMAGES = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
SEED = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.5]])
OPEN, CLOSED, SATURATED = 128, -2000, 2000


@pytest.mark.parametrize("mode", ["ste", "ste-unclamped"])
def test_open_gates_give_the_chain_rule_of_the_decoded_weights(mode: Any) -> None:
    found = pulled_back(Engine(two_layers(OPEN), gradient=mode), IMAGES, SEED)
    assert_chain_rule(found, SEED)


@pytest.mark.parametrize("mode", ["ste", "ste-bfloat16", "ste-unclamped", "finite-difference"])
def test_closed_gates_give_a_gradient_of_exactly_zero(mode: Any) -> None:
    found = pulled_back(Engine(two_layers(CLOSED), gradient=mode), IMAGES, SEED)
    assert torch.equal(found, torch.zeros_like(IMAGES))


def test_saturation_stops_ste_and_the_hardware_but_not_ste_unclamped() -> None:
    program = two_layers(SATURATED)

    def found(mode: Any) -> Tensor:
        return pulled_back(Engine(program, gradient=mode), IMAGES, SEED)

    assert not found("ste").any()
    assert not found("finite-difference").any()
    assert_chain_rule(found("ste-unclamped"), SEED)


def test_a_zero_seed_gives_a_gradient_of_exactly_zero() -> None:
    engine = Engine(two_layers(OPEN))
    assert not pulled_back(engine, IMAGES, torch.zeros(3, 2)).any()


# --- finite differences -------------------------------------------------------------------------


def brute_force(
    program: Program, image: np.ndarray, seed: np.ndarray, width: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """``width`` steps up and down for every pixel, on the oracle; image: (C, H, W) integers.

    Fractions: the differences, and the size of what is subtracted.
    """
    top = program.config.act_max
    out, size = (np.full(image.shape, Fraction(0), object) for _ in range(2))
    weights = [Fraction(weight) for weight in seed.tolist()]
    for at in np.ndindex(*image.shape):
        ends = []
        for step in (width, -width):
            moved = image.copy()
            moved[at] = min(max(moved[at] + step, 0), top)
            terms = [
                w * v * Fraction(2) ** -program.logit_frac
                for w, v in zip(weights, reference.run(program, moved).logits, strict=True)
            ]
            ends.append((int(moved[at]), terms))
        (high, above), (low, below) = ends
        out[at] = (sum(above) - sum(below)) / Fraction(high - low, top)
        size[at] = sum(map(abs, above + below)) / Fraction(high - low, top)
    return out, size


@pytest.mark.parametrize(("bits", "width"), [(4, 1), (8, 1), (12, 1), (4, 15), (8, 7)])
def test_finite_differences_equal_a_brute_force_loop(bits: int, width: int) -> None:
    program = small_program(load_config("tiny").with_bits(bits))
    top, noise = program.config.act_max, np.random.default_rng(bits)
    images = noise.integers(0, top + 1, (2, 1, 6, 6))
    images[0, 0, :2], images[1, 0, 3:5] = 0, top  # so that one-sided differences occur
    seed = noise.normal(size=(2, 3)).astype(np.float32)
    engine = Engine(program, gradient="finite-difference", difference_step=width)
    x = torch.from_numpy(images / top)
    found = pulled_back(engine, x, torch.from_numpy(seed))
    pairs = [brute_force(program, *pair, width) for pair in zip(images, seed, strict=True)]
    truth, size = (np.stack(parts) for parts in zip(*pairs, strict=True))
    assert truth.any()
    # Products and sums over classes, a difference, a quotient and a product in float64, whose
    # roundings are 2^29 times smaller; then the result is rounded to float32.
    double = gamma(program.classes + 3) / 2**29
    for mine, exact, terms in zip(found.ravel().tolist(), truth.ravel(), size.ravel(), strict=True):
        assert abs(Fraction(mine) - exact) <= double * terms * 2 + abs(exact) * gamma(1)


def test_finite_differences_are_one_sided_at_black_and_white() -> None:
    # A linear network: a central difference with one end clipped would give half the slope.
    layer = dataclasses.replace(
        two_layers(OPEN).mac_layers[0], scale=2.0**-15, last=True, bias=np.zeros(3, np.int64)
    )
    program = Program.chain(load_config("default"), (layer,), (1, 2, 2))
    engine = Engine(program, gradient="finite-difference")
    images = torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]]])
    for k in range(3):
        found = pulled_back(engine, images, torch.eye(3)[k : k + 1])
        slopes = torch.from_numpy(W1[k].reshape(1, 1, 2, 2) / 128 * 255 / 256)
        torch.testing.assert_close(found.double(), slopes, rtol=1e-6, atol=0)


@pytest.mark.parametrize("width", [0, -1, 256, 1.5, True])
def test_a_step_that_no_pixel_can_take_is_refused(width: Any) -> None:
    with pytest.raises(HwsimError, match="difference_step must be 1 … 255 LSB"):
        Engine(small_program(load_config("default")), difference_step=width)


def test_finite_differences_measure_from_the_gridded_image() -> None:
    engine = Engine(small_program(), gradient="finite-difference")
    off = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    on = torch.floor(off * 255 + 0.5) / 255
    assert torch.equal(pulled_back(engine, off, SEED[:2, [0, 1, 1]]),
                       pulled_back(engine, on, SEED[:2, [0, 1, 1]]))  # fmt: skip


# --- against a float network --------------------------------------------------------------------


def dequantized(program: Program) -> nn.Sequential:
    """The float network with the program's own weights, slopes and biases, without rounding."""
    layers: list[nn.Module] = []
    step = 2.0**-program.config.act_w  # as the datapath sees pixels
    for layer in program.layers:
        layers += _float_layer(layer, step)
        step = step if isinstance(layer, PoolLayer) else layer.scale
    return nn.Sequential(*layers)


def _float_layer(layer: Layer, step: float) -> list[nn.Module]:
    """A layer that reads codes worth ``step``, in float64."""
    if isinstance(layer, PoolLayer):
        return [nn.MaxPool2d(layer.window.kernel, layer.window.stride)]
    assert isinstance(layer, MacLayer)
    # A step of a sum, in real units; the last layer neither multiplies nor shifts.
    slope = np.ones(layer.n_out)
    if not layer.last:
        slope = np.ldexp(layer.multiplier.astype(np.float64), -layer.shift)
    slope = slope * layer.scale / step
    weight = torch.from_numpy(layer.virtual_weights * slope[:, None])
    bias = np.ldexp((layer.bias - layer.rounding).astype(np.float64), -layer.shift) * layer.scale
    mac: nn.Linear | nn.Conv2d
    if layer.kind == "fc":
        mac = nn.Linear(layer.fan_in, layer.n_out, dtype=torch.float64)
    else:
        assert layer.window is not None
        window = layer.window
        shape = (layer.in_shape[0], layer.n_out, window.kernel, window.stride, window.padding[:2])
        mac = nn.Conv2d(*shape, dtype=torch.float64)
    mac.load_state_dict(
        {"weight": weight.reshape(mac.weight.shape), "bias": torch.from_numpy(bias)}
    )
    front: list[nn.Module] = [nn.Flatten()] if layer.kind == "fc" else []
    return [*front, mac] if layer.last else [*front, mac, nn.ReLU()]


def random_network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(16 * 9, 32), nn.ReLU(), nn.Linear(32, 10),
        ).eval()  # fmt: skip


@pytest.mark.parametrize(("bits", "least"), [(16, 0.9999), (12, 0.999), (8, 0.98)])
def test_ste_equals_the_gradient_of_the_dequantized_network(bits: int, least: float) -> None:
    images = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    # Calibrated on more contrast than the images have, so that nothing saturates.
    contrast = ((images - 0.5) * 4 + 0.5).clamp(0, 1)
    config = load_config("default").with_bits(bits)
    program = compile(random_network(0), torch.cat([images, contrast]), config)
    engine, floating = Engine(program), dequantized(program)
    top = program.config.act_max
    x = torch.floor(images.double() * top + 0.5) / top
    seed = torch.randn(16, 10, generator=torch.Generator().manual_seed(2))
    unclamped = Engine(program, gradient="ste-unclamped")
    found = pulled_back(engine, x, seed)
    assert torch.equal(found, pulled_back(unclamped, x, seed)), "something saturated"
    truth = pulled_back(floating, x * (top / 2**bits), seed.double()) * (top / 2**bits)
    assert cosine(found, truth) > least
    assert scale(truth, found) == pytest.approx(1, abs=0.02)


# --- a trained network --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> tuple[Network, Tensor, Tensor]:
    """mnist-cnn-h16, six digits on the input grid, and seeds for runner-up minus winner."""
    try:
        data = load_dataset("mnist", "test").take(6)
    except HwsimError as error:
        pytest.skip(f"no MNIST on this machine: {error}")
    network, images = open_network("mnist-cnn-h16"), pixels(data)
    winner, second = Engine(network.program)(images).topk(2, 1).indices.T
    return network, images, (torch.eye(10)[second] - torch.eye(10)[winner])


def wide_differences(engine: Engine, images: Tensor, seed: Tensor, steps: int) -> Tensor:
    """Central differences over ±``steps`` input steps on every third pixel; others 0."""
    out = torch.zeros(images.shape, dtype=torch.float64)
    for n, image in enumerate(images):
        chosen = torch.arange(n, image.numel(), 3)
        up, down = (image.flatten().repeat(len(chosen), 1) for _ in range(2))
        row = torch.arange(len(chosen))
        up[row, chosen] = (up[row, chosen] + steps / 255).clamp(max=1)
        down[row, chosen] = (down[row, chosen] - steps / 255).clamp(min=0)
        span = (up - down)[row, chosen].double()
        logits = engine(torch.cat([up, down]).reshape(-1, *image.shape)).double()
        above, below = (logits @ seed[n].double()).chunk(2)
        out[n].view(-1)[chosen] = (above - below) / span
    return out


@pytest.mark.slow
def test_ste_agrees_with_the_hardware_on_average(trained: tuple[Network, Tensor, Tensor]) -> None:
    """One input step mostly shows requantization: the truth is ste plus much larger noise.

    So single slopes correlate weakly, but far beyond chance (0.015 for 6·784 of them), and along
    ste their mean size is right. Measured: cosine 0.12, factor 1.02.
    """
    network, images, seed = trained
    ste = pulled_back(Engine(network.program), images, seed)
    truth = pulled_back(Engine(network.program, gradient="finite-difference"), images, seed)
    assert cosine(ste, truth) > 0.05
    assert 0.5 < scale(ste, truth) < 1.5


@pytest.mark.slow
def test_ste_predicts_large_steps_of_the_hardware(trained: tuple[Network, Tensor, Tensor]) -> None:
    """The wider the step, the less requantization hides the slope."""
    network, images, seed = trained
    engine = Engine(network.program)
    ste = pulled_back(engine, images, seed)
    agreement = []
    for steps in (2, 8, 32):
        truth = wide_differences(engine, images, seed, steps)
        agreement.append(cosine(torch.where(truth != 0, ste.double(), 0), truth))
    assert agreement == sorted(agreement)
    assert agreement[-1] > 0.5


@pytest.mark.slow
def test_ste_of_the_engine_points_where_the_float_network_points(
    trained: tuple[Network, Tensor, Tensor],
) -> None:
    network, images, seed = trained
    found = pulled_back(Engine(network.program), images, seed)
    floating = pulled_back(network.module, images, seed)
    each = F.cosine_similarity(found.flatten(1), floating.flatten(1))
    assert float(each.min()) > 0.95


def test_batched_products_under_autocast_are_those_without_it() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    engine = Engine(compile(net, torch.rand(16, 1, 8, 8)))
    x = torch.rand(4, 1, 8, 8, requires_grad=True)
    seeds = torch.randn(7, 4, 10)

    def products() -> torch.Tensor:
        (found,) = torch.autograd.grad(engine(x), x, seeds, is_grads_batched=True)
        return found

    plain = products()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(products(), plain)
