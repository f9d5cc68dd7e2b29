"""Small .onnx files, built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


def node(kind: str, inputs: Sequence[str], output: str, domain: str = "", **about: Any) -> Any:
    """A node named after its output."""
    return helper.make_node(
        kind, list(inputs), [output], name=f"{output}_node", domain=domain, **about
    )


def saved(
    path: Path,
    nodes: Sequence[Any],
    constants: Mapping[str, Any],
    shape: Sequence[int | str],
    output: str,
    *,
    opset: int = 13,
    dtype: int = TensorProto.FLOAT,
    domains: Sequence[str] = (),
    among_inputs: bool = False,
    outputs: int = 3,
) -> Path:
    """A file with one input x of this shape and one output."""
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    inputs = [helper.make_tensor_value_info("x", dtype, list(shape))]
    if among_inputs:
        inputs += [helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in initializers]
    graph = helper.make_graph(
        list(nodes),
        "net",
        inputs,
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], outputs])],
        initializers,
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def random_layers(seed: int = 0, top: int = 127) -> dict[str, np.ndarray]:
    """int8 weights up to top and int32 biases of a convolution 3 -> 4 and a layer 4 -> 3."""
    random = np.random.default_rng(seed)
    return {
        "w": random.integers(-top, top + 1, (4, 3, 3, 3), np.int8),
        "b": random.integers(-2000, 2000, 4, np.int32),
        "v": random.integers(-top, top + 1, (3, 4), np.int8),
        "c": random.integers(-500, 500, 3, np.int32),
    }


def qdq(path: Path, *, per_channel: bool = False, opset: int = 13) -> Path:
    """Conv, ReLU, global average, Gemm between Q and DQ, 3x6x6 -> 3."""
    f = np.float32
    steps = np.array([0.01, 0.02, 0.005, 0.015], f) if per_channel else f(0.01)
    zeros = np.zeros(4, np.int8) if per_channel else np.int8(0)
    layers = random_layers()
    constants = {
        **layers, "sx": f(1 / 255), "zx": np.uint8(0), "sw": steps, "zw": zeros,
        "sb": steps * f(1 / 255), "zb": zeros.astype(np.int32), "sy": f(0.03), "zy": np.uint8(3),
        "sp": f(0.021), "zp": np.uint8(1), "sv": f(0.02), "zv": np.int8(0), "sc": f(4e-4),
        "zc": np.int32(0), "so": f(0.05), "zo": np.uint8(120),
    }  # fmt: skip
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], "xq"),
        node("DequantizeLinear", ["xq", "sx", "zx"], "xd"),
        node("DequantizeLinear", ["w", "sw", "zw"], "wd", **axis),
        node("DequantizeLinear", ["b", "sb", "zb"], "bd", **axis),
        node("Conv", ["xd", "wd", "bd"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["conv"], "relu"),
        node("QuantizeLinear", ["relu", "sy", "zy"], "yq"),
        node("DequantizeLinear", ["yq", "sy", "zy"], "yd"),
        node("GlobalAveragePool", ["yd"], "pool"),
        node("QuantizeLinear", ["pool", "sp", "zp"], "pq"),
        node("DequantizeLinear", ["pq", "sp", "zp"], "pd"),
        node("Flatten", ["pd"], "flat"),
        node("DequantizeLinear", ["v", "sv", "zv"], "vd"),
        node("DequantizeLinear", ["c", "sc", "zc"], "cd"),
        node("Gemm", ["flat", "vd", "cd"], "gemm", transB=1),
        node("QuantizeLinear", ["gemm", "so", "zo"], "oq"),
        node("DequantizeLinear", ["oq", "so", "zo"], "out"),
    ]
    return saved(path, nodes, constants, [1, 3, 6, 6], "out", opset=opset)


def qoperator(path: Path, top: int = 127) -> Path:
    """The same network of QLinear operators, integers in and out; its weights go up to ``top``."""
    f = np.float32
    constants = {
        **random_layers(top=top), "sx": f(1 / 255), "zx": np.uint8(0), "sw": f(0.01),
        "zw": np.int8(0), "sy": f(0.03), "zy": np.uint8(3), "sp": f(0.021), "zp": np.uint8(1),
        "sv": f(0.02), "zv": np.int8(0), "so": f(0.05), "zo": np.uint8(120),
        "shape": np.array([1, 4], np.int64),
    }  # fmt: skip
    nodes = [
        node("QLinearConv", ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"], "yq",
             pads=[1, 1, 1, 1], strides=[2, 2]),
        node("QLinearGlobalAveragePool", ["yq", "sy", "zy", "sp", "zp"], "pq", "com.microsoft"),
        node("Reshape", ["pq", "shape"], "flat"),
        node("QGemm", ["flat", "sp", "zp", "v", "sv", "zv", "c", "so", "zo"], "oq",
             "com.microsoft", transB=1),
        node("DequantizeLinear", ["oq", "so", "zo"], "out"),
    ]  # fmt: skip
    return saved(path, nodes, constants, [1, 3, 6, 6], "out", dtype=TensorProto.UINT8,
                 domains=["com.microsoft"])  # fmt: skip


def floating(path: Path, **about: Any) -> Path:
    """Conv, ReLU, max-pool, Gemm in float32, 3x6x6 -> 3."""
    random = np.random.default_rng(1)
    constants = {
        "w": random.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "b": random.normal(0, 0.1, 4).astype(np.float32),
        "v": random.normal(0, 0.3, (3, 36)).astype(np.float32),
        "c": np.zeros(3, np.float32),
    }
    nodes = [
        node("Conv", ["x", "w", "b"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["conv"], "relu"),
        node("MaxPool", ["relu"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pool"], "flat"),
        node("Gemm", ["flat", "v", "c"], "gemm", transB=1),
        node("Softmax", ["gemm"], "out", axis=1),
    ]
    return saved(path, nodes, constants, ["N", 3, 6, 6], "out", **about)


def qonnx(
    path: Path, domain: str = QONNX, *, bits: float = 2, signed: int = 1, **about: Any
) -> Path:
    """Quant, MatMul, ReLU, Quant, MatMul: 6 -> 3, weights of few bits, 8-bit input."""
    random = np.random.default_rng(2)
    f = np.float32
    constants = {
        "w": random.normal(0, 1, (6, 5)).astype(f), "v": random.normal(0, 1, (5, 3)).astype(f),
        "one": f(1.0), "eighth": f(0.125), "zero": f(0), "bits": f(bits), "four": f(4),
        "eight": f(8), "sx": f(1 / 128),
    }  # fmt: skip
    quant = dict(domain=domain, signed=signed, narrow=0, rounding_mode="ROUND") | about
    nodes = [
        node("Quant", ["x", "sx", "zero", "eight"], "xq", **(quant | dict(signed=1, narrow=0))),
        node("Quant", ["w", "one", "zero", "bits"], "wq", **quant),
        node("MatMul", ["xq", "wq"], "mat"),
        node("Relu", ["mat"], "relu"),
        node("Quant", ["relu", "eighth", "zero", "four"], "yq", **(quant | dict(signed=0))),
        node("Quant", ["v", "one", "zero", "bits"], "vq", **quant),
        node("MatMul", ["yq", "vq"], "out"),
    ]
    return saved(path, nodes, constants, [1, 6], "out", domains=[domain], among_inputs=True)
