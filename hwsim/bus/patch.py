"""What two images differ in, word by word, and as writes for the AXI4-Lite memory window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from hwsim.bus.constants import SPACES
from hwsim.bus.registers import ADDRESS
from hwsim.errors import ImageError
from hwsim.numbers.config import EngineConfig
from hwsim.program.program import Program
from hwsim.rom.memories import INDEX, MEMORIES, PROGRAM, WEIGHTS, memory_files, memory_values


@dataclass(frozen=True)
class Change:
    """One word: memory file, line, field of the line (bank, row or 0), before and after."""

    memory: str
    line: int
    field: int
    before: int
    after: int


def changes(a: Program, b: Program) -> Iterator[Change]:
    """Every word in which b differs from a, in the order of memories, lines and fields.

    Weights and biases are signed; scale words {s, m} and instructions are unsigned. Raises
    ImageError unless both run on the same engine and their memories have the same sizes.
    """
    files, others = memory_files(a), memory_files(b)
    if _engine(a.config) != _engine(b.config) or files != others:
        raise ImageError(
            "the two images are not for the same engine and network: their memories differ in size"
        )
    for name in MEMORIES:
        if name not in files or (name == INDEX and _same_hash(a, b)):
            continue
        line = 0
        for old, new in zip(memory_values(a, name), memory_values(b, name), strict=True):
            for row, column in zip(*np.nonzero(old != new), strict=True):
                yield Change(
                    name, line + int(row), int(column), int(old[row, column]), int(new[row, column])
                )
            line += len(old)


def _engine(config: EngineConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"name", "clock_mhz"})


def _same_hash(a: Program, b: Program) -> bool:
    if a.held is not None or b.held is not None:
        return False
    return [x.spec for x in a.mac_layers] == [x.spec for x in b.mac_layers]


def layer_of(program: Program, change: Change) -> str:
    """Name of the layer that a word belongs to; ``end`` for the last instruction."""
    names = [layer.name for layer in program.layers]
    if change.memory == PROGRAM:
        return [*names, "end"][change.line // 16]
    for layer, place in zip(program.layers, program.placements(), strict=True):
        base, lines = {
            WEIGHTS: (place.weight_base, place.weight_lines),
            INDEX: (place.index_base, place.index_lines),
        }.get(change.memory, (place.channel_base, place.channels))
        if base <= change.line < base + lines:
            return layer.name
    raise ValueError(f"no layer holds line {change.line} of {change.memory}")


def write_patch(program: Program, found: Iterator[Change], out: TextIO) -> int:
    """AXI4-Lite writes, ``address data`` in hex a line, that turn the old image into the new one.

    program: either of the two; its engine gives the widths. Runs of neighbouring words use the
    window's own counting: space, line and field are written only where a run begins, MEM_HIGH
    only where it changes. Returns the number of writes. To be sent while the engine is idle.
    """
    files = memory_files(program)
    writes = 0
    state: tuple[str, int, int] | None = None
    high: int | None = None

    def write(register: str, value: int) -> None:
        nonlocal writes
        out.write(f"{ADDRESS[register]:08x} {value & 0xFFFFFFFF:08x}\n")
        writes += 1

    for change in found:
        file = files[change.memory]
        here = (change.memory, change.line, change.field)
        if state is None or state[0] != change.memory:
            write("MEM_SPACE", SPACES[change.memory])
        if here != state:
            write("MEM_LINE", change.line)
            write("MEM_FIELD", change.field)
        upper = (change.after >> 32) & 0xFFFFFFFF
        if file.width > 32 and upper != high:
            write("MEM_HIGH", upper)
            high = upper
        write("MEM_DATA", change.after)
        last = change.field + 1 == file.fields
        state = (change.memory, change.line + last, 0 if last else change.field + 1)
    return writes
