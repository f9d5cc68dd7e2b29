"""What stands between a memory and the layers that read it: check bits, a bound, or signatures.

A guard sees words as the memory holds them and says what layers are given instead, and which words
stop an image. ``none`` gives them as they are. ``parity`` and ``secded`` are the engine's own
(``EngineConfig.ecc``). ``clip`` saturates what a layer reads of the weights to the largest
magnitude that its own words have. ``signature`` looks for groups of words whose keyed checksum is
another one (``hwsim.faults.signature``): such a group of weights is written 0, one of indices stops
the image, since no index means nothing and its layer has read it by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hwsim.errors import InputError
from hwsim.faults.fault import Fault
from hwsim.faults.inject import held_words
from hwsim.faults.layers import faulty_layers
from hwsim.faults.signature import BITS, GROUP, SignatureRule, Signatures, WordPlace
from hwsim.numbers.ecc import check_bits, check_of, decoded
from hwsim.program.held import Held
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.rom.words import WordReader, signed

GuardKind = Literal["none", "parity", "secded", "clip", "signature"]
#: Memories that ``clip`` and ``signature`` know.
GUARDED = ("weights", "index")
#: More than any number of a signature has.
DIGITS = 20
SPELLED = "none, parity, secded, clip, signature[:G[:BITS]]"


@dataclass(frozen=True)
class GuardChoice:
    """A guard by its name, as a user writes it: ``signature:128:3`` has groups of 128 words.

    Raises InputError for others.
    """

    kind: GuardKind = "none"
    group: int = GROUP
    bits: int = BITS

    @classmethod
    def of(cls, text: str) -> GuardChoice:
        """What ``text`` says."""
        kind, *more = text.split(":")
        if kind not in ("none", "parity", "secded", "clip", "signature") or (
            more and kind != "signature"
        ):
            raise InputError(f"no protection is called {text!r}: {SPELLED}")
        # Python reads no more than 4,300 digits as a number.
        digits = all(one.isascii() and one.isdigit() and len(one) <= DIGITS for one in more)
        if len(more) > 2 or not digits:
            raise InputError(f"{text!r}: give a signature as signature[:G[:BITS]], in numbers")
        group, bits = (*map(int, more), *(GROUP, BITS)[len(more) :])
        SignatureRule(group, bits)
        return cls(kind, group, bits)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """As it is written in full."""
        if self.kind != "signature":
            return self.kind
        return f"signature:{self.group}" + (f":{self.bits}" if self.bits != BITS else "")

    def check(self, program: Program, memories: Sequence[str]) -> None:
        """Raises InputError where it guards nothing, or the engine has check bits already."""
        ecc = program.config.ecc
        if self.kind != "none" and ecc != "none":
            raise InputError(
                f"configuration {program.config.name} has check bits (ecc = {ecc}) already: leave "
                f"out --protect {self.text}, or take an engine without"
            )
        if self.kind in ("clip", "signature"):
            for memory in memories:
                if memory not in GUARDED:
                    raise InputError(
                        f"--protect {self.text} guards {' and '.join(GUARDED)}, not {memory}"
                    )

    def on(self, program: Program, key: int = 0) -> Guard:
        """The guard of a program without faults. key: of signatures, 32 bits.

        An engine with check bits is guarded by these, without a choice.
        """
        kind = self.kind if self.kind != "none" else program.config.ecc
        plain = without_check_bits(program)
        if kind == "clip":
            return ClipGuard(plain)
        if kind == "signature":
            return SignatureGuard(plain, SignatureRule(self.group, self.bits, key))
        return CodeGuard(program.replace(config=program.config.replace(ecc=kind)))


def without_check_bits(program: Program) -> Program:
    """The program on the engine without any: it computes the same."""
    return program.replace(config=program.config.replace(ecc="none"))


@dataclass(frozen=True)
class SeenWords:
    """What layers are given of a memory.

    words: of the data words that are not what was written, unsigned. stops: words that end an
    image with an error status where a layer reads them. noticed: words with a fault that were
    corrected, saturated, zeroed or stop. zeroed: words without a fault that were written 0.
    """

    words: dict[WordPlace, int]
    stops: list[WordPlace] = field(default_factory=list)
    noticed: int = 0
    zeroed: int = 0


class Guard(ABC):
    """One guard of one program.

    program: on the engine without check bits. bounds: by layer number, the magnitude that what it
    reads of the weights is saturated to.
    """

    def __init__(self, program: Program) -> None:
        self.program = without_check_bits(program)
        self.bounds: dict[int, int] = {}
        self.read = WordReader(self.program)

    def check_bits(self, memory: str) -> int:
        """Bits that it adds above a word of a memory."""
        return 0

    def stored(self, memory: str, at: WordPlace) -> int:
        """A word as it is written, check bits above it."""
        return self.read.written(f"{memory}.mem", *at)

    @abstractmethod
    def seen(self, memory: str, words: Mapping[WordPlace, int]) -> SeenWords:
        """What layers are given of a memory that holds ``words`` where others were written."""

    def with_words(self, seen: Mapping[str, Mapping[WordPlace, int]]) -> Program:
        """The program that computes with what is given, by memory."""
        held = {f"{name}.mem": dict(words) for name, words in seen.items() if words}
        if not held:
            return self.program
        layers = faulty_layers(self.program, held, WordReader(self.program, self.bounds))
        return self.program.replace(layers=layers, held=Held(self.program, held))

    def behind(self, faults: Sequence[Fault]) -> dict[str, SeenWords]:
        """What is given with these faults, by memory. Raises InputError as ``inject``.

        Of faults among check bits ``protection.behind_check_bits`` knows.
        """
        words = held_words(self.read, {}, faults)
        return {
            name: self.seen(name, words.get(f"{name}.mem", {}))
            for name in dict.fromkeys(fault.memory for fault in faults)
        }


class CodeGuard(Guard):
    """Check bits of every word, or none."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.ecc = program.config.ecc

    def check_bits(self, memory: str) -> int:
        return check_bits(self.ecc, self.read.files[f"{memory}.mem"].width)

    def stored(self, memory: str, at: WordPlace) -> int:
        width, word = self.read.files[f"{memory}.mem"].width, super().stored(memory, at)
        return word | int(check_of(self.ecc, np.array([word], np.uint64), width)[0]) << width

    def seen(self, memory: str, words: Mapping[WordPlace, int]) -> SeenWords:
        width = self.read.files[f"{memory}.mem"].width
        found: dict[WordPlace, int] = {}
        stops, noticed = [], 0
        for at, whole in words.items():
            parts = whole & (1 << width) - 1, whole >> width
            one = [np.array([part], np.uint64) for part in parts]
            word, wrong = decoded(self.ecc, one[0], one[1], width)
            if wrong[0]:
                stops.append(at)
            elif int(word[0]) != super().stored(memory, at):
                found[at] = int(word[0])
            noticed += bool(wrong[0]) or int(word[0]) != parts[0]
        return SeenWords(found, stops, noticed)


class ClipGuard(Guard):
    """One bound a layer: no clean answer changes, since none of its words lies beyond."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.bounds = bounds_of(self.program)

    def seen(self, memory: str, words: Mapping[WordPlace, int]) -> SeenWords:
        width = self.program.config.wgt_w
        beyond = 0
        if memory == "weights":
            for (line, _), word in words.items():
                bound = self.bounds[self.read.owner("weights.mem", line)]
                beyond += abs(signed(word, width)) > bound
        return SeenWords(dict(words), noticed=beyond)


def bounds_of(program: Program) -> dict[int, int]:
    """The largest magnitude of each layer's words, by its number."""
    return {
        number: int(np.abs(layer.weights.astype(np.int64)).max(initial=0))
        for number, layer in enumerate(program.layers)
        if isinstance(layer, MacLayer)
    }


class SignatureGuard(Guard):
    """Groups of words with a keyed checksum."""

    def __init__(self, program: Program, rule: SignatureRule) -> None:
        super().__init__(program)
        self.signatures = Signatures(self.program, rule)

    def changes(
        self, memory: str, words: Mapping[WordPlace, int]
    ) -> dict[int, dict[WordPlace, int]]:
        """By layer number: how much more words are than what was written, as signed numbers."""
        width = self.read.files[f"{memory}.mem"].width
        found: dict[int, dict[WordPlace, int]] = {}
        lines = self.signatures.by_layer(memory, dict.fromkeys(line for line, _ in words))
        for number, mine in lines.items():
            own = set(mine)
            for at, word in words.items():
                if at[0] in own:
                    before = signed(self.stored(memory, at), width)
                    found.setdefault(number, {})[at] = signed(word, width) - before
        return found

    def seen(self, memory: str, words: Mapping[WordPlace, int]) -> SeenWords:
        found, stops = dict(words), []
        noticed = zeroed = 0
        for number, changes in self.changes(memory, words).items():
            signed_memory = self.signatures.of(memory, number)
            for group in signed_memory.bad(changes):
                members = signed_memory.members(group)
                noticed += sum(at in changes for at in members)
                if memory == "index":
                    stops += [at for at in members if at in changes]
                    continue
                for at in members:
                    found.pop(at, None)
                    if self.stored(memory, at):
                        found[at] = 0
                        zeroed += at not in changes
        return SeenWords(found, stops, noticed, zeroed)
