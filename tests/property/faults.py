"""Random faults for any program: hypothesis strategies.

What is never drawn: faults in program.mem, and check bits (``flips_of_lines`` of tests/rtl).
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hwsim.faults import Fault
from hwsim.program.program import Program
from hwsim.rom.memories import LUT, PROGRAM, WEIGHTS
from hwsim.rom.words import WordReader
from tests.property.words import Draw

#: Flips, which always change something, more often than bits that are stuck.
_KINDS = ["flip", "flip", "flip", "stuck-0", "stuck-1"]


@st.composite
def faults(draw: Draw, program: Program, most: int = 6) -> list[Fault]:
    """Faults in 1 … ``most`` words of the program's memories but that of the instructions.

    Memories are drawn alike, whatever their sizes, tables less often. Of a word one bit is wrong,
    the top bits as often as all others together: signs, addresses beyond the layer, shifts; or so
    many that it holds any other word, the extremes of its field before all: what the format
    forbids, and what makes sums wrap around.
    """
    reader = WordReader(program)
    files = [file for name, file in reader.files.items() if name != PROGRAM and file.lines]
    files += [file for file in files if file.name != LUT]
    found: list[Fault] = []
    for _ in range(draw(st.integers(1, most))):
        file = draw(st.sampled_from(files))
        # Words that count stand in front: the last line of a layer may be filling.
        line, field = draw(st.integers(0, file.lines - 1)), draw(st.integers(0, file.fields - 1))
        memory, top = file.name.removesuffix(".mem"), file.width - 1
        if draw(st.booleans()):
            bit = draw(st.integers(max(0, top - 2), top) | st.integers(0, top))
            found.append(Fault(memory, line, field, bit, draw(st.sampled_from(_KINDS))))
            continue
        extremes = [1 << top, (1 << top) - 1, (2 << top) - 1, 0]
        wanted = draw(st.sampled_from(extremes) | st.integers(0, (2 << top) - 1))
        change = wanted ^ reader(file.name, line, field)
        found += [Fault(memory, line, field, b) for b in range(top + 1) if change >> b & 1]
    return found


@st.composite
def crowds(draw: Draw, program: Program, most: int = 300) -> list[Fault]:
    """Faults by the hundred, of one memory or of all, anywhere in them, on a bit twice or not.

    By chance and a seed: so many draws of their own would not shrink to anything that says more.
    """
    reader = WordReader(program)
    files = [file for name, file in reader.files.items() if name != PROGRAM and file.lines]
    if draw(st.booleans()):
        files = [draw(st.sampled_from(files))]
    count = draw(st.integers(most // 6, most))
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    found = []
    for _ in range(count):
        file = files[noise.integers(len(files))]
        line, field, bit = (
            int(noise.integers(size)) for size in (file.lines, file.fields, file.width)
        )
        kind = _KINDS[noise.integers(len(_KINDS))]
        found.append(Fault(file.name.removesuffix(".mem"), line, field, bit, kind))
    return found


def any_faults(program: Program) -> st.SearchStrategy[list[Fault]]:
    """A few peculiar ones, words that make sums wrap around, or hundreds."""
    return faults(program) | overflows(program) | crowds(program)


@st.composite
def overflows(draw: Draw, program: Program) -> list[Fault]:
    """Faults that make several weights of the least or the largest word: sums that wrap around."""
    reader = WordReader(program)
    file = reader.files[WEIGHTS]
    if not file.lines:
        return []
    line, top = draw(st.integers(0, file.lines - 1)), file.width - 1
    word = draw(st.sampled_from([1 << top, (1 << top) - 1]))
    return [
        Fault("weights", line, field, bit)
        for field in range(min(file.fields, 8))
        for bit in range(file.width)
        if (word ^ reader(WEIGHTS, line, field)) >> bit & 1
    ]
