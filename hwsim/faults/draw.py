"""Random faults: which bits of a memory are wrong in a trial, by a model of upsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from hwsim.faults.fault import Fault, Memory
from hwsim.rom.memfile import MemFile

#: ``uniform``: each bit flips alone. ``mbu``: each upset flips neighbouring bits of a line, 2 … 4.
#: ``stuck``: each such bit is stuck at 0 or 1, by a coin, so that half of them change nothing.
Model = Literal["uniform", "mbu", "stuck"]
MODELS: tuple[Model, ...] = get_args(Model)
#: Bits of a multiple upset, and how often each is drawn.
CLUSTER = {2: 0.7, 3: 0.2, 4: 0.1}


def draw(
    file: MemFile, model: Model, random: np.random.Generator, rate: float, exactly: int | None
) -> list[Fault]:
    """Faults of one trial in one memory.

    file: of the memory; every line and field of it counts, filling too. rate: probability that a
    bit is where an upset begins. exactly: so many upsets instead, at places that differ.
    """
    bits = file.lines * file.fields * file.width
    count = int(random.binomial(bits, rate)) if exactly is None else min(exactly, bits)
    line_bits = file.fields * file.width
    found: dict[tuple[int, int, int], Fault] = {}
    for start in _places(random, bits, count):
        length = 1
        if model == "mbu":
            length = int(random.choice(list(CLUSTER), p=list(CLUSTER.values())))
        line, first = divmod(start, line_bits)
        for at in range(first, min(first + length, line_bits)):
            field, bit = divmod(at, file.width)
            kind = "flip" if model != "stuck" else ("stuck-0", "stuck-1")[int(random.integers(2))]
            # Two upsets that meet are one.
            found[line, field, bit] = Fault(_memory(file), line, field, bit, kind)  # type: ignore[arg-type]
    return list(found.values())


def _memory(file: MemFile) -> Memory:
    return file.name.removesuffix(".mem")  # type: ignore[return-value]


def _places(random: np.random.Generator, bits: int, count: int) -> Iterator[int]:
    """Distinct numbers below ``bits``, without a list of all of them."""
    if count * 2 > bits:
        yield from random.permutation(bits)[:count].tolist()
        return
    seen: set[int] = set()
    while len(seen) < count:
        at = int(random.integers(bits))
        if at not in seen:
            seen.add(at)
            yield at
