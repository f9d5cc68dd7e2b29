"""Random faults for any program: hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st

from hwsim.faults import KINDS, Fault
from hwsim.program.program import Program
from hwsim.rom.memories import PROGRAM, memory_files
from tests.property.words import Draw


@st.composite
def faults(draw: Draw, program: Program, most: int = 6) -> list[Fault]:
    """1 … ``most`` faults anywhere in the program's memories but that of the instructions.

    Memories are drawn alike, whatever their sizes, and the top bits of a word as often as all
    others together: there are signs, addresses beyond the layer, and shifts.
    """
    files = [file for name, file in memory_files(program).items() if name != PROGRAM and file.lines]
    found = []
    for _ in range(draw(st.integers(1, most))):
        file = draw(st.sampled_from(files))
        bit = st.integers(0, file.width - 1) | st.integers(max(0, file.width - 3), file.width - 1)
        found.append(
            Fault(
                file.name.removesuffix(".mem"),
                draw(st.integers(0, file.lines - 1)),
                draw(st.integers(0, file.fields - 1)),
                draw(bit),
                draw(st.sampled_from(KINDS)),
            )
        )
    return found
