"""Memory files: one memory word per line in hexadecimal, exactly what ``$readmemh`` loads.

A line holds ``fields`` numbers of ``width`` bits, field 0 in the low bits, as lower-case digits
with no prefix, no comment and no spare digit; every line ends in a newline. Files of a hundred
megabytes are usual (the index of a VGG), so a line is never a Python integer: both directions go
through numpy, one digit position of many lines at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ImageError

#: Fields converted at once; bounds the scratch memory to a few megabytes.
CHUNK_FIELDS = 1 << 18

#: What to do about a damaged image.
ADVICE = "restore the image or compile the network again"

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_INVALID = 255
_NIBBLE = np.full(256, _INVALID, np.uint8)
_NIBBLE[_HEX] = np.arange(16)
_NEWLINE = ord("\n")


@dataclass(frozen=True)
class MemFile:
    """One memory file: ``lines`` lines of ``fields`` numbers of ``width`` <= 64 bits."""

    name: str
    lines: int
    fields: int
    width: int

    @property
    def digits(self) -> int:
        """Hexadecimal digits of a line."""
        return -(-self.fields * self.width // 4)

    @property
    def line_bytes(self) -> int:
        return self.digits + 1

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.lines * self.line_bytes

    def encode(self, values: NDArray[np.integer]) -> Iterator[bytes]:
        """Text of some lines, in pieces. values: integers (n, fields), two's complement."""
        step = max(1, CHUNK_FIELDS // self.fields)
        for start in range(0, len(values), step):
            yield self._encode_chunk(values[start : start + step])

    def _encode_chunk(self, values: NDArray[np.integer]) -> bytes:
        columns = np.ascontiguousarray(values.T.astype(np.int64)).view(np.uint64)
        columns &= np.uint64((1 << self.width) - 1)
        text = np.empty((self.line_bytes, len(values)), np.uint8)
        text[-1] = _NEWLINE
        for digit in range(self.digits):
            nibble = np.zeros(len(values), np.uint64)
            for field, shift in self._fields_of(digit):
                nibble |= _shifted_right(columns[field], shift)
            text[self.digits - 1 - digit] = _HEX[(nibble & np.uint64(15)).astype(np.intp)]
        return text.T.tobytes()

    def _fields_of(self, digit: int) -> Iterator[tuple[int, int]]:
        """(field, bit of that field under bit 0 of the digit), lowest field first."""
        low = 4 * digit
        for field in range(low // self.width, min((low + 3) // self.width + 1, self.fields)):
            yield field, low - field * self.width

    def decode(self, data: bytes, *, signed: bool) -> NDArray[np.int64]:
        """The numbers of a whole file, int64 (lines, fields); unsigned numbers have <= 63 bits.

        Raises ImageError, naming file and line, for anything but ``lines`` well-formed lines.
        """
        self.check_size(len(data))
        text = np.frombuffer(data, np.uint8).reshape(self.lines, self.line_bytes)
        values = np.empty((self.lines, self.fields), np.int64)
        step = max(1, CHUNK_FIELDS // self.fields)
        for start in range(0, self.lines, step):
            values[start : start + step] = self._decode_chunk(text[start : start + step], start)
        if signed:
            unused = 64 - self.width
            values <<= unused
            values >>= unused
        return values

    def _decode_chunk(self, text: NDArray[np.uint8], first_line: int) -> NDArray[np.int64]:
        self._check_syntax(text, first_line)
        nibbles = np.ascontiguousarray(_NIBBLE[text[:, -2::-1]].T)  # lowest digit first
        columns = np.zeros((self.fields, len(text)), np.uint64)
        for digit in range(self.digits):
            nibble = nibbles[digit].astype(np.uint64)
            for field, shift in self._fields_of(digit):
                columns[field] |= _shifted_right(nibble, -shift)
        columns &= np.uint64((1 << self.width) - 1)
        return columns.view(np.int64).T

    def _check_syntax(self, text: NDArray[np.uint8], first_line: int) -> None:
        nibbles = _NIBBLE[text[:, :-1]]
        bad = (nibbles == _INVALID).any(1) | (text[:, -1] != _NEWLINE)
        if bad.any():
            self.refuse(
                first_line + int(bad.argmax()), f"is not {self.digits} lower-case hex digits"
            )
        unused = 4 * self.digits - self.fields * self.width
        over = nibbles[:, 0] >> (4 - unused) != 0
        if over.any():
            bits = self.fields * self.width
            self.refuse(first_line + int(over.argmax()), f"is wider than {bits} bits")

    def check_size(self, size: int) -> None:
        """Raise ImageError unless a file of ``size`` bytes can hold exactly these lines."""
        if size != self.size:
            whole = min(self.lines, size // self.line_bytes)
            self.refuse(
                whole,
                f"is cut off, missing or surplus (the file has {size} bytes, not {self.size}: "
                f"{self.lines} lines of {self.digits} digits, each with a newline)",
            )

    def first_difference(self, data: bytes, expected: bytes, start: int) -> int | None:
        """Index of the first line from ``start`` on that differs from the text ``expected``."""
        low = start * self.line_bytes
        found = data[low : low + len(expected)]
        if found == expected:
            return None
        differs = np.frombuffer(found, np.uint8) != np.frombuffer(expected, np.uint8)
        return start + int(differs.argmax()) // self.line_bytes

    def line(self, data: bytes, index: int) -> NDArray[np.int64]:
        """The unsigned numbers of one line (fields,), for an error message."""
        text = np.frombuffer(data, np.uint8).reshape(self.lines, self.line_bytes)
        return self._decode_chunk(text[index : index + 1], index)[0]

    def refuse(self, line: int, what: str) -> NoReturn:
        """Raise ImageError about a line, counted from 0 here and from 1 in the message."""
        raise ImageError(f"{self.name} line {line + 1} {what}: {ADVICE}")


def _shifted_right(values: NDArray[np.uint64], shift: int) -> NDArray[np.uint64]:
    return values >> np.uint64(shift) if shift >= 0 else values << np.uint64(-shift)
