"""How a file from a stranger is refused: in one line, and within its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.importer.data import UserData
from hwsim.importer.load import load_model

LIMIT = 1 << 30
DATA = UserData(np.zeros((2, 3, 6, 6), np.float32))


def line_of(path: Path | str) -> str:
    """The one line in which a file is refused, within the memory that it may take."""
    tracemalloc.start()
    try:
        with pytest.raises(HwsimError) as error:
            load_model(path, data=DATA)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT
    assert "\n" not in str(error.value)
    return str(error.value)


class Touches:
    """Would leave a file behind, if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)
