"""What the clients attack: a small hashed network, trained here in seconds, on the engine."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim import Engine, compile
from models.layers import compress

CLASSES, SIDE, LSB = 10, 12, 1 / 255
#: L∞ budget, a whole number of input steps.
EPSILON = 20 * LSB


@dataclass(frozen=True)
class Target:
    """An engine and images, on its grid, that it classifies correctly."""

    engine: Engine
    images: Tensor
    labels: Tensor

    def take(self, count: int) -> Target:
        return Target(self.engine, self.images[:count], self.labels[:count])

    def fooled(self, adversarial: Tensor, epsilon: float = 1.0) -> int:
        """How many of a client's images the engine gets wrong, with proof that they are legal.

        They must be float32 images in [0, 1], within ``epsilon`` of the originals, and what the
        engine says must not hang on more than the pixel bus carries.
        """
        adversarial = adversarial.detach()
        assert adversarial.shape == self.images.shape
        assert adversarial.dtype == torch.float32
        assert torch.isfinite(adversarial).all()
        assert float(adversarial.min()) >= 0
        assert float(adversarial.max()) <= 1
        assert float((adversarial - self.images).abs().max()) <= epsilon + 1e-6
        said = self.engine(adversarial).argmax(1)
        assert torch.equal(self.engine(snapped(adversarial)).argmax(1), said)
        return int((said != self.labels).sum())


def snapped(images: Tensor) -> Tensor:
    """The nearest images that 8-bit pixels can hold."""
    return torch.floor(images * 255 + 0.5) / 255


def _blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
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


def _trained() -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(144, CLASSES),
        )  # fmt: skip
        module = compress(plain, rate=1 / 4)
    images, labels = _blobs(2048, seed=1)
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for _ in range(4):
        for x, y in zip(images.split(64), labels.split(64), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
    return module.eval(), images


@pytest.fixture(scope="session")
def target() -> Target:
    """Up to 64 images that the engine of the small network classifies correctly."""
    module, calibration = _trained()
    engine = Engine(compile(module, calibration[:256]))
    images, labels = _blobs(80, seed=2)
    right = engine(images).argmax(1) == labels
    assert int(right.sum()) >= 72, "the network did not learn its patterns"
    return Target(engine, images[right][:64], labels[right][:64])
