"""What a user chose for one attack run, and what the Verilog will take for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim.runs.attack_catalog import ENTRIES, AttackEntry


@dataclass(frozen=True)
class Request:
    """One run, the network apart.

    attack: a name of ``catalog.ENTRIES``. model: as typed. epsilons: rising, inf for no bound.
    probabilities: ``float32``, ``float64`` or ``engine``, whose float network is attacked through
    float32. gradient: a mode of Engine. target: None, ``random``, ``least-likely`` or a class
    number as text. backend: who judges as the engine, ``python`` or ``rtl``; gradients are always
    the Python engine's. loss: ``cross-entropy``, ``margin`` or ``dlr``. temperature: divides the
    logits before the loss; ``auto`` or a number as text. options: the attack's own. command: what
    reproduces the run; counts do not depend on it, nor on model, which only names the network.
    """

    attack: str
    model: str
    epsilons: tuple[float, ...]
    samples: int
    probabilities: str = "float32"
    gradient: str = "ste"
    target: str | None = None
    command: str = ""
    backend: str = "python"
    loss: str = "cross-entropy"
    temperature: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> AttackEntry:
        return ENTRIES[self.attack]

    @property
    def naive(self) -> bool:
        """Whether a saturated softmax can blind it, so that it needs a counterpart beside it."""
        return self.entry.differentiates == "loss" and self.loss == "cross-entropy"


@dataclass(frozen=True)
class Estimate:
    """What the Verilog has to do, from its first image: cycles an image, judgements left, speed.

    judgements: images times (1 + 2 for each epsilon), crafted on float and on the engine; fewer
    where images coincide, more where Algorithm 1 begins at a wrong answer.
    """

    cycles: int
    judgements: int
    images: int
    epsilons: int
    cycles_per_second: float
    workers: int

    @property
    def seconds(self) -> float:
        return self.judgements * self.cycles / self.cycles_per_second / self.workers

    def __str__(self) -> str:
        return (
            f"{self.images:,} images x (1 clean + 2 x {self.epsilons} attacked) = "
            f"{self.judgements:,} judgements x {self.cycles:,} cycles at "
            f"{self.cycles_per_second:,.0f} cycles/s on {self.workers} cores: about "
            f"{_time(self.seconds)}"
        )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
