"""ONNX's arithmetic and functions of single values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.graph import (
    AddNode,
    AffineNode,
    ClampNode,
    PointwiseNode,
    Shape,
)
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_file import OnnxNode
from hwsim.importer.onnx_fold import clip_bounds
from hwsim.importer.onnx_values import OnnxValues

Array = NDArray[Any]

#: Operator -> name of the function and its parameters with their defaults.
POINTWISE: dict[str, tuple[str, dict[str, float]]] = {
    "Sigmoid": ("sigmoid", {}), "Tanh": ("tanh", {}), "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Elu": ("elu", {"alpha": 1.0}), "HardSwish": ("hard_swish", {}), "Mish": ("mish", {}),
    "Selu": ("selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}), "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}), "Exp": ("exp", {}), "Abs": ("abs", {}),
}  # fmt: skip


def arithmetic(reader: OnnxValues, node: OnnxNode) -> None:
    """Add, Sub, Mul and Div: of two maps, or of a map and constants by channel."""
    given = reader.given(node)
    maps = [number for number in (0, 1) if given[number] is None]
    if len(maps) == 2:
        two_maps(reader, node)
        return
    at = maps[0]
    source = reader.source(node, at)
    shape = reader.shapes[source]
    found = given[1 - at]
    assert found is not None
    values = by_channel(node, found.astype(np.float64), shape)
    one: Array = np.ones(1)
    none: Array = np.zeros(1)
    scale: Array
    offset: Array
    kind = node.operator
    if kind == "Add":
        scale, offset = one, values
    elif kind == "Sub":
        scale, offset = (one, -values) if at == 0 else (-one, values)
    elif kind == "Mul":
        scale, offset = values, none
    else:
        if at == 1 or np.any(values == 0):
            raise refuse(
                node.name,
                node.operator,
                "divides by a map or by 0",
                "the engine divides by constants",
            )
        scale, offset = 1 / values, none
    reader.add(AffineNode(node.name, kind, (source,), node.outputs[0], shape, scale, offset))


def two_maps(reader: OnnxValues, node: OnnxNode) -> None:
    """A sum or difference; a product where both come from one map."""
    names = reader.source(node, 0), reader.source(node, 1)
    shape = reader.shapes[names[0]]
    if node.operator in ("Add", "Sub"):
        if reader.shapes[names[1]] != shape:
            raise refuse(
                node.name,
                node.operator,
                f"adds shapes {shape} and {reader.shapes[names[1]]}",
                "the engine adds maps of one shape",
            )
        gains = (1.0, 1.0 if node.operator == "Add" else -1.0)
        reader.add(AddNode(node.name, node.operator, names, node.outputs[0], shape, gains))
        return
    for number, name in enumerate(names):
        made = next((one for one in reader.nodes if one.output == name), None)
        if isinstance(made, PointwiseNode) and made.inputs[0] == names[1 - number]:
            known = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}.get(made.function)
            sixth = abs(made.parameters.get("alpha", 1 / 6) - 1 / 6) < 1e-6
            if known and sixth and node.operator == "Mul":
                reader.nodes = [one for one in reader.nodes if one is not made]
                reader.add(
                    PointwiseNode(
                        node.name,
                        node.operator,
                        (names[1 - number],),
                        node.outputs[0],
                        shape,
                        known,
                    )
                )
                return
    raise refuse(
        node.name,
        node.operator,
        "multiplies two maps",
        "the engine adds them and multiplies by constants",
    )


def by_channel(node: OnnxNode, values: Array, shape: Shape) -> Array:
    """Constants that broadcast to (N, *shape), as one or one a channel."""
    if values.size == 1:
        return values.reshape(1)
    if not values.size:
        raise refuse(node.name, node.operator, "has no constants", "export the network again")
    full = (1,) * (len(shape) + 1 - values.ndim) + values.shape
    if len(full) == len(shape) + 1 and full[0] == 1 and full[1] == shape[0] == values.size:
        return values.reshape(-1)
    if np.all(values == values.reshape(-1)[0]):
        return values.reshape(-1)[:1]
    raise refuse(
        node.name,
        node.operator,
        f"has constants of shape {values.shape} for a map {shape}",
        "the engine has them by channel",
    )


def relu(reader: OnnxValues, node: OnnxNode) -> None:
    """Relu."""
    _clamped(reader, node, 0.0, np.inf)


def clip(reader: OnnxValues, node: OnnxNode) -> None:
    """Clip of real numbers, or of integers behind a quantizer."""
    low, high = clip_bounds(node, reader.given(node))
    if low > high:
        raise refuse(node.name, node.operator, f"clips to {low:g} … {high:g}", "give it a range")
    if node.get(0) in reader.codes:
        reader.narrowed(node, low, high)
        return
    _clamped(reader, node, low, high)


def _clamped(reader: OnnxValues, node: OnnxNode, low: float, high: float) -> None:
    source = reader.source(node)
    reader.add(
        ClampNode(
            node.name, node.operator, (source,), node.outputs[0], reader.shapes[source], low, high
        )
    )


def _function(
    reader: OnnxValues, node: OnnxNode, function: str, parameters: dict[str, float]
) -> None:
    source = reader.source(node)
    reader.add(
        PointwiseNode(
            node.name,
            node.operator,
            (source,),
            node.outputs[0],
            reader.shapes[source],
            function,
            parameters,
        )
    )


def pointwise(reader: OnnxValues, node: OnnxNode) -> None:
    """A function of single values."""
    function, defaults = POINTWISE[node.operator]
    parameters = {name: float(node.attributes.get(name, value)) for name, value in defaults.items()}
    _function(reader, node, function, parameters)


def gelu(reader: OnnxValues, node: OnnxNode) -> None:
    """Gelu, exact or with tanh."""
    tanh = float(node.attributes.get("approximate", "none") == "tanh")
    _function(reader, node, "gelu", {"approximate": tanh})


def prelu(reader: OnnxValues, node: OnnxNode) -> None:
    """PRelu with one slope."""
    slope = reader.need(node, 1).reshape(-1)
    if np.any(slope != slope[0]):
        raise refuse(
            node.name,
            node.operator,
            "has a slope a channel",
            "the engine has one function a map: use one slope",
        )
    _function(reader, node, "leaky_relu", {"alpha": float(slope[0])})
