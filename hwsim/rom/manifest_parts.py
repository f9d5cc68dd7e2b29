"""Types of manifest.json that every format version has."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

Frac = Annotated[int, Field(ge=-128, le=128)]
#: Characters of a name, at most.
LONGEST_NAME = 200
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("has unprintable characters")
    return name


Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_printable)]
