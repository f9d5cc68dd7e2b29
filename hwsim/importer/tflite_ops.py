"""TFLite's operators by name: who reads which."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.importer import tflite_arithmetic as arithmetic
from hwsim.importer import tflite_layers as layers
from hwsim.importer import tflite_moves as moves
from hwsim.importer import tflite_windows as windows
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues

OPERATORS: dict[str, Callable[[TfliteValues, Operator, Tensor], None]] = {
    "CONV_2D": layers.conv,
    "DEPTHWISE_CONV_2D": layers.depthwise,
    "FULLY_CONNECTED": layers.linear,
    "AVERAGE_POOL_2D": windows.pool,
    "MAX_POOL_2D": windows.pool,
    "MEAN": windows.mean,
    "CONCATENATION": moves.concat,
    "PAD": moves.pad,
    **dict.fromkeys(("ADD", "SUB"), arithmetic.add),
    **dict.fromkeys(arithmetic.CLAMPS, arithmetic.clamp),
    **dict.fromkeys(arithmetic.POINTWISE, arithmetic.pointwise),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), arithmetic.quantize),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), moves.reshape),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), moves.softmax),
}
