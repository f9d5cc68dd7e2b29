"""compile warns where one binary point per layer loses channels, and only there."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.compiler.rounding import UnevenChannelsWarning
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import table
from hwsim.program.program import Program

DEFAULT = load_config("default")
IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def normed(spread: float) -> nn.Sequential:
    """Channel c scaled by 2^-(spread · c), which the batch norm behind it takes back."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16, eps=1e-30)
    factors = 2.0 ** -(spread * torch.arange(16.0))
    with torch.no_grad():
        sums: Tensor = conv(IMAGES)
        norm.running_mean.copy_(sums.mean((0, 2, 3)) * factors)
        norm.running_var.copy_(sums.var((0, 2, 3)) * factors**2)
        conv.weight.mul_(factors[:, None, None, None])
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(576, 5)).eval()


def told(module: nn.Module, bits: int = 8) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile(module, IMAGES, DEFAULT.with_bits(bits))
    return [str(w.message) for w in caught if w.category is UnevenChannelsWarning]


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16])
def test_even_channels_are_no_reason_to_warn(bits: int) -> None:
    assert told(normed(0.0), bits) == []


def compile_quietly(module: nn.Module) -> Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(module, IMAGES)


@pytest.mark.parametrize("spread", [0.25, 0.5, 1.0, 3.0])
def test_channels_of_a_dense_layer_may_differ_by_any_factor(spread: float) -> None:
    found, even = compile_quietly(normed(spread)), compile_quietly(normed(0.0))
    assert told(normed(spread)) == []
    np.testing.assert_array_equal(found.mac_layers[0].weights, even.mac_layers[0].weights)
    factors = 2.0 ** -(spread * np.arange(16))
    np.testing.assert_allclose(
        found.mac_layers[0].weight_scale, even.mac_layers[0].weight_scale * factors, rtol=1e-6
    )


def hashed(shrunk: int, factor: float) -> nn.Sequential:
    """A hashed layer in which every weight that the first channels read is multiplied."""
    torch.manual_seed(0)
    conv, norm = HashConv2d(1, 16, 3, rate=1.0, bias=False), nn.BatchNorm2d(16, eps=1e-30)
    address, _ = table(conv.spec)
    with torch.no_grad():
        conv.weight[torch.from_numpy(address[:shrunk].reshape(-1))] *= factor
        sums: Tensor = conv(IMAGES)
        norm.running_mean.copy_(sums.mean((0, 2, 3)))
        norm.running_var.copy_(sums.var((0, 2, 3)))
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(576, 5)).eval()


def test_channels_of_a_hashed_layer_that_round_to_zero_are_counted_with_the_remedy() -> None:
    (message,) = told(hashed(4, 2.0**-12))
    program = compile_quietly(hashed(4, 2.0**-12))
    dead = int((program.mac_layers[0].virtual_weights == 0).all(1).sum())
    assert dead == 4
    assert message.startswith(f"0: {dead} of 16 channels rounded to zero, and its signal-to-noise")
    assert message.endswith("very different size: give the weights more bits (wgt_w)")


def test_channels_that_keep_few_bits_are_told_by_their_signal_to_noise_ratio() -> None:
    module = hashed(4, 2.0**-6)
    (message,) = told(module)
    assert message.startswith("0: 0 of 16 channels rounded to zero")
    decibels = float(message.split("ratio is ")[1].split(" dB")[0])
    words = compile_quietly(module).mac_layers[0]
    found = torch.from_numpy(words.virtual_weights * 2.0**-words.fw)
    real = module[0].virtual_weight().detach().double()
    gain = (module[1].running_var.double()).rsqrt()[:, None]
    noise = ((found - real) * gain).square().sum() / (real * gain).square().sum()
    assert abs(decibels + 10 * float(noise.log10())) < 0.06


def test_the_remedy_helps() -> None:
    assert told(hashed(4, 2.0**-6), 16) == []


def test_channels_that_are_zero_or_switched_off_or_too_faint_to_see_are_no_loss() -> None:
    module = normed(0.0)
    with torch.no_grad():
        module[0].weight[0] = 0.0
        module[0].weight[1] *= 1e-9
        module[1].weight[1] = 0.0
        module[0].weight[2] *= 1e-12
        module[1].running_mean[2], module[1].running_var[2] = 0.0, 1.0
    assert told(module) == []


def test_a_last_layer_and_a_hashed_one_are_told_what_can_help_them() -> None:
    module = nn.Sequential(nn.Flatten(), HashLinear(64, 3, rate=1.0), nn.ReLU(), nn.Linear(3, 5))
    last = module[3]
    with torch.no_grad():
        last.weight[1] *= 1e-6
    (message,) = told(module)
    assert message.startswith("3: 1 of 5 channels rounded to zero")
    assert "size: give the weights more bits" in message


def test_a_network_of_one_layer_that_carries_the_input_gain_is_not_blamed_for_it() -> None:
    torch.manual_seed(0)
    assert told(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), 4) == []
