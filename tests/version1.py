"""Chains with hashed layers, as version 1 compiled them, and digests of what it made of them.

`python -m tests.version1` prints the digests; those in version1.json are of commit 55c5fb5, the
last one before the machine ran graphs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.models.layers import HashConv2d, HashLinear
from hwsim.numbers.config import load_config


class Normalize(nn.Module):
    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (x - self.mean) / self.std
        return result


def images(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(1).rand(24, *shape).astype(np.float32))


def filled(module: nn.Module) -> nn.Module:
    """Weights, biases and statistics that depend on no generator of torch."""
    noise = np.random.RandomState(7)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            normalizes = name.endswith(("mean", "std")) and value.ndim == 3
            if not value.is_floating_point() or normalizes:
                continue
            scale = 0.2 if value.ndim else 1.0
            drawn = torch.from_numpy(noise.standard_normal(value.shape).astype(np.float32)) * scale
            value.copy_(drawn.abs() + 0.1 if name.endswith("var") else drawn)
    return module.eval()


def conv(*sizes: int, **options: Any) -> HashConv2d:
    return HashConv2d(*sizes, rate=0.5, **options)


def head(features: int, scheme: Any = "xxh32") -> list[nn.Module]:
    return [nn.Flatten(), HashLinear(features, 5, rate=0.3, scheme=scheme)]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "one": (lambda: nn.Sequential(*head(64)), (1, 8, 8)),
    "one, normalized": (lambda: nn.Sequential(Normalize([0.3], [0.2]), *head(64)), (1, 8, 8)),
    "conv relu pool": (
        lambda: nn.Sequential(conv(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), *head(54)), (1, 8, 8)),
    "conv norm pool relu": (
        lambda: nn.Sequential(conv(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6),
                              nn.MaxPool2d(2), nn.ReLU(), conv(6, 4, 3, 2, 1), nn.ReLU(),
                              *head(24, "banked")), (3, 9, 10)),
    "normalized conv": (
        lambda: nn.Sequential(Normalize([0.1, 0.5, 0.9], [0.25] * 3), conv(3, 6, 3, 2),
                              nn.BatchNorm2d(6), nn.ReLU(), *head(72)), (3, 9, 7)),
    "pools on the input": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), conv(1, 4, 2), nn.ReLU(),
                              nn.MaxPool2d(3, 1), nn.Dropout(), *head(4)), (1, 8, 8)),
    "linears": (
        lambda: nn.Sequential(nn.Flatten(), HashLinear(64, 20, rate=0.25, scheme="banked"),
                              nn.BatchNorm1d(20), nn.ReLU(), HashLinear(20, 12, rate=0.5),
                              nn.ReLU(), HashLinear(12, 5, rate=1.0)), (1, 8, 8)),
    "convolutional head": (
        lambda: nn.Sequential(conv(1, 4, 3, padding=1), nn.ReLU(), conv(4, 5, 8), nn.Flatten()),
        (1, 8, 8)),
}  # fmt: skip


def digests(name: str, bits: int) -> list[list[str]]:
    """Of each layer with weights, digests of its four kinds of words."""
    build, shape = NETWORKS[name]
    program = compile(filled(build()), images(*shape), load_config("default").with_bits(bits))
    return [
        [
            hashlib.sha256(np.ascontiguousarray(words, "<i8").tobytes()).hexdigest()[:16]
            for words in (layer.weights, layer.multiplier, layer.shift, layer.bias)
        ]
        for layer in program.mac_layers
    ]


if __name__ == "__main__":
    found = {name: {str(b): digests(name, b) for b in (4, 8, 16)} for name in NETWORKS}
    json.dump(found, sys.stdout, indent=1)
