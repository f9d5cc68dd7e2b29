"""Chains of layers in every order and spelling that the compiler takes, and images for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.errors import CompileError
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.numbers.config import EngineConfig, load_config
from tests.executor import logits

DEFAULT = load_config("default")
FINE = DEFAULT.with_bits(16)


def images(count: int = 32, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


IMAGES = images()


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


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(7)
    return build().eval()


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


def norm_of_pixels(features: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(features)
    nn.init.uniform_(norm.weight)
    return norm


def conv() -> nn.Conv2d:
    return nn.Conv2d(1, 4, 3, padding=1)


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
