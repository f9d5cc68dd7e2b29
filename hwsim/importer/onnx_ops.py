"""ONNX's operators by name, of every dialect: who reads which."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.importer import onnx_arithmetic as arithmetic
from hwsim.importer import onnx_integer as integer
from hwsim.importer import onnx_layers as layers
from hwsim.importer import onnx_moves as moves
from hwsim.importer import onnx_windows as windows
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_values import OnnxValues

OPERATORS: dict[str, Callable[[OnnxValues, OnnxNode], None]] = {
    "Conv": layers.conv, "MatMul": layers.matmul, "Gemm": layers.gemm,
    "BatchNormalization": layers.norm,
    "Relu": arithmetic.relu, "Clip": arithmetic.clip, "Gelu": arithmetic.gelu,
    "PRelu": arithmetic.prelu, "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool, "GlobalAveragePool": windows.global_pool,
    "GlobalMaxPool": windows.global_pool, "ReduceMean": windows.reduce_mean,
    "Transpose": moves.transpose, "Concat": moves.concat, "Slice": moves.channel_slice,
    "Split": moves.split, "Pad": moves.pad, "Softmax": moves.softmax,
    "LogSoftmax": moves.softmax,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic.arithmetic),
    **dict.fromkeys(arithmetic.POINTWISE, arithmetic.pointwise),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), moves.reshape),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), moves.same),
    **integer.OPERATORS,
}  # fmt: skip
