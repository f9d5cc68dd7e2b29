"""What changes nothing compiles to nothing, and zeros and copies fold into layers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError, InputError
from hwsim.models.layers import compress
from hwsim.numbers.config import load_config
from hwsim.training.trainable import TrainableEngine
from tests.executor import logits
from tests.same import assert_same

IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Between(nn.Module):
    """A network with a function of the module and the map between its convolution and its head."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], features: int = 256) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(features, 5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc(self.function(self, F.relu(self.conv(x))).flatten(1))
        return result


def around(layer: nn.Module, features: int = 256) -> nn.Module:
    """The same network with a module in the place of the function."""
    network = Between(lambda m, x: m.layer(x), features)
    network.layer = layer
    return network.eval()


def refusal(module: nn.Module, images: Tensor = IMAGES) -> str:
    with pytest.raises(CompileError) as caught:
        compile(module.eval(), images)
    assert "\n" not in str(caught.value)
    return str(caught.value)


PLAIN = compile(Between(lambda m, x: x).eval(), IMAGES)


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(1),
        nn.AvgPool2d(1, 1, ceil_mode=True, count_include_pad=False),
        nn.MaxPool2d(1),
        nn.MaxPool2d(1, 1, dilation=3),
        nn.AdaptiveAvgPool2d(8),
        nn.AdaptiveMaxPool2d((None, 8)),
        nn.Upsample(scale_factor=1),
        nn.Upsample(size=8, mode="bilinear"),
        nn.UpsamplingBilinear2d(scale_factor=(1, 1)),
        nn.PixelShuffle(1),
        nn.PixelUnshuffle(1),
        nn.ChannelShuffle(1),
        nn.ZeroPad2d(0),
        nn.ConstantPad2d(0, 3.0),
        nn.ReflectionPad2d(0),
        nn.ReplicationPad2d(0),
        nn.Unflatten(1, (4,)),
        nn.Sequential(nn.Dropout(), nn.AvgPool2d(1), nn.Identity()),
    ],
)
def test_a_layer_that_changes_nothing_is_not_in_the_program(layer: nn.Module) -> None:
    assert_same(compile(around(layer), IMAGES), PLAIN)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.avg_pool2d(x, 1),
        lambda m, x: F.max_pool2d(x, 1, 1),
        lambda m, x: F.adaptive_avg_pool2d(x, 8),
        lambda m, x: F.adaptive_max_pool2d(x, (8, 8)),
        lambda m, x: F.interpolate(x, size=(8, 8)),
        lambda m, x: F.interpolate(x, scale_factor=1.0, mode="nearest"),
        lambda m, x: F.pixel_shuffle(x, 1),
        lambda m, x: F.pad(x, (0, 0, 0, 0)),
        lambda m, x: F.pad(x, (0, 0, 0, 0), mode="replicate"),
        lambda m, x: x[:],
        lambda m, x: x[:, :4, ..., :100],
        lambda m, x: x * 1.0 + 0,
        lambda m, x: x / torch.ones(4, 1, 1) - torch.zeros(1),
        lambda m, x: x.to(torch.float64).float().cpu().contiguous(),
        lambda m, x: x.expand(-1, -1, 8, 8).repeat(1, 1, 1, 1),
        lambda m, x: x.squeeze(3),
        lambda m, x: torch.clone(x).detach(),
        lambda m, x: F.dropout(x, training=False),
    ],
)
def test_a_call_that_changes_nothing_is_not_in_the_program(function: Any) -> None:
    assert_same(compile(Between(function).eval(), IMAGES), PLAIN)


@pytest.mark.parametrize(
    ("function", "features", "expected"),
    [
        (lambda m, x: F.interpolate(x, scale_factor=1.1), 256, "interpolate cannot run"),
        (lambda m, x: F.pad(x, (1, -1, 0, 0)), 256, "pad: cuts the map off"),
        (lambda m, x: x[:16], 256, "getitem cannot run"),
        (lambda m, x: x.flip(3), 256, "Tensor.flip cannot run"),
        (lambda m, x: x.transpose(2, 3), 256, "Tensor.transpose cannot run"),
        (lambda m, x: x.half().float(), 256, "half: Tensor.half cannot run on the engine: remove"),
        (lambda m, x: x.to(torch.int32).float(), 256, "remove the conversion"),
        (lambda m, x: x.sum(0, keepdim=True), 256, "Tensor.sum cannot run"),
        (lambda m, x: F.avg_pool2d(x, 2, 1, 1)[:, :, :8, :8], 256, "getitem cannot run"),
        (lambda m, x: F.dropout(x), 256, "dropout is active at inference"),
    ],
)
def test_what_only_keeps_the_shape_is_no_identity(
    function: Any, features: int, expected: str
) -> None:
    assert expected in refusal(Between(function, features))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clamp(min=0),
        lambda x: x.clamp(0),
        lambda x: x.clamp_(min=0),
        lambda x: torch.clip(x, 0),
        lambda x: torch.clamp_min(x, 0),
        lambda x: F.leaky_relu(x, 0.0),
        lambda x: F.threshold(x, 0, 0),
        lambda x: nn.LeakyReLU(0.0).forward(x),
    ],
)
def test_what_equals_relu_is_relu(function: Any) -> None:
    class Rectified(Between):
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.fc(function(self.conv(x)).flatten(1))
            return result

    assert_same(compile(Rectified(None).eval(), IMAGES), PLAIN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2)),
        (nn.AdaptiveMaxPool2d(4), nn.MaxPool2d(2)),
        (nn.AdaptiveMaxPool2d((4, None)), nn.MaxPool2d((2, 1))),
        (nn.AdaptiveAvgPool2d((4, 2)), nn.AvgPool2d((2, 4))),
        (nn.AvgPool2d(1, 2), nn.MaxPool2d(1, 2)),
        (nn.AvgPool2d(1, 2, ceil_mode=True), nn.MaxPool2d(1, 2)),
    ],
)
def test_pools_that_take_the_same_maxima_are_the_same(one: nn.Module, other: nn.Module) -> None:
    features = int(one(torch.zeros(1, 4, 8, 8)).numel())
    assert_same(compile(around(one, features), IMAGES), compile(around(other, features), IMAGES))


# --- zeros around the map -----------------------------------------------------------------------


def shifting(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.bias)
    return norm


def padded(*front: nn.Module, kernel: int = 3, stride: int = 1, padding: Any = 0) -> nn.Module:
    torch.manual_seed(kernel)
    conv = nn.Conv2d(2, 3, kernel, stride, padding)
    with torch.no_grad():
        side = nn.Sequential(*front, conv)(torch.zeros(1, 2, 8, 8)).shape[2:]
    torch.manual_seed(9)
    first, last = nn.Conv2d(1, 2, 1), nn.Linear(3 * side[0] * side[1], 5)
    return nn.Sequential(first, nn.ReLU(), *front, conv, nn.ReLU(), nn.Flatten(), last).eval()


@pytest.mark.parametrize(
    ("front", "sizes", "padding"),
    [
        ([nn.ZeroPad2d(1)], dict(kernel=3), 1),
        ([nn.ZeroPad2d((2, 2, 2, 2))], dict(kernel=5, stride=2), 2),
        ([nn.ZeroPad2d(1)], dict(kernel=5, padding=1), 2),
        ([nn.ConstantPad2d(1, 0.0), nn.Dropout(), nn.ZeroPad2d(1)], dict(kernel=4), 2),
        ([nn.ZeroPad2d((1, 0, 1, 0)), nn.ZeroPad2d((0, 1, 0, 1))], dict(kernel=3), 1),
        ([nn.ZeroPad2d(1), nn.ReLU()], dict(kernel=3), 1),
        ([nn.ZeroPad2d((1, 0, 1, 0))], dict(kernel=3, stride=2, padding=0), 1),
        ([], dict(kernel=1, padding="same"), 0),
        ([], dict(kernel=3, padding="same"), 1),
        ([], dict(kernel=7, padding="same"), 3),
        ([], dict(kernel=3, padding="valid"), 0),
    ],
)
def test_zeros_around_the_map_are_padding_of_the_convolution(
    front: list[nn.Module], sizes: dict[str, Any], padding: int
) -> None:
    module = padded(*front, **sizes)
    twin = padded(**sizes | {"padding": padding})
    twin.load_state_dict(dict(zip(twin.state_dict(), module.state_dict().values(), strict=True)))
    assert_same(compile(module, IMAGES), compile(twin, IMAGES), names=False)


def test_zeros_by_a_call_and_at_the_input_are_padding_too() -> None:
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = padded()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.body(F.pad(x, (1, 1, 1, 1))[:])
            return result

    module = Called()
    module.body[0] = nn.Conv2d(1, 2, 3)
    twin = padded()
    twin[0] = nn.Conv2d(1, 2, 3, padding=1)
    twin.load_state_dict(module.body.state_dict())
    assert_same(compile(module, IMAGES), compile(twin, IMAGES), names=False)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (padded(nn.ZeroPad2d(3)), "padding below the kernel"),
        (padded(nn.ConstantPad2d(1, 0.5)), "2: ConstantPad2d cannot run on the engine: the engine"),
        (padded(nn.ReflectionPad2d(1)), "2: ReflectionPad2d cannot run"),
        (padded(nn.ZeroPad2d(-1)), "2: cuts the map off"),
        (padded(nn.ZeroPad2d(1), shifting(2)), "2: zeros around the map before 3: the engine"),
        (padded(shifting(2), nn.ZeroPad2d(1), nn.MaxPool2d(2)), "3: zeros around the map before 4"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(100, 5)), "0: zeros around"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Unflatten(1, (5, 1, 1)),
                       nn.ZeroPad2d(1)), "Unflatten cannot run"),
        (nn.Sequential(nn.Conv2d(1, 5, 8), nn.ZeroPad2d(1)), "1: zeros around the map before the"),
    ],
)  # fmt: skip
def test_zeros_that_no_convolution_can_take_are_refused(module: nn.Module, expected: str) -> None:
    assert expected in refusal(module)


@pytest.mark.parametrize(
    "module",
    [
        padded(kernel=4, padding="same"),
        padded(nn.ZeroPad2d((0, 1, 0, 1)), kernel=2),
        padded(nn.ZeroPad2d((2, 1, 0, 0))),
        padded(nn.ZeroPad2d((1, 2, 1, 2)), stride=2),
        padded(nn.ZeroPad2d((0, 2, 1, 0)), nn.BatchNorm2d(2)),
        padded(nn.ZeroPad2d((1, 0, 1, 2)), nn.MaxPool2d(3, 2)),
        padded(nn.ZeroPad2d((1, 0, 1, 2)), nn.AvgPool2d(3, 2)),
        padded(shifting(2), nn.ZeroPad2d((1, 0, 1, 2)), nn.AvgPool2d(3, 1)),
    ],
)
def test_zeros_that_differ_by_side_are_zeros_of_the_layer_that_reads_them(
    module: nn.Module,
) -> None:
    program = compile(module, IMAGES, load_config("default").with_bits(16))
    assert len(program.layers) <= 5
    with torch.no_grad():
        real = module(IMAGES).numpy()
    assert np.abs(logits(program, IMAGES) - real).max() < 1e-3 * np.abs(real).max()


# --- copies of a pixel --------------------------------------------------------------------------


def headed(*tail: nn.Module, copies: int = 1) -> nn.Sequential:
    torch.manual_seed(2)
    head = nn.Linear(6 * copies, 5)
    return nn.Sequential(nn.Conv2d(1, 6, 8), nn.ReLU(), *tail, nn.Flatten(), head).eval()


@pytest.mark.parametrize(
    "tail",
    [
        [nn.AdaptiveAvgPool2d(7)],
        [nn.AdaptiveMaxPool2d((7, 7))],
        [nn.Upsample(scale_factor=7)],
        [nn.AdaptiveAvgPool2d(7), nn.ReLU(), nn.Dropout()],
    ],
)
def test_copies_of_a_pixel_are_sums_of_the_weights_that_read_them(tail: list[nn.Module]) -> None:
    module, twin = headed(*tail, copies=49), headed()
    with torch.no_grad():
        twin[0].load_state_dict(module[0].state_dict())
        # Double precision, as the compiler adds: no rounding but that of the sum.
        summed = module[-1].weight.double().view(5, 6, 49).sum(2)
        module[-1].weight.copy_((summed.float() / 49).repeat_interleave(49, 1))
        twin[-1].weight.copy_(module[-1].weight.double().view(5, 6, 49).sum(2))
        twin[-1].bias.copy_(module[-1].bias)
    found, expected = compile(module, IMAGES), compile(twin, IMAGES)
    assert found.mac_layers[-1].fan_in == 6
    with torch.no_grad():
        real = module(IMAGES).numpy()
    assert np.linalg.norm(logits(found, IMAGES) - real) < 0.05 * np.linalg.norm(real)
    assert_same(found, expected, names=False)


def test_copies_that_a_hashed_layer_reads_are_refused() -> None:
    message = refusal(compress(headed(nn.AdaptiveAvgPool2d(7), copies=49), 0.5))
    assert message.startswith("2: repeats each pixel 49 times before 4")


def test_copies_do_not_learn_apart() -> None:
    with pytest.raises(InputError, match="copies of a pixel are one on the engine"):
        TrainableEngine(headed(nn.AdaptiveAvgPool2d(7), copies=49), IMAGES)


def test_a_mean_over_one_pixel_flattens() -> None:
    module = nn.Sequential(nn.Conv2d(1, 6, 8), nn.ReLU(), Mean(), nn.Linear(6, 5)).eval()
    twin = nn.Sequential(module[0], nn.ReLU(), nn.Flatten(), module[3])
    assert_same(compile(module, IMAGES), compile(twin, IMAGES), names=False)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(3).amax(-1)
