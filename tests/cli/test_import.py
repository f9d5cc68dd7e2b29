"""hwsim import: what it prints, writes and refuses. Files are built here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.importer


def test_a_quantized_file_is_understood_compared_and_written(run: Run, tmp_path: Path) -> None:
    from tests.importer import onnx_files

    path = onnx_files.qdq(tmp_path / "net.onnx")
    image, told = tmp_path / "net.hne", tmp_path / "net.json"
    code, out, _ = run("import", path, "-o", image, "--images", 20, "--json", told)
    assert code == 0
    assert out.startswith("ONNX QDQ, ai.onnx 13: 3x6x6 -> 3, for default")
    assert "conv 3x3/2" in out
    assert "ONNX Runtime unoptimized: 100% of 20 answers are the engine's" in out
    found = json.loads(told.read_text())
    assert found["dialect"] == "ONNX QDQ"
    runtimes = found["comparison"]["runtimes"]
    assert [one["name"] for one in runtimes] == ["ONNX Runtime unoptimized", "ONNX Runtime default"]
    assert all(len(one["layers"]) == 3 for one in runtimes)
    code, out, _ = run("rom", "verify", image)
    assert code == 0
    assert "already exists" in run("import", path, "-o", image).line


def test_the_page_draws_the_graph_and_every_runtime_and_loads_nothing(
    run: Run, tmp_path: Path
) -> None:
    from tests.importer import onnx_files

    path, page = onnx_files.qdq(tmp_path / "net.onnx"), tmp_path / "pages" / "net.html"
    told = tmp_path / "net.json"
    code, _, _ = run("import", path, "--images", 20, "--html", page, "--json", told)
    assert code == 0
    text, found = page.read_text(), json.loads(told.read_text())
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=.http", text)
    assert text.count('<div class="bar">') == 2 * 3  # runtimes, layers
    assert text.count("<circle") == len(found["graph"]) == 5
    assert [node["inputs"] for node in found["graph"]] == [[], [0], [1], [2], [3]]
    assert "answers as ONNX Runtime unoptimized on 100.0%" in text
    assert f"--html {page}" in text
    folder = tmp_path / "folder"
    folder.mkdir()
    assert str(folder) in run("import", path, "--html", folder).line


def test_the_page_of_a_float_file_has_its_graph_and_no_bars(run: Run, tmp_path: Path) -> None:
    from tests.importer import onnx_files

    path, page, data = onnx_files.floating(tmp_path / "n.onnx"), tmp_path / "n.html", tmp_path / "d"
    np.savez(data, x=np.random.default_rng(0).random((30, 3, 6, 6)).astype(np.float32))
    code, _, _ = run("import", path, "--data", f"{data}.npz", "--html", page)
    assert code == 0
    text = page.read_text()
    assert text.count("<circle") == 4  # input, conv, pool, fc
    assert '<div class="bar">' not in text


def test_float_files_are_calibrated_on_data(run: Run, tmp_path: Path) -> None:
    from tests.importer import onnx_files

    path = onnx_files.floating(tmp_path / "net.onnx")
    assert "--data x.npz" in run("import", path).line
    data = tmp_path / "d.npz"
    np.savez(data, x=np.random.default_rng(0).random((30, 3, 6, 6)).astype(np.float32))
    code, out, _ = run("import", path, "--data", data)
    assert code == 0
    assert "of 30 answers are the engine's" in out
    np.savez(data, x=np.zeros((4, 3, 5, 5)))
    assert "the network takes (N, 3, 6, 6)" in run("import", path, "--data", data).line


def test_a_range_is_two_numbers(run: Run, tmp_path: Path) -> None:
    assert "no pair of numbers" in run("import", "net.onnx", "--range", "1").line
    assert "must be below" in run("import", "net.onnx", "--range", "2,1").line


@pytest.mark.parametrize("name", ["nowhere.onnx", "nowhere.tflite", "nowhere.pt2", "net.h5"])
def test_what_is_not_there_or_not_read_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    assert name in run("import", tmp_path / name).line
