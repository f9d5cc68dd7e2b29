"""Faults put into a program: what its memories then hold, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hwsim.errors import InputError
from hwsim.faults.fault import Fault
from hwsim.faults.layers import faulty_layers
from hwsim.program.held import Held, Words
from hwsim.program.program import Program
from hwsim.rom.memories import INDEX, WEIGHTS
from hwsim.rom.words import WordReader


def inject(program: Program, faults: Sequence[Fault]) -> Program:
    """``program`` with ``faults`` in its memories; it computes what the Verilog computes.

    Exact: words are what the memories would hold, those that the format forbids included, and sums
    wrap around (docs/faults.md). Flips come before stuck bits, and two flips of a bit undo each
    other. The faults of a program that has some already come on top of them. Check bits are not
    looked at: of an engine that has them hand over what ``protection.behind_check_bits`` leaves.
    Nothing but simulations take a program with faults: it is not written to an image and not
    rewritten.

    Raises InputError for a fault outside the program's memories, or in program.mem: what a changed
    instruction does is another question.
    """
    reader = WordReader(program)
    words = held_words(reader, program.held.words if program.held else {}, faults)
    clean = program if program.held is None else program.held.clean
    if not words:
        return clean
    return program.replace(layers=faulty_layers(clean, words), held=Held(clean, words))


def held_words(reader: WordReader, before: Words, faults: Sequence[Fault]) -> Words:
    """The words that are not what was written, with ``faults`` on top of those ``before``.

    Raises InputError as ``inject``.
    """
    words: Words = {name: dict(found) for name, found in before.items()}
    ordered = sorted(faults, key=lambda one: one.kind != "flip")
    names = [place_of(fault, reader) for fault in ordered]
    written = _written(reader, words, zip(names, ordered, strict=True))
    for name, fault in zip(names, ordered, strict=True):
        held, where = words.setdefault(name, {}), (fault.line, fault.field)
        if where not in held:
            held[where] = written[name][where]
        held[where] = changed(held[where], fault)
    for name, found in words.items():
        for where, word in list(found.items()):
            if word == written[name][where]:
                del found[where]
    return {name: found for name, found in words.items() if found}


def _written(reader: WordReader, words: Words, faults: Iterable[tuple[str, Fault]]) -> Words:
    """What was written where ``words`` are, and where faults are: (name of the file, fault)."""
    places = {name: set(found) for name, found in words.items()}
    for name, fault in faults:
        places.setdefault(name, set()).add((fault.line, fault.field))
    found: Words = {}
    for name, some in places.items():
        where = list(some)
        if name in (WEIGHTS, INDEX):
            # At once: to look words up is most of the work where faults are many.
            line, field = np.array(where, np.int64).reshape(-1, 2).T
            those = reader.written_many(name, line, field).tolist()
        else:
            those = [reader.written(name, *one) for one in where]
        found[name] = dict(zip(where, those, strict=True))
    return found


def changed(word: int, fault: Fault) -> int:
    """A word with one bit flipped or stuck."""
    mask = 1 << fault.bit
    if fault.kind == "flip":
        return word ^ mask
    return word | mask if fault.kind == "stuck-1" else word & ~mask


def place_of(fault: Fault, reader: WordReader) -> str:
    """Name of the file that a fault is in. Raises InputError where there is no such place."""
    name = f"{fault.memory}.mem"
    if fault.memory == "program":
        raise InputError("faults in program memory change what is computed, not with what")
    file = reader.files.get(name)
    if file is None:
        raise InputError(f"the program has no {fault.memory} memory: {_why(fault.memory)}")
    for what, value, there in (
        ("line", fault.line, file.lines),
        ("field", fault.field, file.fields),
        ("bit", fault.bit, file.width),
    ):
        if value >= there:
            raise InputError(
                f"a fault in {what} {value} of the {fault.memory} memory is outside: "
                + (f"it has {what}s 0 … {there - 1}" if there else "it is empty")
            )
    return name


def _why(memory: str) -> str:
    if memory == "index":
        return "its engine computes the indices"
    return "none of its layers is a table"
