"""Data, and functions of a file of strangers: refused in one line, and nothing of it is done.

Inputs here are harmless: sizes are declared and not there, places are named and not touched.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.importer.data import UserData, read_data
from hwsim.importer.load import load_model
from tests.importer.strangers import Touches, line_of


def test_data_is_read_without_pickle(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    np.savez(tmp_path / "d.npz", x=np.array([Touches(touched)], object))
    with pytest.raises(InputError, match="not read"):
        read_data(tmp_path / "d.npz")
    assert not touched.exists()


def test_data_that_declares_more_than_it_has_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 16, 1 << 15)}
    )
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(InputError, match="declares"):
        read_data(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "arrays",
    [{"y": np.zeros(3)}, {"x": np.zeros(3)}, {"x": np.full((2, 3), np.nan)},
     {"x": np.zeros((2, 3)), "y": np.zeros(3, np.int64)},
     {"x": np.zeros((2, 3)), "y": np.zeros((2, 10))}, {"x": np.array([["a"]])}],
)  # fmt: skip
def test_data_that_fits_no_network_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(InputError) as error:
        read_data(tmp_path / "d.npz")
    assert "\n" not in str(error.value)


def test_a_function_of_a_file_is_the_one_thing_that_is_executed(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\ndef make():\n    return torch.nn.Sequential(torch.nn.Flatten(), "
        "torch.nn.Linear(108, 3))\ndef wrong():\n    return 3\ndef bad():\n    1 / 0\n"
    )
    model = load_model(f"{file}:make", data=UserData(np.random.default_rng(0).random((8, 3, 6, 6))))
    assert model.program.classes == 3
    assert "returned int" in line_of(f"{file}:wrong")
    assert "ZeroDivisionError" in line_of(f"{file}:bad")
    assert "no function" in line_of(f"{file}:nothing")
