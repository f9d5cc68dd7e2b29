"""A bit search from its first flip to its last: judged at every step, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.faults.objective import Objective
from hwsim.faults.search import Flip, Victim, step

#: reached: what the search is for. most: the bits that it may flip. stuck: no bit of those looked
#: at raises the loss. caught: an error status instead of answers.
Ended = Literal["reached", "most", "stuck", "caught"]


@dataclass(frozen=True)
class Rules:
    """How to search, and when to stop.

    k_top: words looked at in each layer, None for all. most: bits to flip. stop: at this accuracy
    or below, or for a target at this success or above.
    """

    k_top: int | None = 100
    most: int = 100
    stop: float = 0.11


@dataclass(frozen=True, eq=False)
class JudgedFlips:
    """Images that say after each step how far the search is.

    labels: int64 (N,). target: the class that the search drives ``aimed`` images to, bool (N,);
    None for a search away from every label.
    """

    images: Tensor
    labels: NDArray[np.int64]
    target: int | None = None
    aimed: NDArray[np.bool_] | None = None

    def scores(self, victim: Victim) -> tuple[float | None, float | None]:
        """(accuracy, success): of the images not aimed at, None if there are none; of the others.

        Without a target the accuracy is of all, and there is no success.
        """
        answers = victim.answers(self.images)
        right = answers == self.labels
        if self.target is None or self.aimed is None:
            return float(right.mean()), None
        rest = right[~self.aimed]
        success = float((answers[self.aimed] == self.target).mean())
        return (float(rest.mean()) if len(rest) else None), success


@dataclass(frozen=True)
class Kept:
    """A step: the flips, the words before them, the objective before and after, and the scores.

    No accuracy where no image is answered any more.
    """

    flips: tuple[Flip, ...]
    words: tuple[int, ...]
    before: float
    after: float
    accuracy: float | None
    success: float | None

    def reaches(self, rules: Rules) -> bool:
        """Whether the search is at its end."""
        if self.success is not None:
            return self.success >= rules.stop
        return self.accuracy is not None and self.accuracy <= rules.stop


def chase(
    victim: Victim,
    objective: Objective,
    judged: JudgedFlips,
    rules: Rules,
    known: Sequence[Kept] = (),
    on_kept: Callable[[list[Kept]], None] = lambda kept: None,
) -> tuple[list[Kept], Ended]:
    """All steps of a search on a victim as it was at first, and why it ended.

    known: the first steps, of an earlier search that was interrupted: flipped again, not searched.
    on_kept: after each further step, with all of them.
    """
    kept = list(known)
    for one in kept:
        victim.keep(one.flips)
    while not (kept and kept[-1].reaches(rules)):
        if victim.stopped:
            return kept, "caught"
        left = rules.most - sum(len(one.flips) for one in kept)
        if left <= 0:
            return kept, "most"
        found = step(victim, objective, rules.k_top, left)
        if found is None:
            return kept, "stuck"
        if not found.flips:
            return kept, "most"
        # Asked behind the step, when all flips are in place: one bit is undone for each.
        words = tuple(
            victim.word(flip.part, flip.word) ^ _mask(found.flips, flip) for flip in found.flips
        )
        scores = (None, None) if victim.stopped else judged.scores(victim)
        kept.append(Kept(found.flips, words, found.before, found.after, *scores))
        on_kept(kept)
    return kept, "reached"


def _mask(flips: Sequence[Flip], one: Flip) -> int:
    """The bits that a step flips in the word of one of its flips."""
    mask = 0
    for flip in flips:
        if (flip.part, flip.word) == (one.part, one.word):
            mask |= 1 << flip.bit
    return mask


def random_flips(victim: Victim, count: int, seed: int) -> list[Flip]:
    """As many different bits of the victim's words, each as likely as any other."""
    sizes = np.array([part.words * part.bits for part in victim.parts], np.int64)
    ends = np.cumsum(sizes)
    noise = np.random.default_rng(seed)
    chosen: dict[int, None] = {}
    while len(chosen) < min(count, int(ends[-1])):
        chosen[int(noise.integers(0, ends[-1]))] = None
    flips = []
    for place in chosen:
        part = int(np.searchsorted(ends, place, side="right"))
        word, bit = divmod(place - int(ends[part] - sizes[part]), victim.parts[part].bits)
        flips.append(Flip(part, word, bit))
    return flips


def keep_all(victim: Victim, flips: Sequence[Flip]) -> None:
    """Flip bits of any parts."""
    for part in sorted({flip.part for flip in flips}):
        victim.keep([flip for flip in flips if flip.part == part])
