"""One batch of a cross evaluation: what a model crafts, what every judge says of it, as counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.base import Aim
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.criteria import Goal
from hwsim.attacks.core.result import distances
from hwsim.attacks.evaluate.schedule import cumulative


@dataclass(frozen=True)
class Clean:
    """What one judge says of the unperturbed inputs, (N,) each.

    unreached: inputs that Algorithm 1 counts. Untargeted it counts changes of the judge's own
    answer, wherever that began: all of them.
    """

    answers: Tensor
    correct: Tensor
    unreached: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, goal: Goal) -> Clean:
        """From (N, classes) logits."""
        answers = logits.argmax(1)
        everything = torch.ones_like(labels, dtype=torch.bool)
        unreached = answers != goal.loss_labels if goal.targeted else everything
        return cls(answers, answers == labels, unreached)


@dataclass(frozen=True)
class Batch:
    """Inputs (N, C, H, W) on the grid, what is wanted of them, and each judge's clean answers."""

    inputs: Tensor
    goal: Goal
    clean: dict[str, Clean]


@dataclass(frozen=True)
class OwnAnswers:
    """The attack away from the crafting model's own answers, ``where`` (K,) they are wrong."""

    where: Tensor
    inputs: Tensor
    aim: Aim


@dataclass(frozen=True)
class Judged:
    """One ε of one crafting model. hits, flips: (N,) bool by judge, single ε and Algorithm 1."""

    hits: dict[str, Tensor]
    flips: dict[str, Tensor]
    distortion: tuple[float, ...]
    forward: int
    backward: int
    zero_gradient: Tensor | None


@dataclass(frozen=True)
class Crafted:
    """All ε of one crafting model, as a Tally has them; success and escalated by judge."""

    success: dict[str, tuple[int, ...]]
    escalated: dict[str, tuple[int, ...]]
    distortion: tuple[tuple[float, ...], ...]
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    zero_gradient: int

    @classmethod
    def of(cls, steps: Sequence[Judged]) -> Crafted:
        """From one step per ε, rising."""
        judges = steps[0].hits
        escalated = {by: cumulative(torch.stack([s.flips[by] for s in steps])) for by in judges}
        zeros = [s.zero_gradient for s in steps if s.zero_gradient is not None]
        return cls(
            success={by: tuple(int(s.hits[by].sum()) for s in steps) for by in judges},
            escalated={by: tuple(reached.sum(1).tolist()) for by, reached in escalated.items()},
            distortion=tuple(s.distortion for s in steps),
            forward=tuple(s.forward for s in steps),
            backward=tuple(s.backward for s in steps),
            zero_gradient=int(torch.stack(zeros).all(0).sum()) if zeros else 0,
        )


def passes(count: int | Tensor, examples: int) -> int:
    """Sum over ``examples`` of a count that is theirs alike, or one each, (N,) int64."""
    return int(count.sum()) if isinstance(count, Tensor) else count * examples


def distortion(images: Tensor, originals: Tensor) -> tuple[float, ...]:
    """Sums of L0, L1, L2 and L∞ over the images.

    In units of 2^-24, so that float64 adds them exactly and batches may be cut in any way.
    """
    orders: tuple[Norm, ...] = ("l0", "l2", "linf")
    l0, l2, linf = (distances(images, originals, norm) for norm in orders)
    l1 = (images.double() - originals.double()).abs().flatten(1).sum(1)
    unit = 2.0**24
    return tuple(float((d * unit).round().sum() / unit) for d in (l0, l1, l2, linf))
