"""A small hashed network on easy images, trained here in seconds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.models.layers import compress

CLASSES, SIDE = 10, 12


def snapped(images: Tensor) -> Tensor:
    """The nearest images that 8-bit pixels can hold."""
    return torch.floor(images * 255 + 0.5) / 255


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy, shifted copies of ten smooth random patterns: (N, 1, 12, 12) on the 8-bit grid."""
    coarse = torch.rand(CLASSES, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    patterns = F.interpolate(coarse, SIDE + 2, mode="bilinear", align_corners=True)
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    corners = torch.randint(3, (count, 2), generator=draw).tolist()
    images = torch.stack(
        [
            patterns[label, :, y : y + SIDE, x : x + SIDE]
            for label, (y, x) in zip(labels, corners, strict=True)
        ]
    )
    noise = torch.randn(images.shape, generator=draw) * 0.1
    return snapped((images + noise).clamp(0, 1)), labels


def trained() -> tuple[nn.Module, Tensor]:
    """The network and the images that it has learnt, 12x12, ten classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(144, CLASSES),
        )  # fmt: skip
        module = compress(plain, rate=1 / 4)
    images, labels = blobs(2048, seed=1)
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for _ in range(4):
        for x, y in zip(images.split(64), labels.split(64), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
    return module.eval(), images
