"""Progressive bit search (Rakin et al. 2019): which bit hurts most, found layer by layer.

In each layer the ``k_top`` words with the largest gradients are looked at, and of their bits the
one with the largest first-order gain; every layer's choice is tried, and the one with the largest
loss is kept. Where no layer's choice raises the loss, two bits a layer are tried, and so on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

    layer: its name. memory: ``weights`` or ``index``. words: how many there are. bits: of each;
    check: how many of these, the highest, are check bits.
    """

    layer: str
    memory: str
    words: int
    bits: int
    check: int = 0


@dataclass(frozen=True, eq=False)
class Gains:
    """Of the words of a part that were looked at: what each flip adds to the objective, to first
    order.

    words: int64 (k,). gains: float64 (k, bits). columns: where a move is not one bit, the bits of
    a word that the move of each column flips; of a word one move at most is made at a time then.
    """

    words: I64
    gains: F64
    columns: tuple[tuple[int, ...], ...] | None = None

    def best(self, part: int, count: int) -> list[Flip]:
        """The ``count`` moves with the largest gains above 0, largest first; perhaps fewer."""
        if self.columns is not None:
            return self._moves(part, count, self.columns)
        flat = self.gains.reshape(-1)
        some = first_of(np.where(flat > 0, flat, 0.0), count)
        at, bit = np.divmod(some, self.gains.shape[1])
        return [
            Flip(part, int(word), int(one)) for word, one in zip(self.words[at], bit, strict=True)
        ]

    def _moves(self, part: int, count: int, columns: tuple[tuple[int, ...], ...]) -> list[Flip]:
        best = self.gains.max(1, initial=0.0)
        found = []
        for at in first_of(best, count):
            bits = columns[int(self.gains[at].argmax())]
            found += [Flip(part, int(self.words[at]), bit) for bit in bits]
        return found


class MoveChoice(Protocol):
    """What flips of a part are taken from."""

    def best(self, part: int, count: int) -> list[Flip]:
        """The ``count`` moves that look best, best first; perhaps fewer, perhaps none."""
        ...


class Victim(ABC):
    """A network whose words can be flipped, and a batch of images that it answers.

    parts: in order of execution. keep and trial take flips of the words as they are now.
    stopped: whether something noticed what was kept, so that no image is answered any more.
    """

    parts: tuple[Part, ...]
    stopped: bool = False

    @abstractmethod
    def logits(self) -> F64:
        """Real logits (N, classes) of the batch, with all flips that were kept."""

    @abstractmethod
    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        """One a part: of its ``k_top`` words with the largest gradients, of all for None."""

    def choices(self, objective: Objective, k_top: int | None) -> list[tuple[int, MoveChoice]]:
        """What a step tries, each of a part by its number: first of all one bit of each."""
        return list(enumerate(self.gains(objective, k_top)))

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
    """flips: what was kept, of one part; none where every move takes more bits than are left.
    before, after: the objective. trials: passes it took.
    """

    flips: tuple[Flip, ...]
    before: float
    after: float
    trials: int


def step(victim: Victim, objective: Objective, k_top: int | None, most: int) -> SearchStep | None:
    """The flips that raise the objective most, kept; None where none of those tried raise it.

    most: how many bits may be flipped at once. Where moves take different numbers of bits, most for
    each bit.
    """
    before = objective.value(victim.logits())
    choices = victim.choices(objective, k_top)
    trials, dear = 0, False
    for together in range(1, min(most, MOST_TOGETHER) + 1):
        best: tuple[float, float, list[Flip]] | None = None
        for number, found in choices:
            flips = found.best(number, together)
            dear = dear or len(flips) > most
            if not together <= len(flips) <= most:
                continue
            after = objective.value(victim.trial(flips))
            trials += 1
            each = (after - before) / len(flips) if math.isfinite(before) else after
            if best is None or each > best[0]:  # of equals the first layer, as published
                best = each, after, flips
        if best is None:
            return SearchStep((), before, before, trials) if dear else None
        if best[1] > before:
            victim.keep(best[2])
            return SearchStep(tuple(best[2]), before, best[1], trials)
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
