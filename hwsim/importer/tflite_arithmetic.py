"""TFLite's operators that work on values one by one, and its quantizers."""

from __future__ import annotations

import numpy as np

from hwsim.importer.graph import AddNode, ClampNode, PointwiseNode, QuantizeNode, ReshapeNode
from hwsim.importer.limits import refuse
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues, codes_of

CLAMPS = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0),
          "RELU_0_TO_1": (0.0, 1.0)}  # fmt: skip
POINTWISE = {"LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hard_swish",
             "LEAKY_RELU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "EXP": "exp",
             "ABS": "abs", "SQUARE": "square"}  # fmt: skip


def add(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """ADD and SUB of two maps."""
    name = reader.name(op)
    sources = tuple(reader.source(op, number) for number in (0, 1))
    one, two = (reader.shapes[source] for source in sources)
    if one != two:
        raise refuse(
            name,
            op.name,
            f"adds shapes {one} and {two}",
            "the engine adds maps of one shape: expand the smaller",
        )
    gains = (1.0, 1.0 if op.name == "ADD" else -1.0)
    reader.end(
        op,
        out,
        op.option("FusedActivationFunction"),
        lambda target: AddNode(name, op.name, sources, target, one, gains),
    )


def clamp(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """ReLUs of all bounds."""
    name, source = reader.name(op), reader.source(op)
    low, high = CLAMPS[op.name]
    shape = reader.shapes[source]
    reader.end(
        op, out, 0, lambda target: ClampNode(name, op.name, (source,), target, shape, low, high)
    )


def pointwise(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """A function of single values."""
    name, source = reader.name(op), reader.source(op)
    shape = reader.shapes[source]
    parameters: dict[str, float] = {}
    if op.name == "LEAKY_RELU":
        parameters = {"alpha": float(op.option("Alpha"))}
    elif op.name == "GELU":
        parameters = {"approximate": float(op.option("Approximate"))}
    reader.end(
        op,
        out,
        0,
        lambda target: PointwiseNode(
            name, op.name, (source,), target, shape, POINTWISE[op.name], parameters
        ),
    )


def quantize(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """QUANTIZE and DEQUANTIZE: codes of others, or real numbers."""
    name, source, target = reader.name(op), reader.source(op), reader.names[out.index]
    shape = reader.shapes[source]
    if source in reader.flattened:
        reader.flattened[target] = reader.flattened[source]
    codes = codes_of(out)
    if codes is None:
        reader.add_node(ReshapeNode(name, op.name, (source,), target, shape))
    else:
        reader.add_node(
            QuantizeNode(name, op.name, (source,), target, shape, codes, "kernel", target)
        )
