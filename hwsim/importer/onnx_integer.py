"""ONNX's operators on integers: Q and DQ, QLinear operators, and QONNX's quantizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwsim.importer import onnx_layers, onnx_moves, onnx_windows
from hwsim.importer.codes import Codes
from hwsim.importer.graph import (
    AddNode,
    AverageNode,
    Bias,
    PointwiseNode,
    QuantizeNode,
    ReshapeNode,
    SoftmaxNode,
)
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_quant import (
    dequantized,
    is_bipolar,
    linear_codes,
    quant_codes,
    quant_constant,
    rounding_of,
)
from hwsim.importer.onnx_values import OnnxValues
from hwsim.program.layers import Window


def quantize_linear(reader: OnnxValues, node: OnnxNode) -> None:
    """QuantizeLinear of a value."""
    codes = codes_of(reader, node, 1, 2)
    source = reader.source(node)
    target = node.outputs[0]
    reader.add(
        QuantizeNode(
            node.name,
            node.operator,
            (source,),
            target,
            reader.shapes[source],
            codes,
            "even",
            target,
        )
    )
    reader.codes[target] = codes


def dequantize_linear(reader: OnnxValues, node: OnnxNode) -> None:
    """DequantizeLinear of a constant or of a value."""
    name = node.get(0)
    if name in reader.constants:
        scale = reader.need(node, 1)
        zero = reader.need(node, 2) if node.get(2) else None
        if zero is not None and zero.size != scale.size:
            raise refuse(
                node.name, node.operator,
                f"has {scale.size} scales and {zero.size} zero points", "quantize again",
            )  # fmt: skip
        axis = node.attributes.get("axis", 1)
        reader.quantized[node.outputs[0]] = dequantized(
            node, reader.constants[name], scale, zero, axis
        )
        return
    reader.meant(node, reader.value(node), codes_of(reader, node, 1, 2, name))
    reader.add(ReshapeNode(node.name, node.operator, (name,), node.outputs[0], reader.shapes[name]))


def quant(reader: OnnxValues, node: OnnxNode) -> None:
    """QONNX's Quant and BipolarQuant, of constants and values."""
    given = reader.given(node)
    target = node.outputs[0]
    if given[0] is not None:
        reader.quantized[target] = quant_constant(node, given[0], given)
        return
    source = reader.source(node)
    rounding = "even" if node.operator == "BipolarQuant" else rounding_of(node)
    reader.add(
        QuantizeNode(
            node.name,
            node.operator,
            (source,),
            target,
            reader.shapes[source],
            quant_codes(node, given),
            rounding,
            target,
            bipolar=is_bipolar(node, given),
        )
    )


def qlinear_conv(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearConv."""
    source = taken(reader, node, 0)
    weights = constant(reader, node, 3, axis=0).weights(node)
    made = onnx_layers.convolution(
        reader, node, source, weights, integer_bias(reader, node, 8, len(weights.values))
    )
    reader.writes(made, node.outputs[0], codes_of(reader, node, 6, 7))


def qlinear_matmul(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearMatMul by a constant matrix."""
    source = taken(reader, node, 0)
    weights = constant(reader, node, 3, axis=1).transposed([1, 0]).weights(node)
    made = onnx_layers.linear(reader, node, source, weights, None)
    reader.writes(made, node.outputs[0], codes_of(reader, node, 6, 7))


def qgemm(reader: OnnxValues, node: OnnxNode) -> None:
    """QGemm of ONNX Runtime."""
    about = node.attributes
    if about.get("transA", 0) or about.get("alpha", 1.0) != 1.0:
        raise refuse(node.name, node.operator, "has alpha or transA", "export it without them")
    source = taken(reader, node, 0)
    rows = bool(about.get("transB", 0))
    matrix = constant(reader, node, 3, axis=0 if rows else 1)
    weights = (matrix if rows else matrix.transposed([1, 0])).weights(node)
    bias = integer_bias(reader, node, 6, len(weights.values))
    made = onnx_layers.linear(reader, node, source, weights, bias)
    if not node.get(7):
        reader.add(made)
        return
    reader.writes(made, node.outputs[0], codes_of(reader, node, 7, 8))


def qlinear_add(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearAdd of ONNX Runtime."""
    names = taken(reader, node, 0), taken(reader, node, 3)
    shape = reader.shapes[names[0]]
    if reader.shapes[names[1]] != shape:
        raise refuse(
            node.name,
            node.operator,
            f"adds shapes {shape} and {reader.shapes[names[1]]}",
            "the engine adds maps of one shape",
        )
    made = AddNode(node.name, node.operator, names, node.outputs[0], shape)
    reader.writes(made, node.outputs[0], codes_of(reader, node, 6, 7))


def qlinear_average(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearAveragePool and QLinearGlobalAveragePool of ONNX Runtime."""
    source = taken(reader, node, 0)
    shape = reader.shapes[source]
    if node.attributes.get("channels_last", 0):
        raise refuse(node.name, node.operator, "has channels last", "export the network in NCHW")
    if "Global" in node.operator:
        made = AverageNode(
            node.name,
            node.operator,
            (source,),
            node.outputs[0],
            (shape[0], *(1 for _ in shape[1:])),
            Window((shape[1], shape[2])),
        )
    else:
        made = onnx_windows.average(reader, node, source, node.attributes.get("kernel_shape", []))
    reader.writes(made, node.outputs[0], codes_of(reader, node, 3, 4))


def qlinear_function(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearSigmoid and QLinearLeakyRelu of ONNX Runtime."""
    source = taken(reader, node, 0)
    function, parameters = "sigmoid", {}
    if node.operator == "QLinearLeakyRelu":
        function, parameters = "leaky_relu", {"alpha": float(node.attributes.get("alpha", 0.01))}
    made = PointwiseNode(
        node.name,
        node.operator,
        (source,),
        node.outputs[0],
        reader.shapes[source],
        function,
        parameters,
    )
    reader.writes(made, node.outputs[0], codes_of(reader, node, 3, 4))


def qlinear_concat(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearConcat of ONNX Runtime: output scale and zero point first, then threes."""
    names = tuple(taken(reader, node, number) for number in range(2, len(node.inputs), 3))
    made = onnx_moves.concatenation(reader, node, names)
    reader.writes(made, node.outputs[0], codes_of(reader, node, 0, 1))


def qlinear_softmax(reader: OnnxValues, node: OnnxNode) -> None:
    """QLinearSoftmax of ONNX Runtime."""
    source = taken(reader, node, 0)
    onnx_moves.check_softmax(
        node, reader.shapes[source], node.attributes.get("opset", reader.model.opset)
    )
    reader.writes(
        SoftmaxNode(node.name, node.operator, (source,), node.outputs[0], reader.shapes[source]),
        node.outputs[0],
        codes_of(reader, node, 3, 4),
    )


def dynamic(reader: OnnxValues, node: OnnxNode) -> None:
    """Scales that are found while the network runs."""
    raise refuse(
        node.name,
        node.operator,
        "has scales that are computed for every image",
        "the engine has them in memory: use static quantization",
    )


def foreign(reader: OnnxValues, node: OnnxNode) -> None:
    """Quantizers that the engine has no unit for."""
    raise refuse(
        node.name,
        node.operator,
        "is a quantizer that the engine does not have",
        "use Quant, BipolarQuant or QuantizeLinear",
    )


# --- parts ----------------------------------------------------------------------------------------


def codes_of(
    reader: OnnxValues, node: OnnxNode, scale: int, zero: int, value: str | None = None
) -> Codes:
    """The codes that two inputs of a node say; value: whose codes they are where it has some."""
    point = reader.need(node, zero) if node.get(zero) else None
    found = linear_codes(node, reader.need(node, scale), point)
    held = reader.codes.get(value) if value else None
    if held is not None and point is None:
        return Codes(found.scale, 0, held.low, held.high)
    return found


def taken(reader: OnnxValues, node: OnnxNode, first: int) -> str:
    """The integers that a QLinear operator reads at ``first``, its scale and zero point behind."""
    name = reader.value(node, first)
    reader.meant(node, name, codes_of(reader, node, first + 1, first + 2))
    return name


def constant(reader: OnnxValues, node: OnnxNode, first: int, axis: int) -> Any:
    """The weights of a QLinear operator, their scales and zero points behind them."""
    values = reader.constants.get(node.get(first))
    if values is None or values.dtype.kind == "f":
        raise refuse(
            node.name,
            node.operator,
            "has weights that are no integer constants",
            "the engine has them in memory: make them constants",
        )
    zero = reader.need(node, first + 2) if node.get(first + 2) else None
    return dequantized(node, values, reader.need(node, first + 1), zero, axis)


def integer_bias(reader: OnnxValues, node: OnnxNode, number: int, count: int) -> Bias | None:
    """int32 constants on the accumulator's scale."""
    if not node.get(number):
        return None
    values = reader.need(node, number).reshape(-1)
    if values.dtype.kind == "f" or values.size != count:
        raise refuse(
            node.name,
            node.operator,
            "has biases that are not one int32 a channel",
            "quantize again",
        )
    return Bias(values.astype(np.int64), integer=True)


OPERATORS: dict[str, Callable[[OnnxValues, OnnxNode], None]] = {
    "QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear, "Quant": quant,
    "IntQuant": quant, "BipolarQuant": quant, "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul, "QGemm": qgemm, "QLinearAdd": qlinear_add,
    "QLinearAveragePool": qlinear_average, "QLinearGlobalAveragePool": qlinear_average,
    "QLinearSigmoid": qlinear_function, "QLinearLeakyRelu": qlinear_function,
    "QLinearConcat": qlinear_concat, "QLinearSoftmax": qlinear_softmax,
    **dict.fromkeys(("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"), dynamic),
    **dict.fromkeys(("Trunc", "FloatQuant", "MultiThreshold"), foreign),
}  # fmt: skip
