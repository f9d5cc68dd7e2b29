"""A fault as data: one bit of one memory, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hwsim.errors import InputError

Memory = Literal["weights", "index", "scale", "bias", "program", "lut"]
Kind = Literal["flip", "stuck-0", "stuck-1"]
MEMORIES: tuple[Memory, ...] = get_args(Memory)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Fault:
    """One bit of a memory that is not what was written.

    memory: as the files of an image are called (docs/images.md). line: of that file, from 0.
    field: of the line, field 0 in the low bits: the bank of a weight, the row of an index, 0
    elsewhere. bit: of the field, 0 is the lowest. kind: ``flip`` inverts what was written once,
    ``stuck-0`` and ``stuck-1`` hold the bit whatever is written.

    Raises InputError for a memory or kind that does not exist, and for negative numbers; whether
    the place exists depends on the program and is for ``inject`` to say.
    """

    memory: Memory
    line: int
    field: int
    bit: int
    kind: Kind = "flip"

    def __post_init__(self) -> None:
        if self.memory not in MEMORIES:
            raise InputError(f"no memory is called {self.memory!r}: {', '.join(MEMORIES)}")
        if self.kind not in KINDS:
            raise InputError(f"no kind of fault is called {self.kind!r}: {', '.join(KINDS)}")
        for name in ("line", "field", "bit"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} of a fault must be at least 0: {getattr(self, name)}")
