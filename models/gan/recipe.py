"""How a DCGAN is trained and what is asked of it, as plain numbers; without torch, so that --help
is quick.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from hwsim.errors import InputError

#: Data sets that it can make images of: one channel, 28x28 pixels.
DATASETS = ("mnist", "fashion-mnist")

#: Generated images are asked for as bytes in memory: 784 each.
MOST = 1_000_000


@dataclass(frozen=True)
class GanRecipe:
    """epochs, batch: as usual; a batch is as many real images and as many generated ones.

    lr: of the generator's Adam (β₁ = 0.5, as of a DCGAN), constant for half of the steps and then
    falling to 0. ratio: the discriminator's rate over it. latent: values of noise. channels: maps
    at 14x14. seed: initialisation, order and noise.
    """

    epochs: int = 25
    batch: int = 32
    lr: float = 2e-3
    ratio: float = 0.5
    latent: int = 32
    channels: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "latent", "channels"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch < 2:
            raise InputError(f"batch must be at least 2, for the batch norm, got {self.batch}")
        for name in ("lr", "ratio"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must lie above 0, got {getattr(self, name)}")

    def facts(self) -> dict[str, Any]:
        """The fields, for a card or a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """Images of a generator. name: of one that ships, or its file. images: None for as many as
    there are real ones. seed: of their noise.
    """

    name: str
    images: int | None = None
    seed: int = 0

    @classmethod
    def of(cls, text: str) -> Wanted:
        """``GENERATOR[:IMAGES[:SEED]]``. Raises InputError for anything else."""
        match = re.fullmatch(r"(.+?)(?::(\d{1,7})(?::(\d{1,9}))?)?", text)
        if match is None:
            raise InputError(f"{text!r} is no GENERATOR[:IMAGES[:SEED]]")
        name, images, seed = match.groups()
        count = None if images is None else int(images)
        if count is not None and not 1 <= count <= MOST:
            raise InputError(f"generated images: give 1 to {MOST:,}, got {count}")
        return cls(name, count, int(seed or 0))
