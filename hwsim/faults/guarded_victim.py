"""A guarded engine as the victim of a bit search: of who knows the guard, and of who does not.

The attacker who knows it flips what the guard lets pass and counts what comes of it; who does not
looks for bits on an engine of his own that has none, or with another key. Both are judged by the
guarded engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.backward import GradientMode
from hwsim.errors import InputError
from hwsim.faults.codeword_moves import moves
from hwsim.faults.engine_victim import EngineVictim, Slopes
from hwsim.faults.fault import Fault
from hwsim.faults.guards import CodeGuard, Guard, GuardChoice, SignatureGuard, without_check_bits
from hwsim.faults.objective import F64, I64, Objective
from hwsim.faults.search import Flip, Gains, MoveChoice, Victim, first_of
from hwsim.faults.signature import WordPlace
from hwsim.faults.signed_choices import GroupedWords, signed_choices
from hwsim.program.program import Program
from hwsim.rom.words import index_pair, signed

#: adaptive: knows the guard, and of a signature the key. keyless: all but the key. blind: nothing.
Knowing = Literal["adaptive", "keyless", "blind"]
KNOWING: tuple[Knowing, ...] = get_args(Knowing)


class GuardedVictim(EngineVictim):
    """A program behind a guard; a search on it knows the guard.

    Flips are of words as the memory holds them: bits from a word's width on are its check bits.
    """

    def __init__(
        self,
        guard: Guard,
        images: Tensor,
        memories: Sequence[str],
        gradient: GradientMode = "ste",
    ) -> None:
        super().__init__(guard.program, images, memories, guard.bounds, gradient)
        self.guard = guard
        self.parts = tuple(
            replace(part, bits=part.bits + (more := guard.check_bits(part.memory)), check=more)
            for part in self.parts
        )
        #: Words that are not what was written, as they stand there and as layers are given them.
        self._raw: dict[str, dict[WordPlace, int]] = {}
        self._given: dict[str, dict[WordPlace, int]] = {}
        #: By part: which of its words are in which group of a signature.
        self._groups: dict[int, GroupedWords] = {}

    # ------------------------------------------------------------ first order

    def masks(self, memory: str) -> tuple[I64, tuple[tuple[int, ...], ...] | None]:
        if isinstance(self.guard, CodeGuard) and self.guard.ecc != "none":
            return moves(self.guard.ecc, self.guard.read.files[f"{memory}.mem"].width)
        return super().masks(memory)

    def looked_at(self, slopes: Slopes, sizes: F64, k_top: int | None) -> I64:
        """Not those that were flipped before: of SECDED the decoder holds a bit of them already."""
        if isinstance(self.guard, CodeGuard) and self.guard.ecc == "secded":
            memory = self.parts[slopes.part].memory
            sizes = sizes.copy()
            for at in self._raw.get(memory, {}):
                if (word := self._word_at(slopes.number, memory, at)) is not None:
                    sizes[word] = 0.0
        return first_of(sizes, k_top)

    def choices(self, objective: Objective, k_top: int | None) -> list[tuple[int, MoveChoice]]:
        if not isinstance(self.guard, SignatureGuard):
            return super().choices(objective, k_top)
        found: list[tuple[int, MoveChoice]] = []
        for slopes in self.slopes(objective):
            memory = self.parts[slopes.part].memory
            changes = self.guard.changes(memory, self._raw.get(memory, {}))
            gains, mine = self.gains_along(slopes, k_top), changes.get(slopes.number, {})
            choices = signed_choices(self, self._grouped(slopes), slopes, gains, mine)
            found += [(slopes.part, one) for one in choices]
        return found

    def _grouped(self, slopes: Slopes) -> GroupedWords:
        if slopes.part not in self._groups:
            assert isinstance(self.guard, SignatureGuard)
            self._groups[slopes.part] = GroupedWords(self, self.guard, slopes)
        return self._groups[slopes.part]

    # ------------------------------------------------------------ flips

    def trial(self, flips: Sequence[Flip]) -> F64:
        """As it was where the guard stops the image: nobody gets a wrong answer."""
        return self.logits() if self._stops(flips) else super().trial(flips)

    def _stops(self, flips: Sequence[Flip]) -> bool:
        memory, raw = self._raw_after(flips)
        return bool(self.guard.seen(memory, raw).stops)

    def _raw_after(self, flips: Sequence[Flip]) -> tuple[str, dict[WordPlace, int]]:
        memory = self.parts[flips[0].part].memory
        raw = dict(self._raw.get(memory, {}))
        for flip in flips:
            fault = self.fault(flip)
            at = fault.line, fault.field
            raw[at] = raw.get(at, self.guard.stored(memory, at)) ^ 1 << flip.bit
        return memory, {
            at: word for at, word in raw.items() if word != self.guard.stored(memory, at)
        }

    def _changed(self, flips: Sequence[Flip]) -> dict[int, dict[int, int]]:
        """By layer number: words, or entries, that layers are given otherwise than now."""
        memory, raw = self._raw_after(flips)
        before, after = self._given.get(memory, {}), self.guard.seen(memory, raw).words
        width = self.program.config.wgt_w
        found: dict[int, dict[int, int]] = {}
        for at in {*before, *after}:
            written = self.guard.read.written(f"{memory}.mem", *at)
            word = after.get(at, written)
            if word != before.get(at, written):
                number = self.guard.read.owner(f"{memory}.mem", at[0])
                if (place := self._word_at(number, memory, at)) is not None:
                    word = signed(word, width) if memory == "weights" else word
                    found.setdefault(number, {})[place] = word
        return found

    def _word_at(self, number: int, memory: str, at: WordPlace) -> int | None:
        """Which of a layer's words stands at a place; None for filling, and for another layer's."""
        layer, place = self.stored.layers[number], self.stored.places[number]
        line = at[0] - (place.weight_base if memory == "weights" else place.index_base)
        if memory == "weights":
            address = line * self.program.config.banks + at[1]
            return address if 0 <= address < layer.spec.real_weights else None
        if not 0 <= line < place.index_lines:
            return None
        pair = index_pair(layer, self.program.config.rows, line, at[1])
        return None if pair is None else pair[0] * layer.fan_in + pair[1]

    def _after(self, flips: Sequence[Flip]) -> dict[int, tuple[I64, I64]]:
        changed = self._changed(flips)
        if self.parts[flips[0].part].memory == "index":
            return {
                reader: after
                for number, some in changed.items()
                for reader, after in self.stored.after_entries(number, some).items()
            }
        several: dict[int, list[tuple[I64, I64]]] = {}
        for number, some in changed.items():
            for reader, after in self.stored.after_words(number, some).items():
                several.setdefault(reader, []).append(after)
        return {
            reader: (np.concatenate([a for a, _ in some]), np.concatenate([b for _, b in some]))
            for reader, some in several.items()
        }

    def _store(self, flips: Sequence[Flip]) -> None:
        memory, raw = self._raw_after(flips)
        for number, some in self._changed(flips).items():
            if memory == "index":
                self.stored.keep_entries(number, some)
            else:
                self.stored.keep_words(number, some)
        seen = self.guard.seen(memory, raw)
        self._raw[memory], self._given[memory] = raw, seen.words
        self.stopped = self.stopped or bool(seen.stops)

    def held(self, faults: Sequence[Fault]) -> Program:
        raw: dict[str, dict[WordPlace, int]] = {}
        for fault in faults:
            words, at = raw.setdefault(fault.memory, {}), (fault.line, fault.field)
            words[at] = words.get(at, self.guard.stored(fault.memory, at)) ^ 1 << fault.bit
        seen = {memory: self.guard.seen(memory, words).words for memory, words in raw.items()}
        return self.guard.with_words(seen)

    def word(self, part: int, word: int) -> int:
        """With its check bits."""
        memory = self.parts[part].memory
        fault = self.fault(Flip(part, word, 0))
        at = fault.line, fault.field
        return self._raw.get(memory, {}).get(at, self.guard.stored(memory, at))


class GuessingVictim(Victim):
    """A search for bits on one engine that are flipped in another.

    plan: what the attacker takes the engine for. machine: what it is.
    """

    def __init__(self, plan: EngineVictim, machine: GuardedVictim) -> None:
        self.plan, self.machine = plan, machine
        self.parts = machine.parts

    def logits(self) -> F64:
        return self.plan.logits()

    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        return self.plan.gains(objective, k_top)

    def choices(self, objective: Objective, k_top: int | None) -> list[tuple[int, MoveChoice]]:
        return self.plan.choices(objective, k_top)

    def trial(self, flips: Sequence[Flip]) -> F64:
        return self.plan.trial(flips)

    def keep(self, flips: Sequence[Flip]) -> None:
        self.plan.keep(flips)
        self.machine.keep(flips)
        self.stopped = self.machine.stopped

    def word(self, part: int, word: int) -> int:
        return self.machine.word(part, word)

    def fault(self, flip: Flip) -> Fault:
        """Where the bit stands in the memories of an image."""
        return self.machine.fault(flip)

    def answers(self, images: Any) -> NDArray[np.int64]:
        return self.machine.answers(images)


def victim_of(
    program: Program,
    images: Tensor,
    memories: Sequence[str],
    choice: GuardChoice,
    knows: Knowing,
    key: int,
    gradient: GradientMode = "ste",
) -> GuardedVictim | GuessingVictim:
    """A guarded program before an attacker who knows so much.

    key: of a signature; who does not know it takes another one. gradient: as of ``EngineVictim``.

    Raises InputError as ``EngineVictim``, for a guard that guards nothing of these memories, and
    for an attacker without a key where there is none.
    """
    choice.check(program, memories)
    if knows == "keyless" and choice.kind != "signature":
        raise InputError(
            "an attacker without the key is one of a signature: choose --attacker blind or adaptive"
        )
    machine = GuardedVictim(choice.on(program, key), images, memories, gradient)
    if knows == "adaptive":
        return machine
    if knows == "keyless":
        other = choice.on(program, key ^ 0x5EED1E55)
        return GuessingVictim(GuardedVictim(other, images, memories, gradient), machine)
    plain = EngineVictim(without_check_bits(program), images, memories, gradient=gradient)
    return GuessingVictim(plain, machine)


def key_of(number: int) -> int:
    """The key of the search with this number: any, but the same when it is done again."""
    return int(np.random.default_rng([0x5163, number]).integers(1 << 32))
