"""What is read from files: regular ones of a due size only, and JSON with one meaning only."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from hwsim.errors import InputError

#: Bytes of a configuration, a card or any other text that a person may have written.
MAX_TEXT = 1 << 20
#: Bytes of a file that keeps unfinished work.
MAX_KEPT = 1 << 28
#: Objects and lists within each other; whoever nests deeper wants a stack to run over.
MAX_DEPTH = 64


def check_regular(path: Path | str, limit: int) -> int:
    """The size of a regular file in bytes, which a link may lead to.

    Nothing is opened: a pipe would keep its reader waiting, and a device do something. Raises
    InputError for anything that is not a regular file, and for one of more than ``limit`` bytes,
    however few of them are on the disk; OSError where there is none.
    """
    if "\0" in str(path):
        raise InputError("no file has a null character in its name")
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is not a regular file, so it is not read")
    if status.st_size > limit:
        raise InputError(f"{path}: has {status.st_size} bytes, more than the {limit} it may have")
    return status.st_size


def read_regular(path: Path | str, limit: int) -> bytes:
    """The bytes of a regular file. Raises as ``check_regular`` does."""
    size = check_regular(path, limit)
    # Without waiting, should a pipe have taken its place meanwhile.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InputError(f"{path}: is not a regular file, so it is not read")
        return file.read(size)


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text that every reader understands in the same way.

    Raises ValueError, one line without a file name, for text that is not JSON in UTF-8, a key
    that stands twice in one object, NaN and infinities in any spelling, integers beyond 64 bits,
    and nesting deeper than ``MAX_DEPTH``.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer,
            parse_float=_number,
        )  # fmt: skip
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    _check_depth(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _integer(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= (value := int(text)) < 1 << 64:
        raise ValueError(f"the number {text[:20]} … is beyond 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is not finite")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH}")
