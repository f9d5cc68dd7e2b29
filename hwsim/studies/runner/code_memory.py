"""Digests of code that were found before, believed while every module that was read says the same.

To follow a function through hundreds of modules takes seconds, to read them a few hundredths of
one; and every process of a study asks.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwsim.errors import InputError
from hwsim.files.cache import cache_folder
from hwsim.files.content import canonical, digest
from hwsim.files.file import replacing
from hwsim.files.reading import MAX_TEXT, parse_json, read_regular

#: SHA-256 of each module that was read; None where there is no such module of ours.
Read = Mapping[str, str | None]
Find = Callable[[str], str | None]


def hashed(text: str | None) -> str | None:
    """What is kept of a module's text."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def recall(function: str, find: Find, by: str) -> str | None:
    """The digest of ``function`` as it was found before; None where anything has changed.

    find: the text of a module by its name. by: the text of what finds digests.
    """
    path = _path(function, by)
    try:
        content: Any = parse_json(read_regular(path, MAX_TEXT))
        read, found = content["read"], content["found"]
        if content["digest"] != digest([path.name, read, found]):
            return None
        same = all(hashed(find(module)) == kept for module, kept in read.items())
        return str(found) if same else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InputError):
        return None  # it is found anew


def remember(function: str, by: str, read: Read, found: str) -> None:
    """Keep a digest. Where nothing can be written, the next process finds it anew."""
    path = _path(function, by)
    # The name too: what one function reaches is no other's.
    content = {"read": read, "found": found, "digest": digest([path.name, read, found])}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(canonical(content), encoding="utf-8")
    except OSError:
        return


def _path(function: str, by: str) -> Path:
    # A definition's text is as this Python writes it.
    name = digest([function, hashed(by), list(sys.version_info[:3])])[:24]
    return cache_folder() / "code" / f"{name}.json"
