"""Normalization in front of a padded convolution: what stands around the map is the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim import Engine, compile, load_config
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer

EIGHT = load_config("default")
FINE = EIGHT.replace(act_w=12, wgt_w=16, acc_w=48, mult_w=16)
#: Of MNIST, ImageNet and CIFAR-10; the last one's mean is beyond what a pixel can be.
MEANS = {
    "one for all": ([0.1307], [0.3081]),
    "by channel": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "same means, other deviations": ([0.5, 0.5, 0.5], [0.2, 0.4, 0.5]),
    "beyond the pixels": ([1.5, -0.25, 0.5], [0.5, 0.25, 0.5]),
}
SIDES: dict[str, Any] = {
    "1": 1, "2": 2, "2 x 1": (2, 1), "0 x 2": (0, 2), "same": "same", "left and top": (2, 0, 1, 0),
}  # fmt: skip


class Normalized(nn.Module):
    """(x − mean) / std, zeros around that, a convolution; then a classifier."""

    def __init__(self, means: str, sides: Any, batch_norm: bool = False) -> None:
        super().__init__()
        mean, deviation = (torch.tensor(v).view(-1, 1, 1) for v in MEANS[means])
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        four = isinstance(sides, tuple) and len(sides) == 4
        self.sides = sides if four else None
        self.conv = nn.Conv2d(3, 6, 3, padding=0 if four else sides)
        self.norm = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.head = nn.LazyLinear(4)

    def map(self, x: Tensor) -> Tensor:
        """What the convolution gives, (N, 6, H, W)."""
        x = (x - self.mean) / self.deviation
        if self.sides is not None:
            x = F.pad(x, self.sides)
        return F.relu(self.norm(self.conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.map(x).flatten(1))
        return logits


def both(module: Normalized, config: EngineConfig) -> tuple[NDArray[Any], NDArray[Any], float]:
    """The convolution's map on the engine and in float, (N, 6, H, W), and a step of the first.

    The images lie on the grid, so that inside the map nothing but the engine's rounding is seen.
    """
    top = config.act_max
    draw = torch.Generator().manual_seed(3)
    x = torch.randint(top + 1, (24, 3, 9, 7), generator=draw).float() / top
    with torch.no_grad():
        module.eval()(x[:2])  # gives the classifier its weights
        expected = module.map(x).double().numpy()
    engine = Engine(compile(module, x, config))
    names = [stage.name for stage in engine.datapath.stages[:-1]]
    layer = next(one for one in engine.program.layers if one.name == "conv")
    assert isinstance(layer, MacLayer)
    codes = engine.feature_maps(x)[names.index("conv")].astype(np.float64)
    return (codes - layer.zero) * layer.scale, expected, layer.scale


def rim(values: NDArray[Any]) -> NDArray[np.bool_]:
    """(H, W): the places two or nearer to a side, where a window can leave the map."""
    height, width = values.shape[2:]
    inside = np.zeros((height, width), bool)
    inside[2 : height - 2, 2 : width - 2] = True
    return ~inside


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("means", MEANS)
def test_the_map_agrees_with_float_at_its_borders(means: str, sides: str) -> None:
    torch.manual_seed(1)
    found, expected, _ = both(Normalized(means, SIDES[sides]), FINE)
    error, border = np.abs(found - expected), rim(expected)
    spread = expected.std()
    assert error[:, :, border].max() < 1e-2 * spread
    assert error[:, :, ~border].max() < 1e-2 * spread


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("means", MEANS)
def test_at_eight_bits_the_border_is_no_worse_than_half_a_step_of_the_input(
    means: str, sides: str
) -> None:
    torch.manual_seed(1)
    module = Normalized(means, SIDES[sides])
    found, expected, step = both(module, EIGHT)
    error, border = np.abs(found - expected), rim(expected)
    # A mean between two codes is padded with the nearer one: half a step in every weight at most.
    deviation = module.deviation.numpy().min()
    reach = float(module.conv.weight.detach().abs().sum((1, 2, 3)).max())
    half = 0.5 / EIGHT.act_max / deviation * reach
    inside = error[:, :, ~border].max()
    assert error[:, :, border].max() <= inside + half + step
    assert np.abs((found - expected)[:, :, border].mean()) < 0.02 * expected.std()


def test_batch_norm_behind_it_changes_nothing_of_that() -> None:
    torch.manual_seed(1)
    module = Normalized("by channel", 1, batch_norm=True)
    with torch.no_grad():
        module.norm.running_mean.uniform_(-1, 1)
        module.norm.running_var.uniform_(0.5, 2)
        module.norm.weight.uniform_(0.5, 1.5)
        module.norm.bias.uniform_(-0.5, 0.5)
    found, expected, _ = both(module, FINE)
    assert np.abs(found - expected).max() < 1e-2 * expected.std()


def test_zeros_of_the_pixels_around_the_map_would_be_seen() -> None:
    """The same with padding in front of the normalization: what the borders must not be."""

    class Outside(Normalized):
        def map(self, x: Tensor) -> Tensor:
            x = (F.pad(x, (1, 1, 1, 1)) - self.mean) / self.deviation
            return F.relu(self.conv(x))

    torch.manual_seed(1)
    right = Normalized("by channel", 1)
    wrong = Outside("by channel", 0)
    wrong.conv.load_state_dict(right.conv.state_dict())
    x = torch.rand(8, 3, 9, 7)
    border = rim(right.map(x).detach().numpy())
    apart = (right.map(x) - wrong.map(x)).abs()
    assert float(apart[:, :, torch.from_numpy(border)].max()) > 0.5 * float(right.map(x).std())
    assert float(apart[:, :, torch.from_numpy(~border)].max()) < 1e-5
