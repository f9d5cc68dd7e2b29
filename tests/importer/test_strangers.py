"""Files come from strangers: each of these is refused in one line, and nothing of it is done.

Inputs here are harmless: sizes are declared and not there, places are named and not touched.
"""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from hwsim.errors import HwsimError, InputError
from hwsim.importer import pt2
from hwsim.importer.data import UserData, read_data
from hwsim.importer.load import load_model, read_graph
from tests.importer import onnx_files, tflite_files

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


# --- ONNX -----------------------------------------------------------------------------------------


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


# --- TFLite ---------------------------------------------------------------------------------------


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


# --- .pt2 -----------------------------------------------------------------------------------------


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


class Touches:
    """Would leave a file behind, if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


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


# --- .npz and .py ---------------------------------------------------------------------------------


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
