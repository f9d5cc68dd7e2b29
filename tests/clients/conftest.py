"""What the clients attack: a small hashed network, trained here in seconds, on the engine."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from hwsim import Engine, compile
from tests.blobs import blobs, snapped, trained

LSB = 1 / 255
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


@pytest.fixture(scope="session")
def target() -> Target:
    """Up to 64 images that the engine of the small network classifies correctly."""
    module, calibration = trained()
    engine = Engine(compile(module, calibration[:256]))
    images, labels = blobs(80, seed=2)
    right = engine(images).argmax(1) == labels
    assert int(right.sum()) >= 72, "the network did not learn its patterns"
    return Target(engine, images[right][:64], labels[right][:64])
