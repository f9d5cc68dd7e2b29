"""Networks that people have compile, and the program computes what they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.models.layers import HashConv2d, compress
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.layers import AddLayer, AffineLayer, AverageLayer, LutLayer, MacLayer
from hwsim.program.program import Program
from tests.executor import codes, logits
from tests.peoples_networks import (
    CIFAR,
    NETWORKS,
    Basic,
    Normalize,
    head,
    images,
    seen,
    stem,
)

DEFAULT = load_config("default")


FINE = DEFAULT.replace(act_w=16, wgt_w=16, mult_w=16)


def error(module: nn.Module, x: Tensor, config: EngineConfig | str = DEFAULT) -> float:
    """Distance of the logits from those of float, relative to their spread."""
    found = logits(compile(module, x, config), x)
    with torch.no_grad():
        expected = module(x).double().numpy()
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def layers(program: Program) -> Counter[str]:
    return Counter(layer.kind for layer in program.layers)


def refusal(module: nn.Module, x: Tensor, config: EngineConfig = DEFAULT) -> str:
    with pytest.raises(CompileError) as caught:
        compile(module, x, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Call(nn.Module):
    """A function of layers a, b, c (4 channels to 4) and a head, and an image."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], features: int = 4) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.c, self.norm = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4)
        self.head = nn.Linear(features, 5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        x = self.function(self, x)
        result: Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return result


@pytest.mark.parametrize("name", NETWORKS)
def test_eight_bits_agree_with_float(name: str) -> None:
    module, shape = NETWORKS[name]()
    module, x = seen(module), images(*shape)
    program = compile(module, x)
    stripped = module[:-1] if isinstance(module[-1], nn.Softmax) else module
    with torch.no_grad():
        expected = stripped(x).double().numpy()
    found = logits(program, x)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
    close = np.abs(found - expected).max() * 2
    ordered = np.sort(expected, 1)
    sure = ordered[:, -1] - ordered[:, -2] > close
    assert (found.argmax(1) == expected.argmax(1))[sure].all()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in (
    "lenet of 1998", "series", "autoencoder", "hls4ml")])  # fmt: skip
def test_sixteen_bits_compute_what_float_computes(name: str) -> None:
    module, shape = NETWORKS[name]()
    module, x = seen(module), images(*shape)
    assert error(module, x, FINE) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "mobilenet v2", "googlenet", "ds-cnn"])
def test_an_exported_network_is_the_same_program(name: str) -> None:
    module, shape = NETWORKS[name]()
    module, x = seen(module), images(*shape)
    found = compile(torch.export.export(module, (x[:4],)), x)
    expected = compile(module, x)
    assert [layer.kind for layer in found.layers] == [layer.kind for layer in expected.layers]
    np.testing.assert_array_equal(logits(found, x), logits(expected, x))


# --- where operations go ------------------------------------------------------------------------


def test_a_residual_block_is_two_convolutions_and_a_sum_that_rectifies() -> None:
    module = seen(nn.Sequential(*stem(8), Basic(8, 8, 1), *head(8)))
    program = compile(module, images(3, 8, 8))
    assert layers(program) == {"conv": 3, "add": 1, "average": 1, "fc": 1}
    (add,) = (layer for layer in program.layers if isinstance(layer, AddLayer))
    assert (add.lo, add.zero) == (0, 0)
    second = program.layers[2]
    assert isinstance(second, MacLayer)
    assert second.lo == 0
    assert second.zero > 0  # signed, and nothing cut off


def test_a_rectifier_of_a_map_that_others_read_is_a_layer_of_its_own() -> None:
    program = compile(Call(lambda m, x: (lambda y: m.b(F.relu(y)) + y)(m.a(x))).eval(),
                      images(4, 8, 8))  # fmt: skip
    assert layers(program) == {"conv": 2, "affine": 1, "add": 1, "average": 1, "fc": 1}
    (affine,) = (layer for layer in program.layers if isinstance(layer, AffineLayer))
    assert affine.lo == affine.zero == 0


def test_concatenation_costs_no_layer() -> None:
    module = Call(lambda m, x: torch.cat([F.relu(m.a(x)), F.relu(m.b(x))], 1), 8).eval()
    program = compile(module, images(4, 8, 8))
    assert layers(program) == {"conv": 2, "average": 1, "fc": 1}
    first, second = (wire.target for wire in program.wires[:2])
    assert first is not None
    assert second is not None
    assert (first.map, first.channel, second.map, second.channel) == (first.map, 0, first.map, 4)


@pytest.mark.parametrize(
    ("function", "features", "copies"),
    [
        (lambda m, x: (lambda y: torch.cat([y, y], 1))(F.relu(m.a(x))), 8, 1),
        (lambda m, x: (lambda y, z: torch.cat([y, z], 1) + torch.cat([z, y], 1))(
            F.relu(m.a(x)), F.relu(m.b(x))), 8, 2),
        (lambda m, x: (lambda y: torch.cat([y[:, 2:], m.b(y), y[:, :2]], 1))(m.a(x)), 8, 2),
        (lambda m, x: (lambda y: torch.cat([torch.cat([y, m.b(y)], 1), m.c(y)], 1))(m.a(x)), 12,
         0),
        (lambda m, x: (lambda y, z: F.relu(m.norm(torch.cat([y[:, :2], z[:, 2:]], 1)))
                       + torch.cat([z[:, :2], y[:, 2:]], 1))(m.a(x), m.b(x)), 4, 4),
        (lambda m, x: F.relu(torch.cat([m.a(x), m.b(x)], 1)), 8, 0),
    ],
)  # fmt: skip
def test_what_stands_in_two_places_is_copied(function: Any, features: int, copies: int) -> None:
    module, x = seen(Call(function, features)), images(4, 8, 8)
    program = compile(module, x, FINE)
    assert layers(program)["pool"] == copies
    assert error(module, x, FINE) < 1e-3


@pytest.mark.parametrize(
    ("function", "features"),
    [
        (lambda m, x: torch.cat([x, F.relu(m.a(x))], 1), 8),
        (lambda m, x: x + m.a(x), 4),
        (lambda m, x: m.a(x) - 0.5 * m.b(x) + 0.25, 4),
        (lambda m, x: F.relu(m.a(x) + m.b(x)) * 3 - 1, 4),
        (lambda m, x: m.norm(m.a(x) + x), 4),
        (lambda m, x: m.norm(F.avg_pool2d(m.a(x), 2)), 4),
        (lambda m, x: F.max_pool2d(m.norm(x), 3, 2, 1), 4),
        (lambda m, x: m.c(m.norm(x)), 4),
        (lambda m, x: m.b(m.norm(F.relu(m.a(x)))), 4),
        (lambda m, x: F.relu6(m.a(x) * 20), 4),
        (lambda m, x: F.hardtanh(m.a(x)), 4),
        (lambda m, x: F.relu(m.a(x))[:, :, ::2, ::2], 4),
        (lambda m, x: F.pad(m.a(x)[:, :, ::2, ::2], (0, 0, 0, 0, 2, 1), "constant", 0), 7),
        (lambda m, x: F.avg_pool2d(m.a(x), (3, 2), (1, 2)), 4),
        (lambda m, x: m.a(x).sum((2, 3), keepdim=True) * 0.1, 4),
    ],
)
def test_sixteen_bits_compute_every_combination(function: Any, features: int) -> None:
    assert error(seen(Call(function, features)), images(4, 8, 8), FINE) < 1e-3


@pytest.mark.parametrize("cut", [slice(1, 3), slice(0, 2), slice(3, 4), slice(2, None)])
def test_some_channels_of_the_image_may_be_read(cut: slice) -> None:
    module = nn.Conv2d(len(range(4)[cut]), 5, 3, padding=1)

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = module, nn.Linear(5 * 64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(F.relu(self.a(x[:, cut])).flatten(1))
            return logits

    assert error(Cut().eval(), images(4, 8, 8), FINE) < 1e-3


def test_two_layers_may_read_different_channels_of_the_image() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Conv2d(1, 4, 3, padding=1) for _ in "ab")
            self.head = nn.Linear(4 * 64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            both = F.relu(self.a(x[:, :1])) + self.b(x[:, 3:])
            logits: torch.Tensor = self.head(both.flatten(1))
            return logits

    assert error(Two().eval(), images(4, 8, 8), FINE) < 1e-3


def test_channels_that_nobody_reads_are_refused_by_the_layer_that_computes_them() -> None:
    message = refusal(Call(lambda m, x: m.a(x)[:, :2], 2).eval(), images(4, 8, 8))
    assert message == "a: its result is never used: remove the branch"


@pytest.mark.parametrize("act", [
    nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.ELU(), nn.CELU(), nn.SELU(), nn.GELU(),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(), nn.Softsign(),
    nn.Tanhshrink(), nn.Softshrink(), nn.PReLU(), nn.LogSigmoid(), nn.Threshold(0.1, 0.05),
])  # fmt: skip
def test_a_function_of_single_values_is_a_table(act: nn.Module) -> None:
    module = Call(lambda m, x: m.act(m.norm(m.a(x)))).eval()
    module.act = act
    program = compile(module, images(4, 8, 8))
    assert layers(program)["lut"] == 1
    assert error(module, images(4, 8, 8)) < 0.06


def test_neighbouring_functions_are_one_table_and_equal_ones_share_it() -> None:
    module = Call(lambda m, x: m.b((2 * torch.sigmoid(m.a(x)) - 1).tanh().clamp(-0.5, 0.5))).eval()
    program = compile(module, images(4, 8, 8))
    assert layers(program)["lut"] == 1


def test_a_table_at_twelve_bits_is_refused_in_one_line() -> None:
    module = Call(lambda m, x: torch.tanh(m.a(x))).eval()
    message = refusal(module, images(4, 8, 8), DEFAULT.with_bits(12))
    assert message.startswith("tanh: needs a table, which activations of up to 8 bits have")
    assert message.endswith("use at most 8 bits, or ReLU")


@pytest.mark.parametrize(("factor", "refused"), [(2.0**21, True), (2.0**15, False)])
def test_a_sum_of_maps_whose_ranges_differ_too_much_is_refused(
    factor: float, refused: bool
) -> None:
    module = Call(lambda m, x: m.a(x) * factor + m.b(x)).eval()
    if refused:
        assert refusal(module, images(4, 8, 8)).startswith("add: adds maps whose ranges differ by")
    else:
        compile(module, images(4, 8, 8))


def test_maps_that_do_not_fit_say_which_where_and_how_much() -> None:
    message = refusal(Call(lambda m, x: m.a(x) + m.b(x)).eval(), images(4, 8, 8),
                      DEFAULT.replace(act_depth=60))  # fmt: skip
    assert "lines of the activation memory" in message
    assert "too few" in message


# --- the input and the output -------------------------------------------------------------------


def test_zeros_around_a_normalized_image_are_the_code_of_the_mean() -> None:
    x = images(1, 8, 8)
    module = seen(nn.Sequential(Normalize([0.1307], [0.3081]), nn.Conv2d(1, 6, 3, padding=1),
                                nn.ReLU(), *head(6)))  # fmt: skip
    program = compile(module, x)
    assert layers(program)["affine"] == 0
    assert program.mac_layers[0].fill == round(0.1307 * 255)
    assert error(module, x) < 0.02


@pytest.mark.parametrize("padding", [0, 1])
def test_a_mean_and_std_per_channel_fold_or_stand_in_front(padding: int) -> None:
    x = images(3, 12, 12)
    module = seen(nn.Sequential(Normalize(*CIFAR), nn.Conv2d(3, 6, 3, padding=padding), nn.ReLU(),
                                *head(6)))  # fmt: skip
    assert layers(compile(module, x))["affine"] == padding
    assert error(module, x) < 0.03
    hashed = compress(module, 0.5)
    assert layers(compile(hashed, x))["affine"] == 1
    assert error(hashed, x) < 0.03


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0.0, 255.0, 0), (-1.0, 1.0, 128), (-2.1, 2.6, 114), (3.0, 9.0, 0)]
)
def test_inputs_may_have_any_range(low: float, high: float, zero: int) -> None:
    x = images(1, 8, 8) * (high - low) + low
    x[0, 0, 0, 0], x[0, 0, 0, 1] = low, high
    module = seen(nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), *head(6)))
    program = compile(module, x)
    assert program.input.zero == zero
    real = (codes(program, x) - zero) * float(program.input.scale)
    assert np.abs(real - x.double().numpy()).max() <= float(program.input.scale) * 0.51
    assert error(module, x) < 0.03


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_softmax_at_the_end_is_dropped_and_said_so(end: nn.Module) -> None:
    plain = seen(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))
    program = compile(nn.Sequential(*plain, end), images(6), provenance={"model": "m"})
    (note,) = program.provenance["notes"]
    assert note.startswith("3: softmax at the end dropped")
    assert program.provenance["model"] == "m"
    np.testing.assert_array_equal(
        logits(program, images(6)), logits(compile(plain, images(6)), images(6))
    )


def test_what_a_rounded_dense_layer_adds_on_average_is_taken_back() -> None:
    x = images(64, count=400)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6)).eval()
    with torch.no_grad():
        expected = module(x).double().numpy()
    errors = logits(compile(module, x, DEFAULT.replace(wgt_w=4)), x) - expected
    assert np.abs(errors.mean(0)).max() < 0.2 * errors.std(0).max()


def test_averages_over_more_than_the_hardware_has_are_two() -> None:
    module, x = seen(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *head(4))), images(2, 26, 40)
    program = compile(module, x)
    windows = [one.window.kernel for one in program.layers if isinstance(one, AverageLayer)]
    assert windows == [(2, 4), (13, 10)]
    assert error(module, x) < 0.05


def test_an_average_of_a_prime_side_is_refused() -> None:
    module = seen(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *head(4)))
    assert "kernel 23x23" in refusal(module, images(2, 23, 23))


def test_hashing_works_in_every_weighted_layer_of_a_graph() -> None:
    module, shape = NETWORKS["resnet"]()
    module = compress(seen(module), 0.5)
    program = compile(module, images(*shape))
    assert {layer.spec.scheme for layer in program.mac_layers} == {"xxh32"}
    assert all(isinstance(m, HashConv2d) or not isinstance(m, nn.Conv2d) for m in module.modules())
    assert error(module, images(*shape)) < 0.05


def test_tables_are_of_eight_bits_or_less() -> None:
    program = compile(seen(NETWORKS["lenet of 1998"]()[0]), images(1, 28, 28))
    tables = [layer.table for layer in program.layers if isinstance(layer, LutLayer)]
    assert all(len(table) == 256 and table.max() <= 255 for table in tables)
