"""What an update proposes: candidates that differ in a draw, or the one that a schedule gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from hwsim.models import allocation
from hwsim.training.sparse.batches import Batches, seed_of
from hwsim.training.sparse.hashed import moved
from hwsim.training.sparse.learner import Learner
from hwsim.training.sparse.masks import death_rate, grown, grown_at_random, killed, largest
from hwsim.training.sparse.settings import Settings, SparseMethod

#: Epochs between two updates, unless a period says it in steps.
PERIOD = 2


class Update(Protocol):
    """(learner, step of the whole training, number of the candidate) -> a new learner."""

    def __call__(self, learner: Learner, progress: int, number: int) -> Learner: ...


#: Whether step ``progress`` begins with an update.
Due = Callable[[int], bool]


def update_of(
    method: SparseMethod, settings: Settings, batches: Batches, density: float, seed: int
) -> tuple[Update, Due]:
    """What a method does to its network, and when."""
    period = settings.period or PERIOD * batches.steps
    total = batches.total

    def share(progress: int) -> float:
        return death_rate(progress / total, settings.first_rate, settings.last_rate)

    def regrow(learner: Learner, progress: int, number: int) -> Learner:
        twin = learner.copy()
        masks, died = killed(twin.weights, twin.masks, share(progress))
        if settings.growth == "gradient":
            scores = twin.dense_gradient(*batches.draw(seed, progress, number))
            masks = grown(masks, died, scores)
        else:
            masks = grown_at_random(masks, died, _generator(seed, progress, number))
        twin.mask(masks)
        return twin

    def reallocate(learner: Learner, progress: int, number: int) -> Learner:
        module = learner.module
        generator = _generator(seed, progress, number)
        now = allocation.allocation(module)
        counts = moved(now, allocation.capacities(module), share(progress), generator)
        return learner.replaced(allocation.reallocated(module, counts))

    def thin(learner: Learner, progress: int, number: int) -> Learner:
        twin = learner.copy()
        sizes = sum(mask.numel() for mask in twin.masks.values())
        last = method.updates == "once" or progress >= 3 * total // 4
        left = density if last else gradual(progress / total, density)
        twin.mask(largest(twin.weights, twin.masks, max(1, round(left * sizes))))
        return twin

    def every(progress: int) -> bool:
        return progress > 0 and progress % period == 0

    if method.updates == "regrow":
        return regrow, every
    if method.updates == "reallocate":
        return reallocate, every
    if method.updates == "once":
        return thin, lambda progress: progress == total // 2
    if method.updates == "gradually":
        last = 3 * total // 4
        return thin, lambda now: now == last or (every(now) and 4 * now >= total and now < last)
    return thin, lambda progress: False


def gradual(progress: float, density: float) -> float:
    """Density of iterative pruning at this share of all steps (Zhu and Gupta 2017, equation 1).

    1 until a quarter, ``density`` from three quarters on, the cube of what is left between them.
    """
    left = min(max(1 - (progress - 0.25) / 0.5, 0.0), 1.0)
    return density + (1 - density) * left**3


def _generator(*seeds: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(*seeds, 5))
