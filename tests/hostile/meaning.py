"""What a folder of results says, by file: everything but how long it took and when it was made."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

#: A number and its unit as reports print them, and the fields of JSON that say the same.
_SHOWN = re.compile(r"\d[\d,]*(?:\.\d+)? s\b")
_FIELD = re.compile(r'(seconds(?:"|&#34;): )[0-9.e-]+')


def timeless(text: str) -> str:
    """``text`` without any number of seconds."""
    return _FIELD.sub(r"\g<1>0", _SHOWN.sub("0 s", text))


def _json(path: Path) -> Any:
    found = json.loads(path.read_bytes())
    for name in ("seconds", "computed_seconds"):
        found.pop(name, None)
    return found


def _rows(path: Path) -> Any:
    columns = "key, function, version, parameters, inputs, row"
    with closing(sqlite3.connect(path)) as base:
        return base.execute(f"SELECT {columns} FROM rows ORDER BY key").fetchall()


def _tensors(path: Path) -> Any:
    """The header by its values: the library writes metadata in any order."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), hashlib.sha256(data[end:]).hexdigest()


def _text(path: Path) -> str:
    return timeless(path.read_text(encoding="utf-8"))


_KINDS: dict[str, Callable[[Path], Any]] = {
    ".json": _json, ".sqlite": _rows, ".html": _text, ".csv": _text, ".safetensors": _tensors,
}  # fmt: skip


def of(folder: Path) -> dict[str, Any]:
    """By the path of every file below ``folder``, hidden and temporary ones too."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            kind = _KINDS.get(path.suffix)
            data = hashlib.sha256(path.read_bytes()).hexdigest() if kind is None else kind(path)
            found[str(path.relative_to(folder))] = data
    return found


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """What is wrong about ``found`` in a line; None where it is as wanted."""
    if more := sorted(found.keys() - wanted.keys()):
        return f"left over: {', '.join(more)}"
    if less := sorted(wanted.keys() - found.keys()):
        return f"missing: {', '.join(less)}"
    if other := sorted(name for name in found if found[name] != wanted[name]):
        return f"another content of {', '.join(other)}"
    return None
