"""Networks compile to what they compute."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hwsim
from hwsim.compiler.compiler import compile
from hwsim.models.layers import compress
from hwsim.program.program import Program
from tests.chains import (
    DEFAULT,
    IMAGES,
    NETWORKS,
    Lenet,
    Normalize,
    batch_norm,
    conv,
    error_of,
    head,
    images,
    seeded,
    shared_layer,
)


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
