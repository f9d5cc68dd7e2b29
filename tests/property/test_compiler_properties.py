"""Random small networks: the engine computes their logits; constants are the best that fit."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from hwsim.compiler.compiler import compile
from hwsim.compiler.requantize import requantize, requantize_sum
from hwsim.models.layers import HashConv2d, compress
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.fixedpoint import (
    activation_frac,
    multiplier_and_shift,
    nearest,
    quantize,
    round_half_up,
    weight_frac,
)
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.program.proof import check
from tests.executor import logits
from tests.property.module_graphs import module_graphs
from tests.same import assert_same

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FEWER = settings(SETTINGS, max_examples=30)
DEFAULT = load_config("default")
Draw = Any


def _norm(noise: torch.Generator, channels: int, flat: bool) -> nn.Module:
    norm = nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_(0, 0.2, generator=noise)
    norm.running_var.uniform_(0.1, 1.5, generator=noise)
    with torch.no_grad():
        norm.weight.normal_(0, 1, generator=noise)
        norm.bias.normal_(0, 0.2, generator=noise)
        norm.weight[0] = 0.0
    return norm


@st.composite
def networks(draw: Draw) -> tuple[nn.Module, Tensor]:
    """A float network of 0–2 convolutions and 1–2 Linears with whatever may stand between them."""
    seed = draw(st.integers(0, 2**16))
    noise = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    channels, side = draw(st.integers(1, 3)), draw(st.integers(4, 9))
    x = torch.rand(24, channels, side, side, generator=noise)
    layers: list[nn.Module] = []
    if draw(st.booleans()) and side > 4:
        layers.append(nn.MaxPool2d(2, 1))
        side -= 1
    for _ in range(draw(st.integers(0, 2))):
        kernel = draw(st.integers(1, min(7, side)))
        stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, kernel - 1))
        out = draw(st.integers(1, 6))
        layers.append(nn.Conv2d(channels, out, kernel, stride, padding, bias=draw(st.booleans())))
        channels, side = out, (side + 2 * padding - kernel) // stride + 1
        if draw(st.booleans()):
            layers.append(_norm(noise, channels, flat=False))
        behind: list[nn.Module] = [nn.ReLU(inplace=draw(st.booleans()))]
        if side > 1 and draw(st.booleans()):
            pool_stride = draw(st.integers(1, 2))
            behind.insert(draw(st.integers(0, 1)), nn.MaxPool2d(2, pool_stride))
            side = (side - 2) // pool_stride + 1
        layers += behind
    layers.append(nn.Flatten())
    features = channels * side * side
    for _ in range(draw(st.integers(0, 1))):
        hidden = draw(st.integers(2, 12))
        layers.append(nn.Linear(features, hidden))
        if draw(st.booleans()):
            layers.append(_norm(noise, hidden, flat=True))
        layers += [nn.ReLU(), nn.Dropout()]
        features = hidden
    layers.append(nn.Linear(features, draw(st.integers(2, 6))))
    module: nn.Module = nn.Sequential(*layers).eval()
    scheme = draw(st.sampled_from([None, "xxh32", "banked", "dense"]))
    if scheme is not None:
        module = compress(module, draw(st.sampled_from([1.0, 0.5, 0.1])), scheme, seed=seed)
    return module, x


def _nothing(draw: Draw, flat: bool) -> nn.Module:
    """A layer that changes nothing, on maps or on features."""
    spellings: list[Any] = [nn.Identity, nn.Dropout]
    if flat:
        spellings.append(nn.Flatten)
    else:
        spellings += [
            lambda: nn.AvgPool2d(1), lambda: nn.MaxPool2d(1), lambda: nn.ZeroPad2d(0),
            lambda: nn.AdaptiveAvgPool2d((None, None)), lambda: nn.AdaptiveMaxPool2d((None, None)),
            lambda: nn.Upsample(scale_factor=1), lambda: nn.PixelShuffle(1),
        ]  # fmt: skip
    found: nn.Module = draw(st.sampled_from(spellings))()
    return found


def _computed(draw: Draw, layer: nn.Module, plain: nn.Module) -> None:
    """Let ``layer`` compute its weights, and give ``plain`` what comes out."""
    how = draw(st.sampled_from(["not", "pruned", "weight norm", "old weight norm", "spectral"]))
    if how == "not" or not isinstance(layer, nn.Linear | nn.Conv2d):
        return
    if how == "pruned":
        prune.l1_unstructured(layer, "weight", amount=0.3)
    elif how == "weight norm":
        parametrizations.weight_norm(layer)
    elif how == "old weight norm":
        nn.utils.weight_norm(layer)
    else:
        parametrizations.spectral_norm(layer).eval()
    with torch.no_grad():
        plain.weight.copy_(layer.weight)


def _respelt(draw: Draw, layer: nn.Module, side: int) -> list[nn.Module]:
    """Layers that say the same as ``layer``, which may be changed, on maps of this side."""
    padding = getattr(layer, "padding", 0)
    padding = padding if isinstance(padding, int) else padding[0]
    kernel, stride = (
        value if isinstance(value, int) else value[0]
        for value in (getattr(layer, "kernel_size", 0), getattr(layer, "stride", 0))
    )
    if isinstance(layer, nn.MaxPool2d):
        if (side - kernel) % stride == 0:
            layer.ceil_mode = draw(st.booleans())
        return [layer]
    if not isinstance(layer, nn.Conv2d | HashConv2d) or draw(st.booleans()):
        return [layer]
    if kernel % 2 and stride == 1 and padding == kernel // 2:
        layer.padding = "same"
        return [layer]
    outside = draw(st.integers(0, padding))
    inside = padding - outside
    layer.padding = inside if isinstance(layer, HashConv2d) else (inside, inside)
    # Where the last windows do not reach the far side, the zeros there are free.
    rest = (side + 2 * padding - kernel) % stride
    far = draw(st.integers(max(0, outside - rest), outside))
    return [nn.ZeroPad2d((outside, far, outside, far)), layer]


#: AveragedModel copies what it wraps, which torch refuses for computed weights.
_WRAPPERS: list[Any] = [
    lambda m: m, nn.DataParallel, nn.Sequential,
    lambda m: m.double(), lambda m: m.train(),
]  # fmt: skip


@st.composite
def spellings(draw: Draw) -> tuple[nn.Module, nn.Module, Tensor]:
    """A network, and another that says the same in more words."""
    plain, x = draw(networks())
    assert isinstance(plain, nn.Sequential)
    layers: list[nn.Module] = []
    found = x
    for original, layer in zip(plain, copy.deepcopy(plain), strict=True):
        if draw(st.booleans()):
            layers.append(_nothing(draw, flat=found.ndim == 2))
        _computed(draw, layer, original)
        layers += _respelt(draw, layer, found.shape[-1])
        with torch.no_grad():
            found = original(found)
    dressed = nn.Sequential(*layers).eval()
    if draw(st.booleans()):
        dressed(x).sum().backward()
    return plain.eval(), draw(st.sampled_from(_WRAPPERS))(dressed), x


@pytest.mark.slow
@SETTINGS
@given(spellings())
def test_the_same_network_in_other_words_is_the_same_program(
    case: tuple[nn.Module, nn.Module, Tensor],
) -> None:
    plain, dressed, x = case
    assert_same(compile(dressed, x), compile(plain, x), names=False)


def _difference(module: nn.Module, x: Tensor, config: EngineConfig) -> float:
    """Root mean square error of the logits, relative to that of the logits themselves."""
    return _distance(module, x, compile(module, x, config))


def _distance(module: nn.Module, x: Tensor, program: Program) -> float:
    found = torch.from_numpy(logits(program, x))
    with torch.no_grad():
        expected = module(x).double()
    norm = float(expected.square().mean().sqrt())
    return float((found - expected).square().mean().sqrt()) / max(norm, 1e-6)


@pytest.mark.slow
@SETTINGS
@given(networks())
def test_sixteen_bit_engines_compute_the_float_logits(network: tuple[nn.Module, Tensor]) -> None:
    module, x = network
    assert _difference(module, x, DEFAULT.with_bits(16)) < 5e-4


@pytest.mark.slow
@FEWER
@given(networks())
def test_eight_bit_engines_come_close(network: tuple[nn.Module, Tensor]) -> None:
    module, x = network
    assert _difference(module, x, DEFAULT) < 0.1


@pytest.mark.slow
@FEWER
@given(networks(), st.integers(4, 16), st.integers(4, 16), st.integers(8, 16))
def test_every_width_compiles_to_a_proven_program(
    network: tuple[nn.Module, Tensor], act_w: int, wgt_w: int, mult_w: int
) -> None:
    module, x = network
    config = DEFAULT.replace(act_w=act_w, wgt_w=wgt_w, mult_w=mult_w)
    first, second = compile(module, x, config), compile(module, x, config)
    check(first)
    for a, b in zip(first.layers, second.layers, strict=True):
        if isinstance(a, MacLayer) and isinstance(b, MacLayer):
            for name in ("weights", "multiplier", "shift", "bias"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert np.isfinite(_distance(module, x, first))


@FEWER
@given(networks())
def test_biases_round_half_up_to_the_nearest_word(network: tuple[nn.Module, Tensor]) -> None:
    """Hashed layers that see no mean and no norm: b_c is the bias at the output's scale · 2^s, and
    the half; of dense ones the bias also takes back what rounding adds."""
    module, x = network
    if any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in module.modules()):
        return
    program: Program = compile(module, x)
    floats = [layer for layer in module.modules() if hasattr(layer, "bias")]
    for layer, source in zip(program.mac_layers, floats, strict=True):
        if layer.spec.scheme == "dense":
            continue
        bias = [0.0] * layer.n_out if source.bias is None else source.bias.tolist()
        for c in range(layer.n_out):
            s, step = int(layer.shift[c]), Fraction(layer.scale)
            exact = Fraction(bias[c]) / step * 2**s + int(layer.rounding[c])
            assert int(layer.bias[c]) == math.floor(exact + Fraction(1, 2))


# --- constants ----------------------------------------------------------------------------------

ratios = st.floats(-1e6, 1e6, allow_subnormal=True).filter(bool)


@SETTINGS
@given(ratios, st.integers(8, 16), st.integers(0, 63))
def test_no_multiplier_and_shift_is_nearer(ratio: float, mult_w: int, shift_max: int) -> None:
    limit = 2 ** (mult_w - 1) - 1
    found = multiplier_and_shift(ratio, mult_w, shift_max)
    rivals = [(nearest(ratio, s), s) for s in range(shift_max + 1)]
    rivals = [(m, s) for m, s in rivals if abs(m) <= limit]
    if found is None:
        assert not rivals
        return
    m, s = found
    error = abs(Fraction(m, 2**s) - Fraction(ratio))
    assert error == min(abs(Fraction(m, 2**s) - Fraction(ratio)) for m, s in rivals)
    if s < shift_max:
        assert error <= abs(Fraction(ratio)) / 2 ** (mult_w - 1)


def test_a_multiplier_that_rounds_out_of_range_takes_the_next_shift() -> None:
    assert multiplier_and_shift(0.99999, 16, 47) == (16384, 14)
    assert multiplier_and_shift(-0.99999, 16, 47) == (-16384, 14)
    assert multiplier_and_shift(32767.6, 16, 47) is None


@SETTINGS
@given(
    ratios.map(lambda r: r * 1e-6),
    st.floats(-100, 100),
    st.integers(0, 2**20),
    st.integers(-(2**20), 2**20),
)
def test_requantization_rounds_half_up(ratio: float, offset: float, reach: int, acc: int) -> None:
    acc = max(-reach, min(reach, acc))
    found = requantize(ratio, offset, Fraction(1, 16), reach, DEFAULT)
    assert found is not None
    m, s, b = found
    assert reach * abs(m) + abs(b) < 2**47
    half = 2 ** (s - 1) if s else 0
    exact = Fraction(acc * m + (b - half), 2**s)
    assert (acc * m + b) >> s == math.floor(exact + Fraction(1, 2) * bool(s))
    wanted = acc * Fraction(ratio) + Fraction(offset) * 16
    slack = Fraction(reach, 2 ** (s + 1)) + Fraction(1, 2 ** (s + 1))
    assert abs(exact - wanted) <= slack


@SETTINGS
@given(
    st.floats(2.0**-12, 2.0),
    st.floats(-100, 100),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(-1000, 1000),
)
def test_zero_points_are_folded_to_the_integer(
    ratio: float, offset: float, zero: int, before: int, weights: int
) -> None:
    step, reach = Fraction(1, 32), 2**18
    found = requantize(ratio, offset, step, reach, DEFAULT, zero_sum=before * weights, zero=zero)
    assert found is not None
    m, s, b = found
    assert reach * abs(m) + abs(b) < 2**47
    for acc in (-reach, 0, 12345, reach):
        wanted = (acc - before * weights) * Fraction(ratio) + Fraction(offset) / step + zero
        slack = Fraction(abs(acc - before * weights) + 1, 2 ** (s + 1)) + Fraction(1, 2)
        assert abs(((acc * m + b) >> s) - wanted) <= slack


@SETTINGS
@given(
    st.floats(2.0**-6, 64.0), st.floats(2.0**-6, 64.0), st.floats(-100, 100),
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
    st.integers(0, 255), st.integers(0, 255),
)  # fmt: skip
def test_a_sum_rounds_to_the_nearest_code(
    one: float, two: float, offset: float, zeros: tuple[int, int, int], a: int, b: int
) -> None:
    found = requantize_sum((one, -two), offset, Fraction(1, 16), zeros, DEFAULT)
    assert found is not None
    (m, n), s, bias = found
    wanted = (
        (a - zeros[0]) * Fraction(one) - (b - zeros[1]) * Fraction(two) + Fraction(offset) * 16
        + zeros[2]
    )  # fmt: skip
    slack = Fraction(255 * 2 + 1, 2 ** (s + 1)) + Fraction(1, 2)
    assert abs(((a * m + b * n + bias) >> s) - wanted) <= slack
    assert max(abs(m), abs(n)) >= 2 ** (DEFAULT.mult_w - 3)


@FEWER
@given(module_graphs())
def test_graphs_compute_what_float_computes_in_sixteen_bits(
    graph: tuple[nn.Module, Tensor],
) -> None:
    module, x = graph
    program = compile(module, x, DEFAULT.with_bits(16))
    check(program)
    with torch.no_grad():
        expected = module(x).double().numpy()
    # Of the largest logit, since logits may cancel to nothing.
    assert np.abs(logits(program, x) - expected).max() < 2e-3 * max(np.abs(expected).max(), 0.05)


@FEWER
@given(module_graphs())
def test_graphs_in_eight_bits_are_proven_and_come_close(graph: tuple[nn.Module, Tensor]) -> None:
    module, x = graph
    program = compile(module, x)
    check(program)
    with torch.no_grad():
        expected = module(x).double().numpy()
    assert np.abs(logits(program, x) - expected).max() < 0.3 * max(np.abs(expected).max(), 0.05)


@pytest.mark.slow
@FEWER
@given(module_graphs())
def test_an_exported_graph_is_the_same_program(graph: tuple[nn.Module, Tensor]) -> None:
    module, x = graph
    found = compile(torch.export.export(module, (x[:3],)), x)
    np.testing.assert_array_equal(logits(found, x), logits(compile(module, x), x))


@SETTINGS
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-80, 80))
def test_nearest_is_exact(x: float, frac: int) -> None:
    scaled = Fraction(x) * Fraction(2) ** frac
    assert nearest(x, frac) - Fraction(1, 2) <= scaled < nearest(x, frac) + Fraction(1, 2)


@SETTINGS
@given(
    st.floats(-(2**52), 2**52) | st.integers(-(2**53), 2**53).map(lambda n: n / 2)
)  # fmt: skip
def test_arrays_round_as_exactly_as_fractions(x: float) -> None:
    assert int(round_half_up(x)) == nearest(x, 0)


def test_the_largest_double_below_a_half_rounds_down() -> None:
    assert round_half_up(0.49999999999999994) == 0
    assert round_half_up(-0.5) == 0
    assert round_half_up(2.0**52 + 1) == 2**52 + 1


def _samples(seed: int, spread: float) -> np.ndarray:
    """Values with tails from none to heavy."""
    noise = np.random.default_rng(seed)
    return np.exp(spread * noise.standard_normal(300)) * noise.choice([-1.0, 1.0], 300)


@SETTINGS
@given(st.integers(0, 2**16), st.floats(0, 4), st.integers(4, 16))
def test_the_binary_point_is_no_worse_than_any_other(seed: int, spread: float, bits: int) -> None:
    values = _samples(seed, spread)
    counts = np.random.default_rng(seed).integers(0, 5, 300)
    limit = 2 ** (bits - 1) - 1

    def weight_error(frac: int) -> float:
        back = np.ldexp(quantize(values, frac, limit).astype(float), -frac)
        return float((counts * (back - values) ** 2).sum())

    best = weight_frac(values, counts, limit)
    assert weight_error(best) <= min(map(weight_error, range(best - 8, best + 9))) * (1 + 1e-9)

    maps = np.maximum(values, 0)

    def map_error(frac: int) -> float:
        words = np.clip(round_half_up(np.ldexp(maps, frac)), 0, 2**bits - 1)
        return float(((np.ldexp(words.astype(float), -frac) - maps) ** 2).sum())

    best = activation_frac(values, bits)
    assert map_error(best) <= min(map(map_error, range(best - 8, best + 9))) * (1 + 1e-9)
