"""Wheels and source archives of this checkout, for the tests of what is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.once import once

ROOT = Path(__file__).parent.parent


def built(kind: str, source: Path, folder: Path) -> Path:
    """The ``wheel`` or ``sdist`` of a source tree, in ``folder``."""
    build = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.iterdir()
    return found


def of_the_checkout(factory: pytest.TempPathFactory, kind: str) -> Path:
    """The ``wheel`` or ``sdist`` of this checkout, built once in a run of the tests."""
    (found,) = once(factory, kind, lambda folder: built(kind, ROOT, folder)).iterdir()
    return found
