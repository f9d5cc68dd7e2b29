"""Small .tflite files, built here through the schema's objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"int8": 9, "int32": 2, "float32": 0, "uint8": 3, "int16": 7}


class Builder:
    """A model of one subgraph; ``tensor`` and ``operator`` give numbers, ``save`` writes it."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs, self.model.operatorCodes = [self.graph], []

    def tensor(
        self, name: str, shape: list[int], kind: str = "int8", scale: Any = None, zero: Any = 0,
        values: Any = None, axis: int = 0,
    ) -> int:  # fmt: skip
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), shape, TYPES[kind]
        if scale is not None:
            about = schema.QuantizationParametersT()
            about.scale = np.atleast_1d(np.asarray(scale, np.float32)).tolist()
            about.zeroPoint = np.atleast_1d(np.asarray(zero, np.int64)).tolist()
            about.quantizedDimension = axis
            tensor.quantization = about
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(values, kind).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], **about: Any) -> None:
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, kind)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        name = about.pop("options", None)
        if name:
            options = getattr(schema, f"{name}T")()
            for key, value in about.items():
                setattr(options, key, value)
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.graph.operators.append(operator)

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def small(path: Path, **about: Any) -> Path:
    """CONV_2D /2 SAME with ReLU6, MAX_POOL_2D, LOGISTIC, RESHAPE, FULLY_CONNECTED: 7x6x2 -> 3.

    about: scale and zero of the input, count of weights, to make files that are wrong; joined, what
    stands behind the names of layers; beta of a SOFTMAX behind it all, of answers of this ``end``.
    """
    random = np.random.default_rng(3)
    build = Builder()
    scale, zero = about.get("scale", 0.05), about.get("zero", -7)
    joined = about.get("joined", "")
    x = build.tensor("x", [1, 7, 6, 2], scale=scale, zero=zero)
    words = random.integers(-127, 128, (4, 3, 3, 2))
    steps = np.array([0.01, 0.02, 0.005, 0.03])
    w = build.tensor("w", [4, 3, 3, 2], scale=steps, zero=[0] * 4, values=words)
    b = build.tensor("b", [4], "int32", values=random.integers(-900, 900, 4))
    y = build.tensor("y" + joined, [1, 4, 3, 4], scale=0.0235, zero=-128)
    build.operator(
        "CONV_2D",
        [x, w, b],
        [y],
        options="Conv2DOptions",
        padding=0,
        strideH=2,
        strideW=2,
        dilationHFactor=1,
        dilationWFactor=1,
        fusedActivationFunction=3,
    )
    p = build.tensor("p", [1, 2, 1, 4], scale=0.0235, zero=-128)
    build.operator(
        "MAX_POOL_2D",
        [y],
        [p],
        options="Pool2DOptions",
        padding=1,
        strideH=2,
        strideW=2,
        filterHeight=2,
        filterWidth=2,
        fusedActivationFunction=0,
    )
    s = build.tensor("s" + joined, [1, 2, 1, 4], scale=1 / 256, zero=-128)
    build.operator("LOGISTIC", [p], [s])
    f = build.tensor("f", [1, 8], scale=1 / 256, zero=-128)
    shape = build.tensor("shape", [2], "int32", values=[1, 8])
    build.operator("RESHAPE", [s, shape], [f], options="ReshapeOptions", newShape=[1, 8])
    v = build.tensor("v", [3, 8], scale=0.02, values=random.integers(-127, 128, (3, 8)))
    c = build.tensor("c", [3], "int32", values=random.integers(-900, 900, 3))
    o = build.tensor("o", [1, 3], scale=0.04, zero=11)
    build.operator(
        "FULLY_CONNECTED",
        [f, v, c],
        [o],
        options="FullyConnectedOptions",
        fusedActivationFunction=0,
    )
    if "beta" in about:
        end = about.get("end", [1, 3])
        q = build.tensor("q", end, scale=1 / 256, zero=-128)
        build.operator("SOFTMAX", [o], [q], options="SoftmaxOptions", beta=about["beta"])
        o = q
    return build.save(path, [x], [o])


def one_weight(path: Path, kind: str) -> Path:
    """y = x / 4, of codes that are worth 1."""
    build = Builder()
    ends = [1] * (2 if kind == "FULLY_CONNECTED" else 4)
    x = build.tensor("x", ends, scale=1.0)
    w = build.tensor("w", ends, scale=0.25, values=np.ones(ends))
    b = build.tensor("b", [1], "int32", scale=0.25, values=[0])
    y = build.tensor("y", ends, scale=1.0)
    if kind == "FULLY_CONNECTED":
        build.operator(kind, [x, w, b], [y], options="FullyConnectedOptions")
    else:
        build.operator(kind, [x, w, b], [y], options="Conv2DOptions", padding=1, strideH=1,
                       strideW=1, dilationHFactor=1, dilationWFactor=1)  # fmt: skip
    return build.save(path, [x], [y])
