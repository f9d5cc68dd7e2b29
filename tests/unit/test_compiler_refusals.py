"""What the compiler refuses says what to do; what only looks as if it had to be refused runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.models.layers import HashLinear, compress
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer, PoolLayer
from tests.chains import (
    DEFAULT,
    IMAGES,
    NETWORKS,
    Affine,
    Lenet,
    Normalize,
    conv,
    error_of,
    head,
    images,
    norm_of_pixels,
    refusal,
    seeded,
)
from tests.executor import integers


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([conv(), nn.Flatten(), norm_of_pixels(256), nn.ReLU(), nn.Linear(256, 5)],
         "3: scales or shifts the pixels of one channel differently: use one value per channel, "
         "and batch norm before nn.Flatten"),
        ([conv(), nn.ReLU()], "1: the network returns a map (4, 8, 8): the engine returns a"),
        ([conv(), nn.Flatten()], "1: the network returns a map (4, 8, 8)"),
        ([nn.Conv2d(1, 5, 7, stride=2), nn.ReLU(), nn.Conv2d(5, 4, 1, padding=1), nn.Flatten()],
         "3: the network returns a map (4, 3, 3)"),
        ([nn.Conv2d(1, 4, 5, stride=5), nn.ReLU(), *head(4)], "0: kernels of 1 to 11 and strides"),
        ([nn.Conv2d(1, 4, 12, padding=2), nn.ReLU(), *head(4)], "0: kernels of 1 to 11"),
        ([nn.Conv2d(1, 4, 3, padding=3), nn.ReLU(), *head(576)], "padding below the kernel"),
        ([conv(), nn.ZeroPad2d(8), nn.ReLU(), nn.MaxPool2d(12, 1), *head(676)],
         "3: kernels of 1 to 11 and strides of 1 to 15 a side"),
        ([nn.Flatten()], "no Linear or Conv2d layer"),
        ([nn.MaxPool2d(2)], "no Linear or Conv2d layer"),
        ([nn.Identity()], "no Linear or Conv2d layer"),
        ([Normalize([0.1], [0.0]), *head(64)], "0: gives NaN or infinity"),
        ([Affine(0.0, 0.5), *head(64)], "2: the input is multiplied by 0"),
        ([nn.Embedding(3, 4)], "0: does not run on calibration images"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_run_says_what_to_do(layers: list[nn.Module], expected: str) -> None:
    assert expected in refusal(nn.Sequential(*layers))


def test_a_fan_in_beyond_the_tile_is_refused_for_a_convolution_only() -> None:
    x = images(4, (40, 4, 4))
    module = nn.Sequential(nn.Conv2d(40, 2, 3), nn.ReLU(), *head(8))
    tiny = load_config("tiny")
    assert "0: fan-in 360 exceeds TILE_DEPTH 256 of configuration tiny" in refusal(module, x, tiny)
    compile(nn.Sequential(*head(640)), x, tiny)


@pytest.mark.parametrize(
    ("module", "needed", "remedy"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 200)), "WGT_DEPTH 12800", "let layers share"),
        (nn.Sequential(nn.Flatten(), HashLinear(64, 600, rate=0.01)), "CHAN_DEPTH 600",
         "use fewer output channels"),
        (nn.Sequential(nn.Flatten(), HashLinear(64, 500, rate=0.01)), "IDX_DEPTH 16000",
         'set index_mode = "hash"'),
        (nn.Sequential(nn.Conv2d(1, 129, 1), nn.ReLU(), *head(8256)), "WGT_DEPTH 41410",
         "let layers share"),
    ],
)  # fmt: skip
def test_a_memory_that_is_too_small_is_named_with_what_needs_less_of_it(
    module: nn.Module, needed: str, remedy: str
) -> None:
    message = refusal(module, config=load_config("tiny"))
    assert needed in message
    assert f": {remedy}" in message
    assert "choose a configuration with a larger" in message


def test_the_remedies_for_a_full_index_memory_and_weight_memory_help() -> None:
    hashed = nn.Sequential(nn.Flatten(), HashLinear(64, 500, rate=0.01))
    tiny = load_config("tiny")
    compile(hashed, IMAGES, tiny.replace(index_mode="hash"))
    compile(hashed, IMAGES, tiny.replace(idx_depth=16000))
    compile(compress(nn.Sequential(nn.Flatten(), nn.Linear(64, 200)), 0.1), IMAGES, tiny)


def test_more_instructions_than_program_memory_are_refused() -> None:
    layers = [m for _ in range(12) for m in (nn.Linear(64, 64), nn.ReLU())]
    module = nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 5))
    assert "PROG_DEPTH 14" in refusal(module, config=DEFAULT.replace(prog_depth=13))


@pytest.mark.parametrize("hidden", [False, True])
def test_an_accumulator_that_could_overflow_names_layer_neuron_and_bound(hidden: bool) -> None:
    config = DEFAULT.replace(act_w=10, wgt_w=10, acc_w=32)
    fan_in = 65 * 65
    layer = nn.Linear(fan_in, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1] = 0.99
        layer.bias.zero_()
    tail = [nn.ReLU(), nn.Linear(3, 5)] if hidden else []
    x = images(2, (1, 65, 65))
    message = refusal(nn.Sequential(nn.Flatten(), layer, *tail), x, config)
    word = 511 if hidden else 507
    reached = int(message.removeprefix("1: neuron 1 can reach an accumulator of ").split(",")[0])
    # The last layer adds its bias, which takes back what rounding adds.
    assert 0 <= reached - 1023 * word * fan_in <= (0 if hidden else 1023 * fan_in)
    assert "beyond ACC_W = 32 bits (limit 2147483647): use fewer bits" in message


def test_the_accumulator_error_depends_on_the_bound_alone() -> None:
    layer = nn.Linear(65 * 65, 3, bias=False)
    torch.nn.init.constant_(layer.weight, 0.99)
    module = nn.Sequential(nn.Flatten(), layer)
    config = DEFAULT.replace(act_w=10, wgt_w=10, acc_w=32)
    black = torch.zeros(1, 1, 65, 65)
    assert "1: neuron 0 can reach" in refusal(module, black, config)
    compile(module, black, config.replace(acc_w=48))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.zeros(0, 1, 8, 8), "calibration holds no images"),
        (torch.zeros(4, 1, 0, 8), "calibration holds no images"),
        (torch.zeros(4), "must be a float tensor of shape (N, C, H, W), (N, C, L) or (N, F)"),
        (torch.zeros(4, 1, 8, 8).to_sparse(), "must be a float tensor"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), "must be a float tensor"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.complex64), "must be a float tensor"),
        (np.zeros((4, 1, 8, 8), np.float32), "must be a float tensor"),
        (torch.full((4, 1, 8, 8), torch.nan), "contain NaN or infinity"),
        (torch.full((4, 1, 8, 8), torch.inf), "contain NaN or infinity"),
        (torch.zeros(4, 1, 9, 9), "1: does not run on calibration images of shape (1, 9, 9)"),
        (torch.zeros(4, 3, 8, 8), "1: does not run on calibration images of shape (3, 8, 8)"),
    ],
)
def test_bad_calibration_images_are_refused(x: Any, expected: str) -> None:
    assert expected in refusal(nn.Sequential(*head(64)), x)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_nan_weights_are_refused_by_layer(bad: float, where: str) -> None:
    module = seeded(Lenet)
    with torch.no_grad():
        getattr(module.conv2, where).view(-1)[0] = bad
    assert refusal(module).startswith("conv2: ")


@pytest.mark.parametrize(
    ("gain", "offset"), [(1e12, 0.0), (1e30, 0.0), (1e-30, 0.0), (0.0, 1e25), (1e-38, 1e-38)]
)
def test_values_out_of_all_proportion_are_refused_or_right(gain: float, offset: float) -> None:
    module = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), Affine(gain, offset), nn.ReLU(), *head(144))
    )
    try:
        program = compile(module, IMAGES)
    except CompileError as error:
        message = str(error)
    else:
        message = ""
        assert all(2.0**-64 <= layer.scale <= 2.0**64 for layer in program.mac_layers)
    assert "\n" not in message


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_weights_beyond_any_binary_point_are_refused(scale: float) -> None:
    module = seeded(lambda: nn.Sequential(*head(64)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    assert "outside 2^±64" in refusal(module)


def test_a_bias_beyond_the_accumulator_is_refused() -> None:
    module = seeded(lambda: nn.Sequential(*head(64)))
    with torch.no_grad():
        module[1].bias.fill_(1e30)
    assert refusal(module).startswith("1: its bias is far too large")
    with torch.no_grad():
        module[1].bias.fill_(1e6)
    message = refusal(module)
    assert message.startswith("1: neuron 0 has a bias of 1e+06, ")
    assert "times what its weights can add" in message
    assert "fan-in" not in message


def test_the_remedies_for_a_large_bias_help() -> None:
    module = seeded(lambda: nn.Sequential(*head(64)))
    with torch.no_grad():
        module[1].bias.add_(1e6)
    compile(module, IMAGES, DEFAULT.replace(acc_w=48))
    with torch.no_grad():
        module[1].bias.sub_(1e6)
    compile(module, IMAGES)
    with torch.no_grad():
        module[1].bias.add_(1e12)
    assert "acc_w = 48" not in refusal(module, config=DEFAULT.replace(acc_w=48))


def test_a_hidden_layer_without_weights_gives_its_biases_however_it_is_scaled() -> None:
    norm = nn.BatchNorm2d(4, eps=1e-10)
    norm.running_var.zero_()
    torch.nn.init.uniform_(norm.bias)
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), *head(144)))
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.zero_()
    program = compile(module, IMAGES)
    assert program.mac_layers[0].multiplier.tolist() == [0] * 4
    assert error_of(module, IMAGES) < 1e-3


def test_all_zero_weights_are_a_network_too() -> None:
    module = seeded(NETWORKS["conv relu pool"])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    program = compile(module, IMAGES)
    assert (integers(program, IMAGES) == 0).all()


def test_layers_are_of_the_two_kinds() -> None:
    program = compile(seeded(Lenet), IMAGES)
    assert {type(layer) for layer in program.layers} == {MacLayer, PoolLayer}
