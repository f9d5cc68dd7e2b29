"""What is made once for all workers of a test run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.files.lock import locked


def folder_of_all(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that the workers of this run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Folder ``name``, which ``make`` has filled in the first worker that asks for it.

    Others wait for it, and must not change it. Where ``make`` fails, the next one tries again.
    """
    base = folder_of_all(factory)
    folder, done = base / name, base / f"{name}.done"
    with locked(base / f".{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
