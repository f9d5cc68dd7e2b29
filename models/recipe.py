"""How a network is trained, as plain numbers; without torch, so that listing the zoo is quick."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    epochs, batch: as usual. lr: peak learning rate of the one-cycle schedule.
    weight_decay: AdamW's, decoupled. shift: largest random translation in pixels, zero filled.
    flip: random horizontal mirror. precision: ``bfloat16`` (autocast) or ``float32``.
    seed: initialisation, order and augmentation.
    """

    epochs: int = 12
    batch: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-2
    shift: int = 2
    flip: bool = False
    precision: str = "bfloat16"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise InputError(f"epochs and batch must be at least 1: {self.epochs}, {self.batch}")
        if self.precision not in ("bfloat16", "float32"):
            raise InputError(f"precision must be bfloat16 or float32, got {self.precision!r}")
