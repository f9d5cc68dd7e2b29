"""Trials on an engine that saturates what its layers read of the weights."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hwsim.faults.guards import Guard
from hwsim.faults.trials import Trials
from hwsim.rom.words import WordReader


class ClippedTrials(Trials):
    """Trials with the bounds of a guard: without faults its answers are those without one."""

    def __init__(self, guard: Guard, images: NDArray[Any]) -> None:
        super().__init__(guard.program, images)
        self._read = WordReader(guard.program, guard.bounds)
