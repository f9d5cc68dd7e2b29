"""How one RAM's words are written in the files that FPGA tools read.

``mem``: IEEE 1364-2005, 17.2.8. ``coe``: Vivado, UG896. ``mif`` and ``hex``: Quartus Prime's help,
"Memory Initialization File" and "Hexadecimal (Intel-Format) File": the latter counts words, one a
record, and has no addresses beyond 20 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ImageError

#: Words turned into text at once.
CHUNK = 1 << 16
#: What type 02 records of Intel HEX reach.
HEX_WORDS = 1 << 20

_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)


@dataclass(frozen=True)
class Ram:
    """One RAM: ``depth`` words of ``width`` <= 64 bits, of which an image fills the first ``used``.

    memory, field: the file of the image and the field of its lines that it holds.
    """

    name: str
    memory: str
    field: int
    width: int
    depth: int
    used: int


class Format(Protocol):
    """Text before the words, of some words from an address on, and behind the last one."""

    def begin(self, ram: Ram) -> bytes: ...

    def words(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> bytes: ...

    def end(self, ram: Ram) -> Iterator[bytes]: ...


class Mem:
    """A word a line and nothing else; Vivado wants as many lines as the RAM has words (UG901)."""

    def begin(self, ram: Ram) -> bytes:
        return b""

    def words(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> bytes:
        return _lines(_hex(values, _nibbles(ram)), b"\n").lower()

    def end(self, ram: Ram) -> Iterator[bytes]:
        line = b"0" * _nibbles(ram) + b"\n"
        for start in range(ram.used, ram.depth, CHUNK):
            yield line * min(CHUNK, ram.depth - start)


class Coe:
    """Words that are not there are 0: an option of the memory generator that is so by default."""

    def begin(self, ram: Ram) -> bytes:
        return (
            f"; {ram.name}: {ram.width} bits x {ram.depth} words\n"
            "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
        ).encode()

    def words(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> bytes:
        text = _lines(_hex(values, _nibbles(ram)), b",\n")
        return text[:-2] + b";\n" if first + len(values) == ram.used else text

    def end(self, ram: Ram) -> Iterator[bytes]:
        if not ram.used:
            yield b"0;\n"


class Mif:
    """An address and a word a line, and at last a range of zeros."""

    def begin(self, ram: Ram) -> bytes:
        return (
            f"-- {ram.name}\nDEPTH = {ram.depth};\nWIDTH = {ram.width};\n"
            "ADDRESS_RADIX = HEX;\nDATA_RADIX = HEX;\nCONTENT\nBEGIN\n"
        ).encode()

    def words(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> bytes:
        address = np.arange(first, first + len(values), dtype=np.uint64)
        colon = np.broadcast_to(np.frombuffer(b" : ", np.uint8), (len(values), 3))
        row = [_hex(address, self._digits(ram)), colon, _hex(values, _nibbles(ram))]
        return _lines(np.hstack(row), b";\n")

    def end(self, ram: Ram) -> Iterator[bytes]:
        if ram.used < ram.depth:
            digits = self._digits(ram)
            yield f"[{ram.used:0{digits}X}..{ram.depth - 1:0{digits}X}] : 0;\n".encode()
        yield b"END;\n"

    def _digits(self, ram: Ram) -> int:
        return len(f"{ram.depth - 1:X}")


class IntelHex:
    """A record a word, its address the word's, the word's bytes from the highest one down."""

    def begin(self, ram: Ram) -> bytes:
        if ram.used > HEX_WORDS:
            raise ImageError(
                f"{ram.name} has {ram.used} words, but Intel HEX of Quartus reaches {HEX_WORDS}: "
                "take --format mif"
            )
        return b""

    def words(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> bytes:
        return b"".join(self._records(ram, first, values))

    def _records(self, ram: Ram, first: int, values: NDArray[np.uint64]) -> Iterator[bytes]:
        start = 0
        while start < len(values):
            address = first + start
            count = min(len(values) - start, (1 << 16) - address % (1 << 16))
            if address and address % (1 << 16) == 0:  # the segment in units of 16
                yield _records(0, 2, np.array([[address >> 12, address >> 4 & 255]], np.uint64))
            part = values[start : start + count]
            wide = -(-ram.width // 8)
            shifts = np.arange(8 * (wide - 1), -1, -8, dtype=np.uint64)
            yield _records(address % (1 << 16), 0, part[:, None] >> shifts & np.uint64(0xFF))
            start += count

    def end(self, ram: Ram) -> Iterator[bytes]:
        yield b":00000001FF\n"


FORMATS: dict[str, Format] = {"mem": Mem(), "coe": Coe(), "mif": Mif(), "hex": IntelHex()}


def _records(address: int, kind: int, data: NDArray[np.uint64]) -> bytes:
    """Intel HEX records of ``kind`` with a row of bytes each, addresses counting up by one."""
    count, wide = data.shape
    where = np.arange(address, address + count, dtype=np.uint64)[:, None]
    head = np.hstack([np.full_like(where, wide), where >> np.uint64(8), where & np.uint64(0xFF),
                      np.full_like(where, kind)])  # fmt: skip
    row = np.hstack([head, data])
    check = (np.uint64(0) - row.sum(1, dtype=np.uint64)) & np.uint64(0xFF)
    digits = _hex(np.hstack([row, check[:, None]]).reshape(-1), 2).reshape(count, -1)
    colon = np.full((count, 1), ord(":"), np.uint8)
    return _lines(np.hstack([colon, digits]), b"\n")


def _nibbles(ram: Ram) -> int:
    return -(-ram.width // 4)


def _hex(values: NDArray[np.uint64], digits: int) -> NDArray[np.uint8]:
    """Characters (n, digits) of each number."""
    shifts = np.arange(4 * (digits - 1), -1, -4, dtype=np.uint64)
    return _DIGITS[(values[:, None] >> shifts & np.uint64(15)).astype(np.intp)]


def _lines(rows: NDArray[np.uint8], end: bytes) -> bytes:
    tail = np.broadcast_to(np.frombuffer(end, np.uint8), (len(rows), len(end)))
    return np.hstack([rows, tail]).tobytes()
