"""Images under a stopwatch: their cycles, what the engine answered, and how they look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.cost.padding import Cycles
from hwsim.engine.module import Engine
from hwsim.runs.leak_judge import Judge

#: Images whose cycles are counted together.
CHUNK = 250


@dataclass(frozen=True)
class Timed:
    """cycles: (N, layers). answers: (N,) classes. looks: (N, 2), of the image alone: how many of
    its codes are not 0, and their mean.
    """

    cycles: Cycles
    answers: NDArray[np.int64]
    looks: NDArray[np.float64]

    def at(self, chosen: NDArray[Any]) -> Timed:
        """The images with these numbers."""
        return Timed(self.cycles[chosen], self.answers[chosen], self.looks[chosen])

    def spread(self, count: int) -> Timed:
        """So many, spread evenly over all."""
        return self.at(np.arange(count) * len(self.cycles) // count)

    def behind(self, other: Timed) -> Timed:
        """The other's images, then these."""
        return Timed(
            np.concatenate([other.cycles, self.cycles]),
            np.concatenate([other.answers, self.answers]),
            np.concatenate([other.looks, self.looks]),
        )


#: What somebody sees of images: (N, columns).
Sight = Callable[[Timed], NDArray[np.float64]]


def timed_images(
    engine: Engine, x: Tensor, show: Callable[[int], None], *, asked: bool = True
) -> Timed:
    """Time images (N, …) on the engine's grid, N > 0; show(images done) before each piece.

    asked: whether anybody wants to know the answers; else they are -1.
    """
    found: list[Timed] = []
    for start in range(0, len(x), CHUNK):
        show(start)
        piece = x[start : start + CHUNK]
        codes = engine.grid(piece)
        flat = codes.reshape(len(codes), -1)
        answers = np.full(len(piece), -1)
        if asked:
            answers = engine.answer(codes).argmax(1)
        looks = np.stack([(flat != 0).sum(1), flat.mean(1)], 1)
        found.append(Timed(engine.cycles_of_codes(codes), answers, looks))
    return Timed(
        np.concatenate([one.cycles for one in found]),
        np.concatenate([one.answers for one in found]),
        np.concatenate([one.looks for one in found]),
    )


def class_of(judge: Judge, seen: Sight, test: Timed, labels: NDArray[np.int64]) -> dict[str, Any]:
    """How well labels (N,) of the test images are told from what is seen of them."""
    return judge(seen(test), labels)


def membership_of(judge: Judge, seen: Sight, test: Timed, members: Timed) -> dict[str, Any]:
    """The same of who was trained on, class 1, and as many others, class 0."""
    count = min(len(members.cycles), len(test.cycles))
    together = members.spread(count).behind(test.spread(count))
    return judge(seen(together), np.repeat([0, 1], count))
