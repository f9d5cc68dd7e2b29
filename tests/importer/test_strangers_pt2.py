"""Exported programs of strangers: refused in one line, and nothing of it is done.

Inputs here are harmless: sizes are declared and not there, places are named and not touched.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.errors import HwsimError, InputError
from hwsim.importer import pt2
from hwsim.importer.data import UserData
from hwsim.importer.load import load_model
from tests.importer.strangers import DATA, Touches


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(2, 3, 6, 6),)), path)
    return path


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            data = change(entry.filename, old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
    return target


def test_an_exported_program_is_read(exported: Path) -> None:
    model = load_model(exported, data=UserData(np.random.default_rng(0).random((8, 3, 6, 6))))
    assert model.program.classes == 4
    assert model.module is not None


def test_nothing_of_an_exported_program_is_unpickled(exported: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    buffer = io.BytesIO()
    torch.save(Touches(touched), buffer)
    cases: list[Callable[[str, bytes], bytes | None]] = [
        lambda name, data: buffer.getvalue() if "sample_inputs" in name else data,
        lambda name, data: data.replace(b'"use_pickle": false', b'"use_pickle": true')
        .replace(b'"use_pickle":false', b'"use_pickle":true') if "weights_config" in name else data,
    ]  # fmt: skip
    for change in cases:
        with pytest.raises(InputError):
            pt2.read(rewritten(exported, tmp_path / "net.pt2", change))
    assert pickle.dumps(Touches(touched))
    assert not touched.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [("torch.ops.aten.linear.default", "torch.ops.aten.from_file.default"),
     ("torch.ops.aten.linear.default", "os.system")],
)  # fmt: skip
def test_only_operators_of_aten_are_called(
    exported: Path, tmp_path: Path, old: str, new: str
) -> None:
    def change(name: str, data: bytes) -> bytes:
        return data.replace(old.encode(), new.encode()) if "models/" in name else data

    path = rewritten(exported, tmp_path / "net.pt2", change)
    with pytest.raises(HwsimError) as error:
        load_model(path, data=DATA)
    assert "\n" not in str(error.value)


def test_expressions_of_shapes_are_not_evaluated(exported: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    def change(name: str, data: bytes) -> bytes:
        if "models/" not in name:
            return data
        value = json.loads(data)
        value["range_constraints"] = {}
        value["extra"] = {"as_expr": {"expr_str": f"open({str(touched)!r}, 'w')", "hint": None}}
        return json.dumps(value).encode()

    with pytest.raises(InputError, match="not evaluated"):
        pt2.read(rewritten(exported, tmp_path / "net.pt2", change))
    assert not touched.exists()


def test_torch_is_handed_no_part_that_was_not_looked_through(
    exported: Path, tmp_path: Path
) -> None:
    """Parts that torch.export.save never writes: of older formats, outside of the folder, twice."""
    path = tmp_path / "net.pt2"
    for extra in ("version", "serialized_state_dict.pt", "net/data/weights/W_CONFIG.JSON",
                  "net/../x", "other/byteorder", "net/models/other.json"):  # fmt: skip
        rewritten(exported, path, lambda name, data: data)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(extra, b"{}")
        with pytest.raises(InputError, match=r"does not write|in several folders"):
            pt2.read(path)
    rewritten(exported, path, lambda name, data: data)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"{}")
    with pytest.raises(InputError, match="stand twice"):
        pt2.read(path)


def test_a_damaged_exported_program_is_one_line_and_prints_nothing(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = rewritten(exported, tmp_path / "net.pt2", lambda name, data: None
                     if name.endswith("weight_0") else data)  # fmt: skip
    with pytest.raises(InputError, match="cannot load it") as error:
        pt2.read(path)
    assert "\n" not in str(error.value)
    assert caplog.records == []
