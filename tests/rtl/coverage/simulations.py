"""What a test that runs cocotb on a module adds, for ``make coverage`` to count its simulation."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from hwsim.rtl.build import COVERAGE, coverage_options


def build_args() -> list[str]:
    """For the runner's ``build``; nothing in an ordinary run."""
    return coverage_options()


def plusargs() -> list[str]:
    """For the runner's ``test``: where the simulation leaves its file."""
    folder = os.environ.get(COVERAGE)
    return [f"+verilator+coverage+file+{Path(folder) / uuid.uuid4().hex}.dat"] if folder else []
