"""A digest of the code that computes rows, so that a changed attack or defense is another row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import attacks
import hwsim
import models

#: Of hwsim/studies: what computes rows. The rest plans, judges and draws what is there.
_ROWS = ("measures.py", "statics.py", "subjects.py")
#: Folders and files that no row passes through: what talks to users, what trains.
_ASIDE = {
    "hwsim": {"studies", "commands", "audit", "templates"},
    "models": {"specs.py", "recipe.py", "train.py", "training.py"},
}


def files() -> Iterator[tuple[str, Path]]:
    """(name, path) of every source file behind a row, in order."""
    for package in (attacks, hwsim, models):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            if inside.parts[0] not in _ASIDE.get(package.__name__, ()):
                yield f"{package.__name__}/{inside.as_posix()}", path
    for name in _ROWS:
        yield f"hwsim/studies/{name}", Path(__file__).parent / name


@lru_cache
def digest() -> str:
    """SHA-256 over names and contents."""
    found = hashlib.sha256()
    for name, path in files():
        body = path.read_bytes()
        found.update(f"{name} {len(body)}\n".encode())
        found.update(body)
    return found.hexdigest()
