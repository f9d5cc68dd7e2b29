"""What check bits make of faults: which words come out right, which wrong, and which stop an image.

With ``EngineConfig.ecc`` every word of the memories has check bits, which are bits of it like
others: of a word of W bits they are bits W, W + 1, … of a ``Fault``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.errors import InputError
from hwsim.faults.fault import Fault, Memory
from hwsim.numbers.ecc import Ecc, check_bits, check_of, decoded
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values

#: A word: memory, line, field.
Place = tuple[Memory, int, int]


@dataclass(frozen=True)
class Protected:
    """What is left of faults behind the check bits of an engine.

    faults: flips of data bits that reach the datapath, for ``inject``. stops: words that end an
    image with an error status where a layer reads them. corrected: words that come out right.
    """

    faults: tuple[Fault, ...]
    stops: tuple[Place, ...]
    corrected: tuple[Place, ...]


def stored(ecc: Ecc, width: int, word: int, bits: Sequence[int]) -> tuple[int, int]:
    """How to write a word with flipped bits: the word to write, and check bits to write wrong.

    bits: of the word with its check bits above it, each at most once.
    """
    flips = sum(1 << bit for bit in bits)
    data = flips & ((1 << width) - 1)
    found = int(check_of(ecc, np.array([data], np.uint64), width)[0])
    return word ^ data, found ^ flips >> width


def behind_check_bits(program: Program, faults: Sequence[Fault]) -> Protected:
    """What the memories of ``program``'s engine answer once they have these faults.

    Raises InputError for a fault outside of the words that were loaded, check bits included.
    """
    config, by_word = program.config, defaultdict[Place, list[Fault]](list)
    for fault in faults:
        by_word[fault.memory, fault.line, fault.field].append(fault)
    files = {name.removesuffix(".mem"): file for name, file in memory_files(program).items()}
    values = {
        memory: np.concatenate(list(memory_values(program, f"{memory}.mem")))
        for memory in {place[0] for place in by_word}
        if memory in files
    }
    left: list[Fault] = []
    stops: list[Place] = []
    corrected: list[Place] = []
    for place, mine in by_word.items():
        memory, line, field = place
        file = files.get(memory)
        if file is None or line >= file.lines or field >= file.fields:
            raise InputError(f"this program's {memory} has no line {line} with a field {field}")
        width = file.width + check_bits(config.ecc, file.width)
        if (bit := max(fault.bit for fault in mine)) >= width:
            raise InputError(f"a word of {memory} has {width} bits, check bits included: no {bit}")
        word = int(values[memory][line, field]) & (1 << file.width) - 1
        check = int(check_of(config.ecc, np.array([word], np.uint64), file.width)[0])
        whole = faulty = word | check << file.width
        # As inject has it: flips come before stuck bits.
        for fault in sorted(mine, key=lambda one: one.kind != "flip"):
            mask = 1 << fault.bit
            faulty = {
                "flip": faulty ^ mask, "stuck-0": faulty & ~mask, "stuck-1": faulty | mask,
            }[fault.kind]  # fmt: skip
        if faulty == whole:
            continue
        parts = faulty & (1 << file.width) - 1, faulty >> file.width
        one = [np.array([part], np.uint64) for part in parts]
        found, wrong = decoded(config.ecc, one[0], one[1], file.width)
        if wrong[0]:
            stops.append(place)
        elif not (differs := int(found[0]) ^ word):
            corrected.append(place)
        else:
            bits = [bit for bit in range(file.width) if differs >> bit & 1]
            left += [Fault(memory, line, field, bit) for bit in bits]
    return Protected(tuple(left), tuple(stops), tuple(corrected))
