"""Networks that people have, small: residual, dense, separable, of 1998."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def images(*shape: int, count: int = 16) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(3))


def seen(module: nn.Module) -> nn.Module:
    """Batch norms that have seen something."""
    torch.manual_seed(5)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    return module.eval()


class Basic(nn.Module):
    """A block of a ResNet as torchvision has it, with one ReLU used twice, in place."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Preactivated(nn.Module):
    """Batch norm and ReLU before each convolution; the sum is read by both branches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(self.bn1(x)))
        return self.conv2(F.relu(self.bn2(out))) + x


class Inverted(nn.Module):
    """A block of MobileNetV2: linear bottleneck, depthwise convolution."""

    def __init__(self, before: int, after: int, stride: int, grown: int = 3) -> None:
        super().__init__()
        hidden = before * grown
        self.conv = nn.Sequential(
            nn.Conv2d(before, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden), nn.ReLU6(True),
            nn.Conv2d(hidden, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.conv(x) if self.adds else self.conv(x)
        return result


class Fire(nn.Module):
    def __init__(self, before: int, squeezed: int, after: int) -> None:
        super().__init__()
        self.squeeze, self.one = nn.Conv2d(before, squeezed, 1), nn.Conv2d(squeezed, after, 1)
        self.three = nn.Conv2d(squeezed, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


class Inception(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()

        def basic(i: int, o: int, **options: Any) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, bias=False, **options), nn.BatchNorm2d(o))

        self.branch1 = basic(before, 4, kernel_size=1)
        self.branch2 = nn.Sequential(basic(before, 3, kernel_size=1), nn.ReLU(),
                                     basic(3, 6, kernel_size=3, padding=1))  # fmt: skip
        self.branch3 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True),
                                     basic(before, 2, kernel_size=1))  # fmt: skip
        self.branch4 = nn.Sequential(nn.AvgPool2d(3, 1, 1), basic(before, 2, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1, self.branch2, self.branch3, self.branch4]
        return torch.cat([F.relu(branch(x)) for branch in branches], 1)


class Dense(nn.Module):
    """Layers of a DenseNet: each reads all before it, as torchvision writes it."""

    def __init__(self, before: int, growth: int, count: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(before + k * growth) for k in range(count))
        self.convs = nn.ModuleList(
            nn.Conv2d(before + k * growth, growth, 3, padding=1, bias=False) for k in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        return torch.cat(features, 1)


class Normalize(nn.Module):
    """(x − mean) / std with buffers, as everyone writes it."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("m", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("s", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (x - self.m) / self.s
        return result


CIFAR = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])


def stem(channels: int, planes: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(planes, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU(True)]  # fmt: skip


def head(features: int, classes: int = 10) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)]


Made = tuple[nn.Module, tuple[int, ...]]


NETWORKS: dict[str, Callable[[], Made]] = {
    "resnet": lambda: (
        nn.Sequential(*stem(8), Basic(8, 8, 1), Basic(8, 16, 2), Basic(16, 16, 1), *head(16)),
        (3, 16, 16)),
    "normalized resnet": lambda: (
        nn.Sequential(Normalize(*CIFAR), *stem(8), Basic(8, 16, 2), *head(16)), (3, 16, 16)),
    "pre-activation resnet": lambda: (
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Preactivated(8), Preactivated(8),
                      nn.BatchNorm2d(8), nn.ReLU(), *head(8)), (3, 12, 12)),
    "mobilenet v2": lambda: (
        nn.Sequential(*stem(8), Inverted(8, 8, 1), Inverted(8, 12, 2), Inverted(12, 12, 1),
                      *head(12)), (3, 16, 16)),
    "squeezenet": lambda: (
        nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True),
                      Fire(8, 4, 8), Fire(16, 4, 8), nn.Dropout(0.5), nn.Conv2d(16, 10, 1),
                      nn.ReLU(True), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()), (3, 24, 24)),
    "googlenet": lambda: (
        nn.Sequential(*stem(8), Inception(8), Inception(14), *head(14)), (3, 12, 12)),
    "densenet": lambda: (
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Dense(8, 4, 3), nn.BatchNorm2d(20),
                      nn.ReLU(), nn.Conv2d(20, 10, 1), nn.AvgPool2d(2, 2), Dense(10, 4, 2),
                      nn.BatchNorm2d(18), nn.ReLU(), *head(18)), (3, 12, 12)),
    "lenet of 1998": lambda: (
        nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
                      nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                      nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
                      nn.Linear(84, 10)), (1, 28, 28)),
    "wong and kolter": lambda: (
        nn.Sequential(nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),
                      nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
                      nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10)), (1, 28, 28)),
    "madry": lambda: (
        nn.Sequential(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                      nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10)), (1, 28, 28)),
    "ds-cnn": lambda: (
        nn.Sequential(nn.Conv2d(1, 8, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(8),
                      nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False),
                      nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), *head(8, 12)),
        (1, 49, 10)),
    "hls4ml": lambda: (
        nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
                      nn.Linear(32, 5), nn.Softmax(1)), (16,)),
    "finn mlp": lambda: (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(),
                      nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)),
        (1, 8, 8)),
    "series": lambda: (
        nn.Sequential(nn.Conv1d(3, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU(),
                      nn.MaxPool1d(3, 2, 1), nn.Conv1d(8, 8, 3, groups=4), nn.LeakyReLU(0.1),
                      nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 4)),
        (3, 64)),
    "autoencoder": lambda: (
        nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 20), nn.Sigmoid()), (20,)),
}  # fmt: skip
