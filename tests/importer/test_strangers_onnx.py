"""ONNX files of strangers: refused in one line, and nothing of it is done.

Inputs here are harmless: sizes are declared and not there, places are named and not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwsim.importer.load import load_model
from tests.importer import onnx_files
from tests.importer.strangers import DATA, line_of


def external(path: Path, **entries: str) -> Path:
    """A file whose weights are kept elsewhere."""
    model = onnx.load(onnx_files.floating(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "C:\\weights.bin", "..\\w.bin", ""],
)
def test_external_data_stays_beside_the_file(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(432))
    assert "not read" in line_of(external(folder / "net.onnx", location=location))


def test_external_data_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(432))
    (folder / "weights.bin").symlink_to(tmp_path / "secret")
    assert "leads out" in line_of(external(folder / "net.onnx", location="weights.bin"))


@pytest.mark.parametrize(
    "entries",
    [{"offset": "-1"}, {"offset": "1"}, {"length": "-5"}, {"length": "9999999999"},
     {"offset": "x"}, {"offset": "99999999999999999999"}, {}, {"offset": "4"}],
)  # fmt: skip
def test_external_data_has_its_place_in_the_file(tmp_path: Path, entries: dict[str, str]) -> None:
    """Without a length it is all that stands behind the offset, here some bytes too many."""
    (tmp_path / "weights.bin").write_bytes(bytes(432 if entries.keys() - {"offset"} else 440))
    line_of(external(tmp_path / "net.onnx", location="weights.bin", **entries))


def test_external_places_are_text(tmp_path: Path) -> None:
    path = external(tmp_path / "net.onnx", location="weights.bin")
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"weights\xff.bin"[:11]))
    assert "no text" in line_of(path)


def test_external_parts_do_not_overlap(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(1000))
    model = onnx.load(onnx_files.floating(tmp_path / "net.onnx"))
    for tensor, offset in zip(model.graph.initializer, (0, 400, 500, 900), strict=True):
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "overlaps" in line_of(tmp_path / "net.onnx")


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(onnx_files.floating(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def huge(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 16, 1 << 15, 1, 1]


def negative(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [-4, 3, 3, 3]


def cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "pool"


def twice(model: Any) -> None:
    model.graph.node[1].output[0] = "conv"


def nobody(model: Any) -> None:
    model.graph.node[1].input[0] = "nowhere"


def not_a_number(model: Any) -> None:
    values = np.full((4, 3, 3, 3), np.nan, np.float32)
    model.graph.initializer[0].raw_data = values.tobytes()


def made_of_shapes(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 << 31]), "many"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["many"], ["ones"]))


def broadcast(model: Any) -> None:
    for name, shape in (("tall", (1 << 15, 1)), ("wide", (1, 1 << 15))):
        values = onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
        model.graph.initializer.append(values)
    model.graph.node.insert(0, helper.make_node("Add", ["tall", "wide"], ["plane"]))


def gathered(model: Any) -> None:
    many = onnx.numpy_helper.from_array(np.zeros(1 << 16, np.int64), "many")
    model.graph.initializer.extend([many])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 1 << 16), "f"), "row"))
    model.graph.node.insert(0, helper.make_node("Gather", ["row", "many"], ["plane"]))


def big_map(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 31


def strange(model: Any) -> None:
    model.graph.node[0].domain = "com.somebody"


def branch(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(
        helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    )


@pytest.mark.parametrize(
    "change",
    [huge, negative, cycle, twice, nobody, not_a_number, made_of_shapes, broadcast, gathered,
     big_map, strange, branch],
)  # fmt: skip
def test_onnx_files_that_are_wrong_are_refused(tmp_path: Path, change: Callable[..., None]) -> None:
    line_of(changed(tmp_path / "net.onnx", change))


def test_weights_of_eight_bit_floats_are_not_taken_for_integers(tmp_path: Path) -> None:
    """DequantizeLinear may have them; their fractions were cut off, and nothing said so."""
    model = onnx.load(onnx_files.qdq(tmp_path / "net.onnx"))
    words = [one for one in model.graph.initializer if one.data_type == TensorProto.INT8]
    most = max(words, key=lambda one: len(one.raw_data))
    most.data_type = TensorProto.FLOAT8E4M3FN
    most.raw_data = bytes(byte & 0x3F for byte in most.raw_data)  # no NaN
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "no integers" in line_of(tmp_path / "net.onnx")


def edited(path: Path, operator: str, **about: Any) -> Path:
    """With other attributes of the first node of this operator."""
    model = onnx.load(path)
    found = next(one for one in model.graph.node if one.op_type == operator)
    kept = [one for one in found.attribute if one.name not in about]
    del found.attribute[:]
    found.attribute.extend([*kept, *(helper.make_attribute(*pair) for pair in about.items())])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("operator", "axis"),
    [("Softmax", 2), ("Softmax", -3), ("Softmax", 32768), ("Flatten", 5), ("Flatten", -5)],
)
def test_axes_that_do_not_exist_are_refused(tmp_path: Path, operator: str, axis: int) -> None:
    path = onnx_files.floating(tmp_path / "net.onnx")
    assert f"axis {axis}" in line_of(edited(path, operator, axis=axis))


@pytest.mark.parametrize("axis", [4, -5, 32768])
def test_scales_run_along_an_axis_of_their_weights(tmp_path: Path, axis: int) -> None:
    """It was counted around, so that 32768 was axis 0."""
    path = onnx_files.qdq(tmp_path / "net.onnx", per_channel=True)
    model = onnx.load(path)
    found = next(one for one in model.graph.node if one.input[0] == "w")
    found.attribute[0].i = axis
    path.write_bytes(model.SerializeToString())
    assert f"axis {axis} of 4" in line_of(path)


def test_a_zero_point_stands_beside_each_scale(tmp_path: Path) -> None:
    """One scale and several zero points are nothing that DequantizeLinear has."""
    path = onnx_files.qdq(tmp_path / "net.onnx")
    model = onnx.load(path)
    (zero,) = (one for one in model.graph.initializer if one.name == "zv")
    zero.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, -23, 0], np.int8), "zv"))
    path.write_bytes(model.SerializeToString())
    assert "1 scales and 4 zero points" in line_of(path)


@pytest.mark.parametrize(("opset", "axis"), [(11, 0), (13, 0), (11, -2), (13, -2)])
def test_a_softmax_over_images_is_not_dropped(tmp_path: Path, opset: int, axis: int) -> None:
    """Each image would have the answers 1, 1, 1."""
    path = edited(onnx_files.floating(tmp_path / "net.onnx", opset=opset), "Softmax", axis=axis)
    assert "Softmax works along axis 0" in line_of(path)


@pytest.mark.parametrize("axis", [1, -1])
def test_a_softmax_over_the_classes_is(tmp_path: Path, axis: int) -> None:
    path = edited(onnx_files.floating(tmp_path / "net.onnx"), "Softmax", axis=axis)
    assert load_model(path, data=DATA).program.classes == 3


def test_a_flatten_may_count_from_the_end(tmp_path: Path) -> None:
    path = edited(onnx_files.floating(tmp_path / "net.onnx"), "Flatten", axis=-3)
    assert load_model(path, data=DATA).program.classes == 3


def test_padding_makes_no_map_that_memory_cannot_hold(tmp_path: Path) -> None:
    """Behind it an average of all its pixels, which is a matrix of ones here."""
    path = onnx_files.qoperator(tmp_path / "net.onnx")
    model = onnx.load(path)
    conv = next(one for one in model.graph.node if one.op_type == "QLinearConv")
    kept = [one for one in conv.attribute if one.name != "pads"]
    del conv.attribute[:]
    conv.attribute.extend([*kept, helper.make_attribute("pads", [1, 1, 1 << 20, 1 << 22])])
    path.write_bytes(model.SerializeToString())
    line_of(path)


def test_biases_beyond_sixty_four_bits_are_refused(tmp_path: Path) -> None:
    path = onnx_files.qdq(tmp_path / "net.onnx")
    model = onnx.load(path)
    held = {one.name: one for one in model.graph.initializer}
    for name, scale in (("sv", 1e-30), ("sc", 1e-2)):
        held[name].CopyFrom(onnx.numpy_helper.from_array(np.array(scale, np.float32), name))
    path.write_bytes(model.SerializeToString())
    line_of(path)


def test_what_an_attribute_says_stays_in_the_line(tmp_path: Path) -> None:
    model = onnx.load(onnx_files.qonnx(tmp_path / "net.onnx", bits=4))
    quantizer = next(one for one in model.graph.node if one.op_type == "Quant")
    del quantizer.attribute[:]
    quantizer.attribute.append(helper.make_attribute("rounding_mode", "UP\nnote: \x1b[2Jall well"))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "rounds by" in line_of(tmp_path / "net.onnx")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"TFL3", b"\xff" * 1000, b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".pt2"])
def test_files_of_nothing_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    line_of(path)


def test_a_model_that_only_says_to_be_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    assert "more than" in line_of(path)


def test_pipes_and_folders_are_no_models(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "folder.tflite").mkdir()
    line_of(tmp_path / "pipe.onnx")
    line_of(tmp_path / "folder.tflite")
