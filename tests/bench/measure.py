"""Fair ratios: all contestants in one process, taking turns, best of several rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


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
