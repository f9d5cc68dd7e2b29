"""What may happen to a file: bits, bytes, lengths, numbers, keys, and its place on the disk."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

#: Files by name, as bytes.
Files = dict[str, bytes]

NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
#: A key and its value, in JSON and in TOML.
PAIR = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[^,{}\[\]]+)|(?m:^\w+ = .*$)')
ODD_NUMBERS = [
    b"0", b"-1", b"-0", b"-0.0", b"1e999", b"-1e999", b"NaN", b"nan", b"inf", b"Infinity", b"0.1",
    b"1e-320", b"1E2", b"65536", b"2147483648", b"4294967296", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"1" + b"0" * 40, b"9" * 5000, b"0x10",
    b"0b1", b"1_000", b"007", b"+1", b"true", b"null", b'"1"', b"[1]", b"{}", b"1.5", b"3.0",
    b"\xd9\xa3", b"",
]  # fmt: skip
ODD_CONTENT = [
    b"", b"\0", b"\0" * 4096, b"\xff" * 64, b"{}", b"[]", b"null", b"[" * 40000, b"\xef\xbb\xbf{}",
    b"{" * 70 + b"}" * 70, b"a = {" * 3000, b"\n" * 999, b"SQLite format 3\0" + b"\0" * 200,
    b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 8 + b"{}", b"\xff\xff\xff\x7f\0\0\0\0{}",
]  # fmt: skip


def _place(draw: random.Random, data: bytes) -> int:
    """A place in the file; half of them near its ends, where headers and digests stand."""
    near = min(len(data) - 1, 300)
    kind = draw.randrange(4)
    if kind == 0:
        return draw.randint(0, near)
    if kind == 1:
        return len(data) - 1 - draw.randint(0, near)
    return draw.randrange(len(data))


def _bit(draw: random.Random, data: bytes) -> bytes:
    where = _place(draw, data)
    return data[:where] + bytes([data[where] ^ 1 << draw.randrange(8)]) + data[where + 1 :]


def _byte(draw: random.Random, data: bytes) -> bytes:
    where = _place(draw, data)
    new = draw.choice(b"0123456789abcdef\"',:{}[].-+eE \n\t\r\0\x7f\xff")
    return data[:where] + bytes([new]) + data[where + 1 :]


def _bytes(draw: random.Random, data: bytes) -> bytes:
    for _ in range(draw.randint(2, 30)):
        data = _byte(draw, data) if draw.randrange(2) else _bit(draw, data)
    return data


def _cut(draw: random.Random, data: bytes) -> bytes:
    return data[: _place(draw, data)]


def _behead(draw: random.Random, data: bytes) -> bytes:
    return data[_place(draw, data) :]


def _remove(draw: random.Random, data: bytes) -> bytes:
    where = _place(draw, data)
    return data[:where] + data[where + draw.randint(1, 40) :]


def _insert(draw: random.Random, data: bytes) -> bytes:
    where = _place(draw, data)
    return data[:where] + draw.randbytes(draw.randint(1, 12)) + data[where:]


def _space(draw: random.Random, data: bytes) -> bytes:
    where = _place(draw, data)
    return data[:where] + draw.choice([b" ", b"\n", b"\t", b"\r\n"]) + data[where:]


def _append(draw: random.Random, data: bytes) -> bytes:
    return data + draw.choice([b"\0", b"\n", b" ", b"}", data[-40:], draw.randbytes(9), data])


def _copy(draw: random.Random, data: bytes) -> bytes:
    start, where = _place(draw, data), _place(draw, data)
    part = data[start : start + draw.randint(1, 200)]
    return data[:where] + part + data[where + draw.choice([0, len(part)]) :]


def _zeros(draw: random.Random, data: bytes) -> bytes:
    """A sector that was never written."""
    where = _place(draw, data)
    count = draw.choice([16, 512, 4096])
    return data[:where] + b"\0" * min(count, len(data) - where) + data[where + count :]


def _number(draw: random.Random, data: bytes) -> bytes:
    found = list(NUMBER.finditer(data[:20000]))
    if not found:
        return _byte(draw, data)
    match = draw.choice(found)
    new = draw.choice([*ODD_NUMBERS, str(draw.randint(-9, 300)).encode(), draw.choice(found)[0]])
    return data[: match.start()] + new + data[match.end() :]


def _twice(draw: random.Random, data: bytes) -> bytes:
    """A key a second time, with its own value or another's."""
    found = list(PAIR.finditer(data[:20000]))
    if not found:
        return _copy(draw, data)
    match, other = draw.choice(found), draw.choice(found)
    pair = match[0]
    mark = b":" if b":" in pair else b"="
    pair = pair.partition(mark)[0] + mark + other[0].partition(mark)[2]
    between = b"," if mark == b":" else b"\n"
    at = draw.choice([match, other])
    return data[: at.start()] + pair + between + data[at.start() :]


def _length(draw: random.Random, data: bytes) -> bytes:
    """The eight bytes with which safetensors begin."""
    size = draw.choice([0, 1, 7, 2**31, 2**32, 2**40, 2**63, 2**64 - 1, len(data), len(data) - 8])
    return (size % 2**64).to_bytes(8, "little") + data[8:]


def _content(draw: random.Random, data: bytes) -> bytes:
    return draw.choice([*ODD_CONTENT, draw.randbytes(200), data[::-1]])


_OF_BYTES: list[tuple[int, Callable[[random.Random, bytes], bytes]]] = [
    (8, _bit), (6, _byte), (3, _bytes), (3, _cut), (1, _behead), (3, _remove), (3, _insert),
    (2, _space), (2, _append), (3, _copy), (2, _zeros), (6, _number), (5, _twice), (1, _length),
    (1, _content),
]  # fmt: skip


def edited(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, the bytes after it)."""
    weights, kinds = zip(*_OF_BYTES, strict=True)
    kind = draw.choices(kinds, weights)[0] if data else _content
    return kind.__name__.strip("_"), kind(draw, data)


def mutated(draw: random.Random, files: Mapping[str, bytes], others: Files) -> tuple[str, Files]:
    """(what was done, the files after it): one of them edited, or two of them exchanged.

    others: files of another artefact of the same kind, one of which may take its namesake's place,
    unless it were the whole artefact.
    """
    name = draw.choice(sorted(files))
    kind = draw.randrange(16)
    if kind == 0 and len(files) > 1:
        other = draw.choice(sorted(set(files) - {name}))
        return f"{name} and {other} exchanged", {
            **files, name: files[other], other: files[name]
        }  # fmt: skip
    if kind == 1 and len(files) > 1:
        return f"{name} of another", {**files, name: others[name]}
    done, data = edited(draw, files[name])
    return f"{name}: {done}", {**files, name: data}


def _fifo(path: Path, _: Files) -> None:
    os.mkfifo(path)


def _folder(path: Path, _: Files) -> None:
    path.mkdir()


def _nothing(path: Path, _: Files) -> None:
    pass


def _device(path: Path, _: Files) -> None:
    path.symlink_to("/dev/zero")


def _circle(path: Path, _: Files) -> None:
    path.symlink_to(path.name)


def _hole(path: Path, files: Files) -> None:
    path.write_bytes(files[path.name])
    os.truncate(path, 1 << 42)


_INSTEAD: list[Callable[[Path, Files], None]] = [
    _fifo, _folder, _nothing, _device, _circle, _hole,
]  # fmt: skip


def replaced_by_no_file(draw: random.Random, folder: Path, files: Files) -> str:
    """Put something else where one of ``files`` stands in ``folder``; says what."""
    name = draw.choice(sorted(files))
    kind = draw.choice(_INSTEAD)
    (folder / name).unlink()
    kind(folder / name, files)
    return f"{name}: {kind.__name__.strip('_')} in its place"
