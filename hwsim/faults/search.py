"""Progressive bit search (Rakin et al. 2019): which bit hurts most, found layer by layer.

In each layer the ``k_top`` words with the largest gradients are looked at, and of their bits the
one with the largest first-order gain; every layer's choice is tried, and the one with the largest
loss is kept. Where no layer's choice raises the loss, two bits a layer are tried, and so on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.objective import F64, I64, Objective

#: Bits of one layer that are tried together before the search gives up. The published script has
#: no end to it.
MOST_TOGETHER = 16


@dataclass(frozen=True, order=True)
class Flip:
    """One bit of one word of a part: ``word`` counts from 0 in it, ``bit`` 0 is the lowest."""

    part: int
    word: int
    bit: int


@dataclass(frozen=True)
class Part:
    """What the search takes one choice from: the words of one memory that belong to one layer.

    layer: its name. memory: ``weights`` or ``index``. words: how many there are. bits: of each.
    """

    layer: str
    memory: str
    words: int
    bits: int


@dataclass(frozen=True, eq=False)
class Gains:
    """Of the words of a part that were looked at: what each flip adds to the objective, to first
    order.

    words: int64 (k,). gains: float64 (k, bits).
    """

    words: I64
    gains: F64

    def best(self, part: int, count: int) -> list[Flip]:
        """The ``count`` flips with the largest gains above 0, largest first; perhaps fewer."""
        flat = self.gains.reshape(-1)
        some = first_of(np.where(flat > 0, flat, 0.0), count)
        at, bit = np.divmod(some, self.gains.shape[1])
        return [
            Flip(part, int(word), int(one)) for word, one in zip(self.words[at], bit, strict=True)
        ]


class Victim(ABC):
    """A network whose words can be flipped, and a batch of images that it answers.

    parts: in order of execution. keep and trial take flips of the words as they are now.
    """

    parts: tuple[Part, ...]

    @abstractmethod
    def logits(self) -> F64:
        """Real logits (N, classes) of the batch, with all flips that were kept."""

    @abstractmethod
    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        """One a part: of its ``k_top`` words with the largest gradients, of all for None."""

    @abstractmethod
    def trial(self, flips: Sequence[Flip]) -> F64:
        """The logits with these flips, which are of one part, besides."""

    @abstractmethod
    def keep(self, flips: Sequence[Flip]) -> None:
        """Flip them for good."""

    @abstractmethod
    def word(self, part: int, word: int) -> int:
        """The bits of a word as they are now, as an unsigned number."""

    @abstractmethod
    def answers(self, images: Any) -> NDArray[np.int64]:
        """The classes of other images, (N,), with all flips that were kept."""


@dataclass(frozen=True)
class SearchStep:
    """flips: what was kept, of one part. before, after: the objective. trials: passes it took."""

    flips: tuple[Flip, ...]
    before: float
    after: float
    trials: int


def step(victim: Victim, objective: Objective, k_top: int | None, most: int) -> SearchStep | None:
    """The flips that raise the objective most, kept; None where none of those tried raise it.

    most: how many bits may be flipped at once.
    """
    before = objective.value(victim.logits())
    gains = victim.gains(objective, k_top)
    trials = 0
    for together in range(1, min(most, MOST_TOGETHER) + 1):
        best: tuple[float, list[Flip]] | None = None
        for number, found in enumerate(gains):
            flips = found.best(number, together)
            if len(flips) < together:
                continue
            after = objective.value(victim.trial(flips))
            trials += 1
            if best is None or after > best[0]:  # of equals the first layer, as published
                best = after, flips
        if best is None:
            return None
        if best[0] > before:
            victim.keep(best[1])
            return SearchStep(tuple(best[1]), before, best[0], trials)
    return None


def first_of(values: NDArray[Any], count: int | None) -> I64:
    """Numbers of the ``count`` largest of flat values above 0, largest first; all for None.

    Of equals the first one comes first, so that a search can be repeated.
    """
    usable = np.flatnonzero(values > 0)
    if count is not None and count < len(usable):
        least = np.partition(values[usable], -count)[-count]
        usable = usable[values[usable] >= least]
    return usable[np.argsort(-values[usable], kind="stable")[:count]]
