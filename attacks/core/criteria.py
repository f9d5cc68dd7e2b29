"""What an attack is after: to leave a class (untargeted) or to reach one (targeted).

Papernot et al., "The limitations of deep learning in adversarial settings", EuroS&P 2016, order
goals by difficulty: confidence reduction (``ConfidenceReduction``), misclassification
(``Untargeted``), targeted misclassification of any input, an empty image or noise
(``TargetedMisclassification``), and source/target misclassification, of an input of one class as
another (``Targeted``).

A goal is a value with one entry per example; ``goal[index]`` is the goal of some of them.
Labels and targets may be tensors or arrays of any integer dtype, or lists; it keeps them as int64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_labels, check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.labels import Labels, as_labels


class Goal(ABC):
    """Aim of an attack on N examples.

    direction: +1 to climb the loss of ``loss_labels``, (N,) int64, −1 to descend it.
    """

    direction: int
    loss_labels: Tensor

    def __post_init__(self) -> None:
        what = "targets" if self.targeted else "labels"
        object.__setattr__(self, "loss_labels", as_labels(self.loss_labels, what))

    @property
    def targeted(self) -> bool:
        """Whether ``loss_labels`` are to be reached rather than left."""
        return self.direction < 0

    @abstractmethod
    def __getitem__(self, index: slice | Tensor) -> Goal: ...

    @abstractmethod
    def check(self, count: int, classes: int | None = None) -> None:
        """AttackError unless made for ``count`` examples (and ``classes`` classes, if known)."""

    @abstractmethod
    def is_adversarial(self, logits: Tensor) -> Tensor:
        """(N,) bool, from (N, classes) logits; ties go to the first class, as in the engine."""


@dataclass(frozen=True, eq=False)
class Untargeted(Goal):
    """Any class but ``loss_labels``, (N,) int64: misclassification."""

    loss_labels: Tensor
    direction = 1

    def __getitem__(self, index: slice | Tensor) -> Untargeted:
        return Untargeted(self.loss_labels[index])

    def check(self, count: int, classes: int | None = None) -> None:
        """Shape, dtype and range of the labels."""
        check_labels(self.loss_labels, count, "labels", classes)

    def is_adversarial(self, logits: Tensor) -> Tensor:
        """Predicted class ≠ label."""
        return logits.argmax(1) != self.loss_labels


@dataclass(frozen=True, eq=False)
class ConfidenceReduction(Goal):
    """The softmax probability of ``loss_labels``, (N,) int64, below ``below``, in (0, 1].

    The answer may stay; below 1/classes it cannot. An input whose probability is low from the
    start has reached the goal already.
    """

    loss_labels: Tensor
    below: float = 0.5
    direction = 1

    def __getitem__(self, index: slice | Tensor) -> ConfidenceReduction:
        return ConfidenceReduction(self.loss_labels[index], self.below)

    def check(self, count: int, classes: int | None = None) -> None:
        """Shape, dtype and range of the labels; the bound."""
        check_labels(self.loss_labels, count, "labels", classes)
        check_number(self.below, "below", 0.0, 1.0)

    def is_adversarial(self, logits: Tensor) -> Tensor:
        """p(label) < below, computed in float64."""
        p = torch.softmax(logits.double(), 1)
        return p.gather(1, self.loss_labels[:, None]).flatten() < self.below


@dataclass(frozen=True, eq=False)
class TargetedMisclassification(Goal):
    """Class ``loss_labels``, (N,) int64, for an input that belongs to no class: blank, or noise."""

    loss_labels: Tensor
    direction = -1

    def __getitem__(self, index: slice | Tensor) -> TargetedMisclassification:
        return TargetedMisclassification(self.loss_labels[index])

    def check(self, count: int, classes: int | None = None) -> None:
        """Shape, dtype and range of the targets."""
        check_labels(self.loss_labels, count, "targets", classes)

    def is_adversarial(self, logits: Tensor) -> Tensor:
        """Predicted class = target."""
        return logits.argmax(1) == self.loss_labels


@dataclass(frozen=True, eq=False)
class Targeted(Goal):
    """Class ``loss_labels`` for an input of class ``sources``, both (N,) int64 and different."""

    loss_labels: Tensor
    sources: Tensor
    direction = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sources", as_labels(self.sources, "source labels"))

    def __getitem__(self, index: slice | Tensor) -> Targeted:
        return Targeted(self.loss_labels[index], self.sources[index])

    def check(self, count: int, classes: int | None = None) -> None:
        """Shape, dtype and range of both; no target may equal its source."""
        check_labels(self.loss_labels, count, "targets", classes)
        check_labels(self.sources, count, "source labels", classes)
        same = torch.nonzero(self.loss_labels == self.sources).flatten()
        if len(same):
            first = int(same[0])
            raise AttackError(
                f"target {int(self.sources[first])} of input {first} is its own class "
                f"({len(same)} such inputs): choose another class"
            )

    def is_adversarial(self, logits: Tensor) -> Tensor:
        """Predicted class = target."""
        return logits.argmax(1) == self.loss_labels


def as_goal(goal: Goal | Labels) -> Goal:
    """The goal itself; labels alone mean ``Untargeted(labels)``. Raises AttackError."""
    return goal if isinstance(goal, Goal) else Untargeted(cast(Tensor, goal))
