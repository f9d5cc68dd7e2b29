"""ONNX files of every dialect: integers are kept, the engine is the runtime but for ties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from hwsim.engine.module import Engine
from hwsim.errors import CompileError, InputError
from hwsim.importer import onnx_runtime
from hwsim.importer.compare import Layer, _note, compare, random_images
from hwsim.importer.data import UserData
from hwsim.importer.graph import ConvNode, LinearNode
from hwsim.importer.load import load_model, read_graph
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_quant import dequantized
from hwsim.importer.onnx_runtime import saturates
from hwsim.numbers.config import load_config
from hwsim.program.layers import AffineLayer, LutLayer, MacLayer
from tests.importer import onnx_files as files

WIDE = load_config("default").replace(mult_w=31)
MAKERS: dict[str, Callable[[Path], Path]] = {
    "ONNX QDQ": files.qdq,
    "ONNX QOperator": files.qoperator,
    "QONNX": files.qonnx,
    "ONNX float": files.floating,
}


@pytest.mark.parametrize("dialect", MAKERS)
def test_the_dialect_is_named(tmp_path: Path, dialect: str) -> None:
    assert read_graph(MAKERS[dialect](tmp_path / "net.onnx")).dialect_name == dialect


def test_rows_of_one_scale_bring_a_zero_point_each() -> None:
    about = OnnxNode("weights", "DequantizeLinear", "", ("w",), ("r",))
    words, steps = np.array([[1, 2], [3, 4]], np.int8), np.full(2, 0.5, np.float32)
    found = dequantized(about, words, steps, np.array([0, 1], np.int8), 0)
    assert found.values.tolist() == [[1, 2], [2, 3]]
    assert found.scales.tolist() == [0.5]
    with pytest.raises(CompileError, match="do not fit"):
        dequantized(about, words, np.full(3, 0.5, np.float32), np.zeros(3, np.int8), 0)


@pytest.mark.parametrize("per_channel", [False, True])
def test_integers_of_the_file_are_the_words_of_the_rom(tmp_path: Path, per_channel: bool) -> None:
    model = load_model(files.qdq(tmp_path / "net.onnx", per_channel=per_channel), WIDE)
    conv, dense = model.program.mac_layers
    layers = files.random_layers()
    assert np.array_equal(conv.virtual_weights, layers["w"].reshape(4, -1))
    assert np.array_equal(dense.virtual_weights, layers["v"])
    assert len(conv.weight_scale) == (4 if per_channel else 1)
    assert model.program.input.zero == 0
    assert (conv.zero, dense.zero) == (3, 120)


def seven_bits(path: Path) -> Path:
    """No pair of products of its weights is beyond 16 bits."""
    return files.qoperator(path, top=64)


@pytest.mark.parametrize("maker", [files.qdq, seven_bits])
def test_the_engine_computes_what_onnx_runtime_computes(
    tmp_path: Path, maker: Callable[[Path], Path]
) -> None:
    path = maker(tmp_path / "net.onnx")
    model = load_model(path, WIDE)
    found = compare(model, path, random_images(model, 100, 0))
    assert [column.name for column in found.columns] == [
        "ONNX Runtime unoptimized", "ONNX Runtime default"
    ]  # fmt: skip
    for column in found.columns:
        assert column.error == ""
        assert column.note == ""
        assert len(column.layers) == 3
        assert column.answers == 1.0
        for layer in column.layers:
            assert layer.equal >= 0.99
            assert layer.lsb <= 1
        # The convolution's sums are exact in float32, so that its rounding is the model's.
        assert "double" in column.layers[0].rounds


def test_a_cpu_that_saturates_sums_of_the_runtime_is_named(tmp_path: Path) -> None:
    path = files.qoperator(tmp_path / "net.onnx")
    model = load_model(path, WIDE)
    found = compare(model, path, random_images(model, 100, 0))
    for column in found.columns:
        conv = column.layers[0]
        assert ("double" in conv.rounds) != saturates()
        assert ("saturating 16 bits" in column.note) == saturates()
        assert ("1 of 3 layers (yq_node)" in column.note) == saturates()


@pytest.mark.parametrize(
    ("operator", "rounds", "runtime", "cpu", "said"),
    [
        ("QLinearConv", (), "ONNX Runtime default", True, True),
        ("QGemm", (), "ONNX Runtime unoptimized", True, True),
        ("QLinearConv", ("double",), "ONNX Runtime default", True, False),
        ("Conv", (), "ONNX Runtime default", True, False),
        ("QLinearConv", (), "QONNX", True, False),
        ("QLinearConv", (), "ONNX Runtime default", False, False),
    ],
)
def test_only_the_cpus_fault_is_called_so(
    operator: str, rounds: tuple[str, ...], runtime: str, cpu: bool, said: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(onnx_runtime, "saturates", lambda: cpu)
    layers = (Layer("a", operator, 0.5, 9, rounds), Layer("b", "Relu", 1.0, 0, ()))
    note = _note(runtime, layers)
    assert ("1 of 2 layers (a)" in note) == bool(note) == said


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas",
                                    "finn.custom_op.general"])  # fmt: skip
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_qonnx_of_all_names_and_bits_keeps_its_integers(
    tmp_path: Path, domain: str, bits: int
) -> None:
    path = files.qonnx(tmp_path / "net.onnx", domain, bits=bits)
    model = load_model(path, WIDE)
    words = model.program.mac_layers[0].virtual_weights
    real = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}["w"]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = np.where(real >= 0, 1, -1) if bits == 1 else np.clip(np.rint(real), low, high)
    assert np.array_equal(words, expected.T)
    assert model.program.input.zero == 128
    found = compare(model, path, random_images(model, 60, 0))
    (column,) = found.columns
    assert column.error == ""
    assert column.layers[0].lsb <= 1
    assert "double" in column.layers[0].rounds


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21, 23])
def test_opsets_of_nine_to_twenty_three_are_read(tmp_path: Path, opset: int) -> None:
    path = files.floating(tmp_path / "net.onnx", opset=opset, among_inputs=opset == 9)
    x = np.random.default_rng(0).random((32, 3, 6, 6)).astype(np.float32)
    model = load_model(path, data=UserData(x))
    assert model.module is not None
    found = compare(model, path, x.astype(np.float64))
    assert [column.answers for column in found.columns] == [1.0, 1.0]
    images = model.images(UserData(x))
    assert torch.equal(
        Engine(model.program)(images).argmax(1), model.module(torch.from_numpy(x)).argmax(1)
    )


def test_external_data_beside_the_file_is_read(tmp_path: Path) -> None:
    path = files.floating(tmp_path / "net.onnx")
    model = onnx.load(path)
    onnx.save(model, tmp_path / "out.onnx", save_as_external_data=True, location="out.data",
              size_threshold=0)  # fmt: skip
    inside, outside = read_graph(path), read_graph(tmp_path / "out.onnx")
    for one, other in zip(inside.nodes, outside.nodes, strict=True):
        if isinstance(one, ConvNode | LinearNode):
            assert isinstance(other, ConvNode | LinearNode)
            assert np.array_equal(one.weights.values, other.weights.values)


def test_qcdq_clips_are_fewer_codes(tmp_path: Path) -> None:
    f = np.float32
    constants = {"s": f(0.1), "z": np.int8(0), "low": np.int8(-8), "high": np.int8(7),
                 "w": np.eye(4, dtype=f), "sw": f(0.5)}  # fmt: skip
    nodes = [
        files.node("QuantizeLinear", ["x", "s", "z"], "q"),
        files.node("Clip", ["q", "low", "high"], "c"),
        files.node("DequantizeLinear", ["c", "s", "z"], "d"),
        files.node("QuantizeLinear", ["w", "sw", "z"], "wq"),
        files.node("Clip", ["wq", "low", "high"], "wc"),
        files.node("DequantizeLinear", ["wc", "sw", "z"], "wd"),
        files.node("MatMul", ["d", "wd"], "out"),
    ]
    path = files.saved(tmp_path / "n.onnx", nodes, constants, [1, 4], "out", outputs=4)
    graph = read_graph(path)
    assert graph.dialect_name == "ONNX QCDQ"
    model = load_model(path, WIDE, bounds=(-1, 1))
    layer = model.program.layers[0]
    assert isinstance(layer, AffineLayer)
    assert (layer.lo, layer.hi, layer.zero) == (0, 15, 8)
    found = compare(model, path, random_images(model, 60, 0))
    assert [column.answers for column in found.columns] == [1.0, 1.0]


def test_functions_of_single_values_are_tables_of_the_files_own_codes(tmp_path: Path) -> None:
    f = np.float32
    constants = {"s": f(1 / 16), "z": np.int8(3), "so": f(1 / 128), "zo": np.int8(-5),
                 "w": np.eye(4, dtype=np.int8), "sw": f(1)}  # fmt: skip
    zero = {"zw": np.int8(0)}
    nodes = [
        files.node("QuantizeLinear", ["x", "s", "z"], "q"),
        files.node("DequantizeLinear", ["q", "s", "z"], "d"),
        files.node("Tanh", ["d"], "t"),
        files.node("QuantizeLinear", ["t", "so", "zo"], "tq"),
        files.node("DequantizeLinear", ["tq", "so", "zo"], "td"),
        files.node("DequantizeLinear", ["w", "sw", "zw"], "wd"),
        files.node("MatMul", ["td", "wd"], "out"),
    ]
    path = files.saved(tmp_path / "n.onnx", nodes, constants | zero, [1, 4], "out", outputs=4)
    model = load_model(path, WIDE)
    table = model.program.layers[0]
    assert isinstance(table, LutLayer)
    codes = np.arange(256) - 128
    expected = np.clip(np.rint(np.tanh((codes - 3) / 16) * 128) - 5, -128, 127)
    assert np.array_equal(table.table, expected + 128)
    found = compare(model, path, random_images(model, 60, 0))
    assert all(layer.equal == 1.0 for column in found.columns for layer in column.layers)


def test_concatenations_of_different_scales_meet_in_one(tmp_path: Path) -> None:
    f = np.float32
    constants = {"s": f(0.01), "z": np.uint8(0), "s2": f(0.02), "so": f(0.03), "zo": np.uint8(7),
                 "v": np.ones((3, 4), np.int8), "sv": f(0.1), "zv": np.int8(0)}  # fmt: skip
    nodes = [
        files.node("QuantizeLinear", ["x", "s", "z"], "q"),
        files.node("DequantizeLinear", ["q", "s", "z"], "d"),
        files.node("Relu", ["d"], "r"),
        files.node("QuantizeLinear", ["r", "s2", "z"], "rq"),
        files.node("DequantizeLinear", ["rq", "s2", "z"], "rd"),
        files.node("Concat", ["d", "rd"], "cat", axis=1),
        files.node("QuantizeLinear", ["cat", "so", "zo"], "cq"),
        files.node("DequantizeLinear", ["cq", "so", "zo"], "cd"),
        files.node("GlobalAveragePool", ["cd"], "pool"),
        files.node("QuantizeLinear", ["pool", "so", "zo"], "pq"),
        files.node("DequantizeLinear", ["pq", "so", "zo"], "pd"),
        files.node("Flatten", ["pd"], "flat"),
        files.node("DequantizeLinear", ["v", "sv", "zv"], "vd"),
        files.node("Gemm", ["flat", "vd"], "out", transB=1),
    ]
    path = files.saved(tmp_path / "n.onnx", nodes, constants, [1, 2, 5, 5], "out")
    model = load_model(path, WIDE)
    found = compare(model, path, random_images(model, 40, 0))
    for column in found.columns:
        assert column.error == ""
        assert all(layer.lsb <= 1 for layer in column.layers)


# --- what cannot run is one line ------------------------------------------------------------------


def refused(path: Path, nodes: list[Any], constants: dict[str, Any], shape: list[int]) -> str:
    files.saved(path, nodes, constants, shape, nodes[-1].output[0])
    with pytest.raises(CompileError) as error:
        load_model(path, bounds=(0, 1), data=UserData(np.zeros((2, *shape[1:]), np.float32)))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([files.node("Sin", ["x"], "out")], ["out_node", "Sin", "replace"]),
        ([files.node("DynamicQuantizeLinear", ["x"], "out")], ["static quantization"]),
        ([files.node("Conv", ["x", "w"], "out", dilations=[2, 2])], ["dilated", "dilation 1"]),
        ([files.node("Transpose", ["x"], "out", perm=[0, 2, 1, 3])], ["NCHW"]),
        ([files.node("Mul", ["x", "x"], "out")], ["multiplies two maps"]),
        ([files.node("Conv", ["x", "x"], "out")], ["constants"]),
        ([files.node("QuantizeLinear", ["x", "zero"], "out")], ["scale", "positive"]),
        ([files.node("AveragePool", ["x"], "out", kernel_shape=[2, 2], pads=[1, 1, 1, 1])],
         ["beyond the map"]),
    ],
)  # fmt: skip
def test_refusals_name_node_operator_and_remedy(
    tmp_path: Path, nodes: list[Any], words: list[str]
) -> None:
    constants = {"w": np.ones((2, 3, 3, 3), np.float32), "zero": np.float32(0)}
    line = refused(tmp_path / "net.onnx", nodes, constants, [1, 3, 6, 6])
    assert nodes[-1].op_type in line
    assert nodes[-1].name in line
    for word in words:
        assert word in line


def test_a_layer_between_quantizers_that_reads_real_numbers_is_named(tmp_path: Path) -> None:
    f = np.float32
    constants = {"s": f(0.1), "z": np.int8(0), "w": np.eye(4, dtype=np.int8)}
    nodes = [
        files.node("QuantizeLinear", ["x", "s", "z"], "q"),
        files.node("DequantizeLinear", ["q", "s", "z"], "d"),
        files.node("DequantizeLinear", ["w", "s", "z"], "wd"),
        files.node("MatMul", ["d", "wd"], "first"),
        files.node("MatMul", ["first", "wd"], "out"),
    ]
    line = refused(tmp_path / "net.onnx", nodes, constants, [1, 4])
    assert line.startswith("out_node: MatMul reads what is not quantized")


def test_an_input_of_real_numbers_needs_a_range(tmp_path: Path) -> None:
    f = np.float32
    constants = {"w": np.eye(4, dtype=f), "one": f(1), "zero": f(0), "bits": f(4)}
    nodes = [
        files.node("Quant", ["w", "one", "zero", "bits"], "wq", files.QONNX, signed=1, narrow=0,
                   rounding_mode="ROUND"),
        files.node("MatMul", ["x", "wq"], "mat"),
        files.node("Quant", ["mat", "one", "zero", "bits"], "out", files.QONNX, signed=1, narrow=0,
                   rounding_mode="ROUND"),
    ]  # fmt: skip
    path = files.saved(tmp_path / "n.onnx", nodes, constants, [1, 4], "out", outputs=4,
                       domains=[files.QONNX])  # fmt: skip
    with pytest.raises(InputError, match="--range"):
        load_model(path)
    model = load_model(path, data=UserData(np.array([[-3.0, 1, 2, 6]])))
    low, high = model.program.input.bounds(255)
    assert (round(float(low)), round(float(high))) == (-3, 6)
    assert "range of the data" in model.notes[0]


def test_floor_is_rounded_as_floor(tmp_path: Path) -> None:
    path = files.qonnx(tmp_path / "net.onnx", bits=4, rounding_mode="FLOOR")
    model = load_model(path, WIDE)
    (column,) = compare(model, path, random_images(model, 60, 0)).columns
    assert column.layers[0].equal > 0.99
    with pytest.raises(CompileError, match="rounds by ceil"):
        load_model(files.qonnx(tmp_path / "up.onnx", bits=4, rounding_mode="CEIL"), WIDE)


@pytest.mark.parametrize("between", ["QuantizeLinear", "Flatten", "nothing"])
def test_a_softmax_is_dropped_at_the_end_only(tmp_path: Path, between: str) -> None:
    f = np.float32
    constants = {
        "w": np.eye(3, dtype=np.int8), "sx": f(1 / 255), "zx": np.uint8(0), "sw": f(1),
        "zw": np.int8(0), "so": f(0.05), "zo": np.uint8(120),
    }  # fmt: skip
    layer = [
        files.node("QuantizeLinear", ["x", "sx", "zx"], "xq"),
        files.node("DequantizeLinear", ["xq", "sx", "zx"], "xd"),
        files.node("DequantizeLinear", ["w", "sw", "zw"], "wd"),
        files.node("Gemm", ["xd", "wd"], "gemm"),
        files.node("QuantizeLinear", ["gemm", "so", "zo"], "gq"),
        files.node("DequantizeLinear", ["gq", "so", "zo"], "gd"),
        files.node("Softmax", ["gd"], "softmax", axis=1),
    ]
    behind = {
        "QuantizeLinear": [
            files.node("QuantizeLinear", ["softmax", "sx", "zx"], "sq"),
            files.node("DequantizeLinear", ["sq", "sx", "zx"], "out"),
        ],
        "Flatten": [files.node("Flatten", ["softmax"], "out")],
        "nothing": [files.node("Identity", ["softmax"], "out")],
    }[between]
    whole = files.saved(tmp_path / "net.onnx", [*layer, *behind], constants, [1, 3], "out")
    (note,) = load_model(whole).notes
    assert note == "softmax_node: Softmax at the end is dropped: no answer changes"
    more = [
        *behind,
        files.node("Gemm", ["out", "wd"], "more"),
        files.node("QuantizeLinear", ["more", "so", "zo"], "mq"),
        files.node("DequantizeLinear", ["mq", "so", "zo"], "answers"),
    ]
    within = files.saved(tmp_path / "in.onnx", [*layer, *more], constants, [1, 3], "answers")
    with pytest.raises(CompileError, match=r"^softmax_node: Softmax stands within the network: "):
        load_model(within)


def padded_convolution(path: Path, between: list[Any]) -> Path:
    """Pad, ``between`` from p to a, a convolution of no padding, a global average."""
    f = np.float32
    constants = {
        "w": np.arange(-9, 9).reshape(2, 1, 3, 3).astype(np.int8), "sx": f(1 / 255),
        "zx": np.uint8(0), "sw": f(0.1), "zw": np.int8(0), "so": f(0.05), "zo": np.uint8(120),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    }  # fmt: skip
    nodes = [
        files.node("QuantizeLinear", ["x", "sx", "zx"], "xq"),
        files.node("DequantizeLinear", ["xq", "sx", "zx"], "xd"),
        files.node("Pad", ["xd", "pads"], "p"),
        *between,
        files.node("DequantizeLinear", ["w", "sw", "zw"], "wd"),
        files.node("Conv", ["a", "wd"], "conv"),
        files.node("QuantizeLinear", ["conv", "so", "zo"], "cq"),
        files.node("DequantizeLinear", ["cq", "so", "zo"], "cd"),
        files.node("GlobalAveragePool", ["cd"], "pool"),
        files.node("Flatten", ["pool"], "flat"),
        files.node("QuantizeLinear", ["flat", "so", "zo"], "oq"),
        files.node("DequantizeLinear", ["oq", "so", "zo"], "out"),
    ]
    return files.saved(path, nodes, constants, [1, 1, 5, 5], "out", outputs=2)


def test_quantizers_between_a_pad_and_its_convolution_keep_the_padding(tmp_path: Path) -> None:
    quantizers = [
        files.node("QuantizeLinear", ["p", "sx", "zx"], "pq"),
        files.node("DequantizeLinear", ["pq", "sx", "zx"], "a"),
    ]
    two = load_model(padded_convolution(tmp_path / "two.onnx", quantizers), WIDE)
    one = load_model(
        padded_convolution(tmp_path / "one.onnx", [files.node("Identity", ["p"], "a")]), WIDE
    )
    assert two.program.mac_layers[0].window == one.program.mac_layers[0].window
    assert one.program.mac_layers[0].window.padding == (1, 1, 1, 1)
    images = torch.rand(16, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert one.module is not None
    assert (Engine(one.program)(images) - one.module(images)).abs().max() <= 0.051


@pytest.mark.parametrize("between", ["Relu", "Concat"])
def test_only_convolutions_read_padded_maps(tmp_path: Path, between: str) -> None:
    node = files.node(between, ["p"], "a", **({"axis": 1} if between == "Concat" else {}))
    with pytest.raises(CompileError, match=f"^a_node: {between} reads a padded map: pad conv"):
        load_model(padded_convolution(tmp_path / "net.onnx", [node]))


def test_integer_inputs_are_codes(tmp_path: Path) -> None:
    model = load_model(files.qoperator(tmp_path / "net.onnx"), WIDE)
    codes = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 6)).astype(np.uint8)
    as_codes = model.images(UserData(codes))
    as_reals = model.images(UserData(codes.astype(np.float32) / 255))
    assert torch.allclose(as_codes, as_reals, atol=1e-6)
    assert model.graph is not None
    assert model.graph.input.codes is not None
    assert isinstance(model.program.layers[0], MacLayer)
    assert (
        onnx.load(tmp_path / "net.onnx").graph.input[0].type.tensor_type.elem_type
        == TensorProto.UINT8
    )


def test_a_trained_float_network_gives_its_test_vector() -> None:
    """mnist-conv of QONNX's wheel takes 0 … 255, which only its test vector's logits tell."""
    qonnx = pytest.importorskip("qonnx")
    folder = Path(qonnx.__file__).parent / "data/onnx/mnist-conv"
    x, y = (
        onnx.numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))
        for path in (folder / "test_data_set_0/input_0.pb", folder / "test_data_set_0/output_0.pb")
    )
    model = load_model(folder / "model.onnx", data=UserData(x))
    assert model.module is not None
    assert torch.allclose(model.module(torch.tensor(x)), torch.tensor(y), rtol=1e-4)
    found = Engine(model.program)(model.images(UserData(x)))
    assert int(found.argmax()) == int(y.argmax())
    assert float((found - torch.tensor(y)).abs().max()) < 0.01 * float(np.abs(y).max())


def test_zero_points_stay_by_channel_where_all_scales_are_one(tmp_path: Path) -> None:
    """As in files that hwsim exports, whose channels may share a scale."""
    from hwsim.importer.onnx_file import OnnxNode
    from hwsim.importer.onnx_quant import dequantized

    node = OnnxNode("d", "DequantizeLinear", "", ("w", "s", "z"), ("y",))
    words = np.array([[1, 2], [3, 4], [5, 6]], np.int8)
    found = dequantized(node, words, np.full(3, 0.5, np.float32), np.array([1, 0, -1], np.int8), 0)
    assert found.values.tolist() == [[0, 1], [3, 4], [6, 7]]
    assert found.scales.tolist() == [0.5]
