"""TFLite files of strangers: refused in one line, and nothing of it is done.

Inputs here are harmless: sizes are declared and not there, places are named and not touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.importer.load import load_model, read_graph
from tests.importer import tflite_files
from tests.importer.strangers import line_of


@pytest.mark.parametrize(
    "about",
    [{"scale": float("nan")}, {"scale": 0.0}, {"scale": -1.0}, {"scale": float("inf")},
     {"zero": 128}, {"zero": -129}, {"zero": 1 << 40}],
)  # fmt: skip
def test_tflite_scales_and_zero_points_are_checked(tmp_path: Path, about: dict[str, Any]) -> None:
    line = line_of(tflite_files.small(tmp_path / "net.tflite", **about))
    assert ("scale" if "scale" in about else "zero point") in line


def test_tflite_shapes_are_checked_before_they_are_believed(tmp_path: Path) -> None:
    for shape in ([1, 1 << 15, 1 << 15, 2], [1, -7, 6, 2]):
        build = tflite_files.Builder()
        x = build.tensor("x", shape, scale=0.1)
        y = build.tensor("y", shape, scale=0.1)
        build.operator("LOGISTIC", [x], [y])
        line_of(build.save(tmp_path / "net.tflite", [x], [y]))


@pytest.mark.parametrize(
    ("beta", "end"),
    [(-1.0, [1, 3]), (0.0, [1, 3]), (float("nan"), [1, 3]), (float("inf"), [1, 3]),
     (1.0, [1, 3, 1])],
)  # fmt: skip
def test_a_tflite_softmax_that_changes_the_answer_is_not_dropped(
    tmp_path: Path, beta: float, end: list[int]
) -> None:
    assert "SOFTMAX" in line_of(tflite_files.small(tmp_path / "n.tflite", beta=beta, end=end))


def test_a_tflite_softmax_of_the_classes_is(tmp_path: Path) -> None:
    assert load_model(tflite_files.small(tmp_path / "n.tflite", beta=1.0)).program.classes == 3


def test_tflite_cycles_are_refused(tmp_path: Path) -> None:
    build = tflite_files.Builder()
    x, y, z = (build.tensor(name, [1, 4], scale=0.1) for name in "xyz")
    build.operator("ADD", [x, z], [y], options="AddOptions")
    build.operator("LOGISTIC", [y], [z])
    assert "cycle" in line_of(build.save(tmp_path / "net.tflite", [x], [z]))


def test_tflite_tensors_have_the_bytes_that_they_declare(tmp_path: Path) -> None:
    build = tflite_files.Builder()
    x = build.tensor("x", [1, 4], scale=0.1)
    w = build.tensor("w", [64, 64], scale=0.1, values=np.zeros(16))
    y = build.tensor("y", [1, 64], scale=0.1)
    build.operator("FULLY_CONNECTED", [x, w, -1], [y], options="FullyConnectedOptions")
    assert "bytes" in line_of(build.save(tmp_path / "net.tflite", [x], [y]))


def test_every_cut_of_a_tflite_file_is_refused_or_is_a_network(tmp_path: Path) -> None:
    whole = tflite_files.small(tmp_path / "net.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(HwsimError):
            read_graph(path)
