"""Fair ratios: all contestants in one process, taking turns, best of several rounds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Line:
    """One line of the table and of bench.json. ratio: ours over peer, in the sense of ``goal``."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    peer_name: str
    goal: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_reached(name: str, originals: Any, found: Any, epsilon: float) -> None:
    """Exit unless images stand at L∞ ``epsilon`` (to one 8-bit step), so that speeds compare.

    Libraries have step sizes of their own: torchattacks' iterated attacks step 2/255 ten times
    whatever ε is, and so stop at 0.078.
    """
    far = float(abs(torch.as_tensor(found) - originals).amax())
    if not epsilon - 1 / 255 <= far <= epsilon + 1e-5:
        sys.exit(f"{name} stands at a distance of {far:.4g} where {epsilon:g} was asked for")


def seconds(
    tasks: Mapping[str, Callable[[], Any]], rounds: int = 7, least: float = 0.02
) -> dict[str, float]:
    """Best seconds per call of each task; they take turns, so that a busy moment hits all."""
    repeats = {}
    for name, task in tasks.items():
        task()  # compiles, allocates, fills caches
        began = time.perf_counter()
        task()
        repeats[name] = max(1, int(least / max(time.perf_counter() - began, 1e-9)))
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            began = time.perf_counter()
            for _ in range(repeats[name]):
                task()
            best[name] = min(best[name], (time.perf_counter() - began) / repeats[name])
    return best
