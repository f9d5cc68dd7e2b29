"""A directory that appears complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from hwsim.errors import ImageError
from hwsim.files.leftovers import beside, remove, sweep


@contextmanager
def replaced_directory(path: Path, overwrite: bool, allowed: Set[str]) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that takes its name when the block succeeds.

    If the block fails or is interrupted, nothing is left of it and what stood at ``path`` stands
    there still. With ``overwrite`` an existing directory is replaced by two renames, provided that
    it holds only files named in ``allowed``, so that a mistyped path deletes nobody's data. What a
    killed process left is cleaned up by the next that writes the same path.

    Raises ImageError if ``path`` exists and may not be replaced, OSError if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _recover(path)
    _check_replaceable(path, overwrite, allowed)
    staging, retired = beside(path, ".new"), beside(path, ".old")
    try:
        staging.mkdir()
        yield staging
        if os.path.lexists(path):
            _check_replaceable(path, overwrite, allowed)
            os.rename(path, retired)
        os.rename(staging, path)
    finally:
        if retired.exists() and not os.path.lexists(path):
            os.rename(retired, path)
        for leftover in (staging, retired):
            shutil.rmtree(leftover, ignore_errors=True)


def _recover(path: Path) -> None:
    """Clean up behind a killed process; one that died between its two renames gets its old back."""
    retired = sweep(path, ".old")
    if retired and not os.path.lexists(path):
        os.rename(retired.pop(), path)
    remove([*sweep(path, ".new"), *retired])


def _check_replaceable(path: Path, overwrite: bool, allowed: Set[str]) -> None:
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise ImageError("exists and is not a directory: choose another name")
    if not overwrite:
        raise ImageError("already exists: delete it, overwrite it, or choose another name")
    for name in sorted(os.listdir(path)):
        if name not in allowed:
            raise ImageError(f"holds {name}, which is not part of an image: choose another name")
