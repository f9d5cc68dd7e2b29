"""Moves that an attacker makes who knows groups, signs and sums of a signature.

He has three: a bit that leaves the signature as it is, since it is below the bits that count and
carries nothing into them; two top bits of a group whose steps cancel; and, of weights, a top bit
that is noticed, so that the guard itself writes the group 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.engine_victim import Slopes
from hwsim.faults.guards import SignatureGuard
from hwsim.faults.objective import F64, I64
from hwsim.faults.search import Flip, Gains, MoveChoice, first_of
from hwsim.faults.signature import SignedMemory, WordPlace, index_places
from hwsim.numbers.fixedpoint import wrapped

if TYPE_CHECKING:
    from hwsim.faults.guarded_victim import GuardedVictim


#: Top bits up, and down, that pairs are looked for among: a layer may have millions of indices.
MOST_LOOKED_AT = 1 << 16


@dataclass(frozen=True, eq=False)
class Bundles:
    """Moves of several flips: gains float64 (m,), and the words whose bit ``bit`` each flips."""

    gains: F64
    words: tuple[I64, ...]
    bit: int

    def best(self, part: int, count: int) -> list[Flip]:
        """The flips of the ``count`` moves with the largest gains above 0."""
        return [
            Flip(part, int(some[at]), self.bit)
            for at in first_of(self.gains, count)
            for some in self.words
        ]


class GroupedWords:
    """The words of a part: group and sign of each, and the groups of the layer."""

    def __init__(self, victim: GuardedVictim, guard: SignatureGuard, slopes: Slopes) -> None:
        self.memory = victim.parts[slopes.part].memory
        self.groups = guard.signatures.of(self.memory, slopes.number)
        line, field = _places(victim, self.memory, slopes)
        self.which = self.groups.group_of(line, field)
        self.signs = self.groups.signs(line, field)


def signed_choices(
    victim: GuardedVictim,
    grouped: GroupedWords,
    slopes: Slopes,
    gains: Gains,
    changes: Mapping[WordPlace, int],
) -> list[MoveChoice]:
    """What to try of a part.

    gains: of single bits, whatever a signature says. changes: how much more the layer's words are
    now than they were written, as numbers with a sign.
    """
    memory, groups, which, signs = grouped.memory, grouped.groups, grouped.which, grouped.signs
    sums = groups.now(changes)
    sound = groups.signature(sums) == groups.golden
    words, rises = _top_bits(victim, memory, slopes)
    rises = np.where(sound[which], rises, 0.0)
    # Flipped, a top bit that was 0 makes a word less, one that was 1 more.
    steps = signs * np.where(words < 0, 1, -1)
    top = groups.width - 1
    found: list[MoveChoice] = [
        _unseen(gains, groups, sums, sound, which, signs, words),
        _pairs(rises, steps, which, groups.groups, top),
    ]
    if memory == "weights":
        gone = -words * (slopes.plain - slopes.negated)
        zeroed = np.bincount(which, gone, groups.groups)
        any_word = np.zeros(groups.groups, np.int64)
        any_word[which[::-1]] = np.arange(len(which))[::-1]
        found.append(Bundles(np.where(sound, zeroed, 0.0), (any_word,), top))
    return found


def _places(victim: GuardedVictim, memory: str, slopes: Slopes) -> tuple[I64, I64]:
    """(line, field) of every word of a part, lines from the layer's first."""
    every = np.arange(len(slopes.plain), dtype=np.int64)
    config = victim.program.config
    if memory == "weights":
        line, field = np.divmod(every, config.banks)
        return line, field
    return index_places(victim.stored.layers[slopes.number], config.rows, every)


def _top_bits(victim: GuardedVictim, memory: str, slopes: Slopes) -> tuple[I64, F64]:
    """Every word as a number with a sign, and what the flip of its top bit adds to first order."""
    config, stored = victim.program.config, victim.stored
    if memory == "weights":
        words = stored.words[victim.here(slopes.number, len(slopes.plain))]
        flipped = wrapped(words ^ 1 << config.wgt_w - 1, config.wgt_w)
        every = np.arange(len(words), dtype=np.int64)
        return words, victim.word_rises(slopes, every, words, flipped[:, None])[:, 0]
    now = stored.weights[slopes.number].reshape(-1).astype(np.int64)
    indices = wrapped(stored.indices(slopes.number), 1 + config.addr_w)
    return indices, slopes.plain * (wrapped(-now, config.wgt_w) - now)


def _unseen(
    gains: Gains,
    groups: SignedMemory,
    sums: I64,
    sound: NDArray[np.bool_],
    which: I64,
    signs: I64,
    words: I64,
) -> Gains:
    """Those of single flips after which the signature is what it was."""
    some, bits = gains.words, np.arange(gains.gains.shape[1], dtype=np.int64)
    new = wrapped(words[some][:, None] ^ np.int64(1) << bits, groups.width)
    moved = sums[which[some]][:, None] + signs[some][:, None] * (new - words[some][:, None])
    same = groups.signature(moved) == groups.golden[which[some]][:, None]
    passes = same & sound[which[some]][:, None]
    return Gains(some, np.where(passes, gains.gains, 0.0))


def _pairs(rises: F64, steps: I64, which: I64, groups: int, bit: int) -> Bundles:
    """Of each group the best flip up and the best flip down, of those that look best at all."""
    best = []
    for way in (1, -1):
        rise = np.where(steps == way, rises, 0.0)
        # Least first, so that of a group the largest is written last.
        order = first_of(rise, MOST_LOOKED_AT)[::-1]
        word = np.full(groups, -1, np.int64)
        word[which[order]] = order
        best.append((word, np.where(word >= 0, rise[word], 0.0)))
    (up, more), (down, less) = best
    return Bundles(np.where((more > 0) & (less > 0), more + less, 0.0), (up, down), bit)
