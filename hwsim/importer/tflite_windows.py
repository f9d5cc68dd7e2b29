"""TFLite's windows without weights: pools and means of maps."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.importer.graph import AverageNode, FileNode, PoolNode
from hwsim.importer.limits import all_within, refuse
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues
from hwsim.program.layers import Window


def pool(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    name, source = reader.name(op), reader.source(op)
    kernel = op.option("FilterHeight"), op.option("FilterWidth")
    shape = reader.source_shape(op, 3)
    window = reader.window(op, kernel, shape, dilated=False)
    kind: Callable[..., FileNode] = PoolNode
    if op.name == "AVERAGE_POOL_2D":
        kind = AverageNode
        if any(window.padding):
            raise refuse(
                name,
                op.name,
                "averages windows that reach beyond the map",
                "the engine averages inside of it: use padding VALID",
            )
    out_shape = (shape[0], *window.out_sides(*shape[1:]))
    reader.end(
        op,
        out,
        op.option("FusedActivationFunction"),
        lambda target: kind(name, op.name, (source,), target, out_shape, window),
        keeps=op.name == "MAX_POOL_2D",
    )


def mean(reader: TfliteValues, op: Operator, out: Tensor) -> None:
    """MEAN of whole maps."""
    name, source = reader.name(op), reader.source(op)
    axes = reader.constant(op, 1, None).constant_values.reshape(-1).tolist()
    channels, height, width = reader.source_shape(op, 3)
    if sorted(all_within(name, op.name, axes, 4)) != [1, 2]:
        raise refuse(
            name,
            op.name,
            f"averages the axes {axes}",
            "the engine averages whole maps, axes 1 and 2",
        )
    window = Window((height, width))
    shape = (channels, 1, 1) if op.option("KeepDims") else (channels,)
    reader.end(
        op, out, 0, lambda target: AverageNode(name, op.name, (source,), target, shape, window)
    )
