"""Networks compile to what they compute, and what cannot be compiled says what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hwsim
from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.models.layers import HashConv2d, HashLinear, compress
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.layers import MacLayer, PoolLayer
from hwsim.program.program import Program
from tests.executor import integers, logits

DEFAULT = load_config("default")
FINE = DEFAULT.with_bits(16)


def images(count: int = 32, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


IMAGES = images()


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(7)
    return build().eval()


def error_of(module: nn.Module, x: Tensor, config: EngineConfig = FINE) -> float:
    """Largest difference between engine and float logits, as a share of the largest logit."""
    program = compile(module, x, config)
    with torch.no_grad():
        expected = module.eval()(x).double()
    found = torch.from_numpy(logits(program, x))
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def refusal(module: nn.Module, x: Tensor = IMAGES, config: EngineConfig = DEFAULT) -> str:
    with pytest.raises(CompileError) as caught:
        compile(module, x, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def batch_norm(channels: int, **options: Any) -> nn.BatchNorm2d:
    """A batch norm that has seen something: negative, zero and tiny gammas among its channels."""
    norm = nn.BatchNorm2d(channels, **options)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(torch.linspace(-0.3, 0.3, channels))
        norm.running_var.copy_(torch.linspace(0.05, 2.0, channels))
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, -0.8, 0.0, 1e-9, 0.5, -2.0])[:channels])
            norm.bias.copy_(torch.linspace(0.4, -0.1, channels))
    return norm


def head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, 5)]


class Normalize(nn.Module):
    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (x - self.mean) / self.std
        return result


class Lenet(nn.Module):
    """As in a hundred tutorials: one pool module used twice, functional ReLUs, a view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 2)
        self.pool = nn.MaxPool2d(2)
        self.fc1, self.fc2 = nn.Linear(6, 16), nn.Linear(16, 5)
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 0.1307) / 0.3081
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.pool(self.conv2(x)))
        x = x.view(x.size(0), -1)
        x = F.dropout(self.fc1(x).relu(), training=self.training)
        logits: Tensor = self.fc2(self.drop(x))
        return logits


def shared_layer() -> nn.Module:
    twice = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(64, 5))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "one linear": lambda: nn.Sequential(*head(64)),
    "one normalized linear": lambda: nn.Sequential(Normalize([0.3], [0.2]), *head(64)),
    "one hashed linear": lambda: nn.Sequential(nn.Flatten(), HashLinear(64, 5, rate=0.25)),
    "two linears": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 5)
    ),
    "no bias": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), *head(108)),
    "stride 2": lambda: nn.Sequential(nn.Conv2d(1, 3, 5, 2, 2), nn.ReLU(), *head(48)),
    "kernel 7": lambda: nn.Sequential(nn.Conv2d(1, 3, 7, padding=6), nn.ReLU(), *head(588)),
    "hashed": lambda: nn.Sequential(
        HashConv2d(1, 6, 3, padding=1, rate=0.5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        HashLinear(96, 8, scheme="banked", rate=0.5), nn.ReLU(), HashLinear(8, 5, scheme="dense"),
    ),
    "conv relu pool": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), *head(54)
    ),
    "conv pool relu": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.MaxPool2d(2), nn.ReLU(), *head(54)
    ),
    "conv norm relu pool": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), batch_norm(6), nn.ReLU(), nn.MaxPool2d(3, 1), *head(96)
    ),
    "conv norm pool relu": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), batch_norm(6), nn.MaxPool2d(2), nn.ReLU(), *head(54)
    ),
    "norm without affine": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), batch_norm(6, affine=False), nn.ReLU(), *head(216)
    ),
    "two norms": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 3), batch_norm(6), batch_norm(6), nn.ReLU(), *head(216)
    ),
    "norm of a linear": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5)
    ),
    "norm of a flattened pixel": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 8), nn.Flatten(), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5)
    ),
    "pools on the input": lambda: nn.Sequential(
        nn.MaxPool2d(2), nn.MaxPool2d(2, 1), nn.Conv2d(1, 4, 2), nn.ReLU(), *head(16)
    ),
    "normalized pool": lambda: nn.Sequential(
        Normalize([0.4], [0.3]), nn.MaxPool2d(2), nn.Conv2d(1, 4, 2), nn.ReLU(), *head(36)
    ),
    "two pools": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(3, 1), nn.Flatten(),
        nn.Dropout(), nn.Linear(16, 5),
    ),
    "lenet": Lenet,
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU())), nn.Identity(),
        nn.AdaptiveAvgPool2d(6), nn.Sequential(*head(144)),
    ),
    "shared": shared_layer,
    "convolutional head": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 8), nn.Flatten()
    ),
    "hashed convolutional head": lambda: nn.Sequential(
        HashConv2d(1, 5, 8, rate=0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "negative": lambda: nn.Sequential(Affine(-1.0, 1.0), nn.Conv2d(1, 4, 3), nn.ReLU(), *head(144)),
    "scaled": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), Affine(0.1, 0.05), nn.ReLU(), *head(144)),
    "dead": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), Affine(1.0, -99), nn.ReLU(), *head(144)),
    "no relu": lambda: nn.Sequential(conv(), *head(256)),
    "no relu before a pool": lambda: nn.Sequential(conv(), nn.MaxPool2d(2), *head(64)),
    "a relu at the end": lambda: nn.Sequential(*head(64), nn.ReLU()),
    "a norm at the end": lambda: nn.Sequential(*head(64), nn.BatchNorm1d(5, affine=False)),
    "a factor at the end": lambda: nn.Sequential(*head(64), Affine(2.0, 0.5)),
    "a factor behind a hashed end": lambda: nn.Sequential(
        nn.Flatten(), HashLinear(64, 5, rate=0.5), Affine(2.0, 0.5)
    ),
    "a negative factor behind a hashed end": lambda: nn.Sequential(
        nn.Flatten(), HashLinear(64, 5, rate=0.5), Affine(-2.0, 0.5)
    ),
    "a sum at the end": lambda: nn.Sequential(conv(), nn.AvgPool2d(8), nn.Flatten(), Doubled()),
    "a padded convolution at the end": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 8), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.Flatten()
    ),
    "a wide padded convolution at the end": lambda: nn.Sequential(
        nn.Conv2d(1, 5, 10, padding=1), nn.Flatten()
    ),
    "norm behind a pool": lambda: nn.Sequential(
        conv(), nn.MaxPool2d(2), batch_norm(4), nn.ReLU(), *head(64)
    ),
    "norm behind relu": lambda: nn.Sequential(conv(), nn.ReLU(), batch_norm(4), *head(256)),
    "norm before a padded convolution": lambda: nn.Sequential(
        conv(), nn.ReLU(), batch_norm(4), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), *head(192)
    ),
    "norm before a convolution": lambda: nn.Sequential(
        conv(), nn.ReLU(), batch_norm(4), nn.Conv2d(4, 3, 3), nn.ReLU(), *head(108)
    ),
    "norm before groups": lambda: nn.Sequential(
        conv(), nn.ReLU(), batch_norm(4), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), *head(216)
    ),
    "norm of pixels": lambda: nn.Sequential(
        conv(), nn.ReLU(), nn.Flatten(), norm_of_pixels(256), nn.Linear(256, 5)
    ),
    "stride 3 and 4": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=(3, 4), padding=1), nn.ReLU(), *head(24)
    ),
    "large kernels": lambda: nn.Sequential(
        nn.Conv2d(1, 4, (11, 1), padding=(5, 0)), nn.ReLU(), nn.MaxPool2d(4), *head(16)
    ),
    "mean and padding": lambda: nn.Sequential(
        Normalize([0.1307], [0.3081]), conv(), nn.ReLU(), *head(256)
    ),
    "negative pool": lambda: nn.Sequential(Affine(-1.0, 1.0), nn.MaxPool2d(2), *head(16)),
    "normalized relu": lambda: nn.Sequential(Normalize([0.5], [0.5]), nn.ReLU(), *head(64)),
    "padded pools": lambda: nn.Sequential(
        conv(), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.ZeroPad2d((1, 0, 0, 1)),
        nn.MaxPool2d((2, 3), 1), nn.AvgPool2d(3, 1, 1), *head(80),
    ),
    "relu6": lambda: nn.Sequential(conv(), Affine(9.0, 1.0), nn.ReLU6(), *head(256)),
    "clamped twice": lambda: nn.Sequential(
        conv(), nn.Hardtanh(-0.3, 0.4), nn.ReLU6(), Affine(-2.0, 1.0), *head(256)
    ),
    "three relus": lambda: nn.Sequential(
        nn.ReLU(), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ReLU(), *head(144)
    ),
}  # fmt: skip


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x


class Affine(nn.Module):
    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


@pytest.mark.parametrize("name", NETWORKS)
def test_sixteen_bits_compute_what_the_float_network_computes(name: str) -> None:
    assert error_of(seeded(NETWORKS[name]), IMAGES) < 1e-3


@pytest.mark.parametrize("name", ["lenet", "hashed", "conv norm relu pool", "one linear"])
def test_eight_bits_come_close(name: str) -> None:
    assert error_of(seeded(NETWORKS[name]), IMAGES, DEFAULT) < 0.1


@pytest.mark.parametrize("scheme", ["xxh32", "banked", "dense"])
def test_colour_images_with_one_std_and_three_means_compile(scheme: Any) -> None:
    x = images(16, (3, 9, 7))
    module = seeded(
        lambda: nn.Sequential(
            Normalize([0.1, 0.5, 0.9], [0.25, 0.25, 0.25]),
            nn.Conv2d(3, 6, 3, stride=2),
            nn.ReLU(),
            *head(72),
        )
    )
    assert error_of(compress(module, 0.5, scheme), x) < 1e-3
    flat = nn.Sequential(module[0], *head(189))
    assert error_of(flat, x) < 1e-3


def test_a_mean_per_pixel_folds_into_a_linear_layer() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.linspace(0, 1, 64).view(1, 8, 8))
            self.fc = nn.Linear(64, 5)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc((x - self.mean).flatten(1))
            return logits

    assert error_of(seeded(Centred), IMAGES) < 1e-3


@pytest.mark.parametrize("act_w", range(4, 17))
@pytest.mark.parametrize("wgt_w", range(4, 17, 3))
def test_every_width_compiles_and_error_follows_it(act_w: int, wgt_w: int) -> None:
    module = seeded(NETWORKS["hashed"])
    config = DEFAULT.replace(act_w=act_w, wgt_w=wgt_w)
    program = compile(module, IMAGES, config)
    peak = max(int(np.abs(layer.weights).max()) for layer in program.mac_layers)
    assert config.wgt_max // 2 <= peak <= config.wgt_max
    assert error_of(module, IMAGES, config) < 16 * (2.0**-act_w + 2.0**-wgt_w)


def test_the_program_describes_the_network() -> None:
    program = compile(seeded(Lenet), IMAGES, "default", provenance={"model": "lenet"})
    assert [(layer.name, layer.kind) for layer in program.layers] == [
        ("conv1", "conv"), ("pool", "pool"), ("conv2", "conv"), ("pool#2", "pool"), ("fc1", "fc"),
        ("fc2", "fc"),
    ]  # fmt: skip
    assert program.input_shape == (1, 8, 8)
    assert [layer.out_shape for layer in program.layers][:4] == [
        (4, 6, 6), (4, 3, 3), (6, 2, 2), (6, 1, 1),
    ]  # fmt: skip
    assert program.provenance == {"model": "lenet"}
    assert program.history == ()
    assert program.classes == 5
    assert [layer.last for layer in program.mac_layers] == [False, False, False, True]


def test_a_shared_layer_stands_twice_under_two_names() -> None:
    program = compile(seeded(shared_layer), IMAGES)
    assert [layer.name for layer in program.layers] == ["1", "1#2", "5"]
    first, second = program.mac_layers[:2]
    np.testing.assert_array_equal(first.weights, second.weights)


def test_rom_words_are_the_float_weights_in_steps_of_their_row() -> None:
    module = nn.Sequential(
        Normalize([0.3], [0.2]), nn.Conv2d(1, 6, 3), batch_norm(6), nn.ReLU(), *head(216)
    )
    conv, _ = compile(module, IMAGES).mac_layers
    weight = module[1].weight.detach().double().numpy().reshape(6, 9)
    np.testing.assert_array_equal(
        conv.virtual_weights,
        np.clip(np.floor(weight / conv.weight_scale[:, None] + 0.5), -127, 127).astype(int),
    )


def test_only_a_network_of_one_layer_carries_the_input_factor_in_its_weights() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias=False))
    with torch.no_grad():
        module[1].weight.fill_(0.5)
    program = compile(module, IMAGES, DEFAULT.replace(act_w=4, wgt_w=16))
    exact = 0.5 * 16 / 15
    frac = round(-np.log2(program.logit_scale)) - 4
    assert abs(program.output.weights[0] * 2.0**-frac - exact) < 2.0**-15


@pytest.mark.parametrize("act_w", [4, 8, 16])
def test_multipliers_of_the_first_layer_carry_the_input_factor(act_w: int) -> None:
    module = seeded(
        lambda: nn.Sequential(
            Normalize([0.0], [0.25]), conv(), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), *head(108)
        )
    )
    first, second, _ = compile(module, IMAGES, DEFAULT.replace(act_w=act_w)).mac_layers
    for layer, factor in ((first, 4 / (2**act_w - 1)), (second, first.scale)):
        ratio = layer.multiplier * 2.0**-layer.shift * layer.scale / layer.weight_scale
        np.testing.assert_allclose(ratio, factor, rtol=2.0**-15)


def test_a_dead_channel_is_requantized_to_its_offset_exactly() -> None:
    module = seeded(NETWORKS["conv norm relu pool"])
    conv = compile(module, IMAGES).mac_layers[0]
    assert (conv.multiplier[2], conv.shift[2]) == (0, 0)
    assert conv.bias[2] == np.floor(module[1].bias[2].item() / conv.scale + 0.5)


def test_compiling_twice_gives_the_same_program() -> None:
    module = seeded(lambda: compress(Lenet(), 0.5))
    first, second = compile(module, IMAGES), compile(module, IMAGES)
    assert len(first.layers) == len(second.layers)
    for a, b in zip(first.layers, second.layers, strict=True):
        for name, value in vars(a).items():
            if name in type(a).__dataclass_fields__:
                assert np.array_equal(value, getattr(b, name)), name


def test_the_module_is_left_as_it_was() -> None:
    module = seeded(Lenet)
    module.train()
    module.drop.eval()
    before = copy.deepcopy(module.state_dict())
    seen: list[Tensor] = []
    handle = module.conv1.register_forward_hook(lambda m, args, out: seen.append(out))
    x = IMAGES.clone()
    compile(module, x)
    assert torch.equal(x, IMAGES)
    assert module.training
    assert not module.drop.training
    assert handle.id in module.conv1._forward_hooks
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_and_calibration_of_other_float_types_compile(dtype: torch.dtype) -> None:
    module = seeded(Lenet).to(dtype)
    assert isinstance(compile(module, IMAGES.to(dtype).requires_grad_()), Program)


def test_hwsim_compile_is_the_compiler() -> None:
    assert hwsim.compile is compile


# --- what is refused ----------------------------------------------------------------------------


def norm_of_pixels(features: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(features)
    nn.init.uniform_(norm.weight)
    return norm


def conv() -> nn.Conv2d:
    return nn.Conv2d(1, 4, 3, padding=1)


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
