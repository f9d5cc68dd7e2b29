"""Nodes -> integer steps: whatever stands between two quantizers becomes one step of the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.importer import group_functions as functions
from hwsim.importer import group_layers as layers
from hwsim.importer import group_moves as moves
from hwsim.importer.codes import Codes
from hwsim.importer.graph import (
    AddNode,
    AffineNode,
    AverageNode,
    ClampNode,
    ConcatNode,
    ConvNode,
    FileGraph,
    FileNode,
    LinearNode,
    PadNode,
    PointwiseNode,
    PoolNode,
    QuantizeNode,
    ReshapeNode,
    SliceNode,
    SoftmaxNode,
)
from hwsim.importer.group_ends import end, quantize
from hwsim.importer.group_values import GroupValues
from hwsim.importer.pending import State
from hwsim.importer.steps import IntegerSteps

MAKERS: dict[type[FileNode], Callable[[GroupValues, Any], State]] = {
    ConvNode: layers.weighted, LinearNode: layers.weighted, AddNode: layers.add,
    AverageNode: layers.average, AffineNode: functions.affine, ClampNode: functions.clamp,
    PointwiseNode: functions.pointwise, SoftmaxNode: functions.softmax, PoolNode: moves.pool,
    ConcatNode: moves.concat, SliceNode: moves.channel_slice, ReshapeNode: moves.reshape,
    PadNode: moves.pad, QuantizeNode: quantize,
}  # fmt: skip


def grouped(graph: FileGraph, image: Codes) -> IntegerSteps:
    """The steps of a quantized graph.

    Parameters
    ----------
    graph : FileGraph
        Of any quantized dialect.
    image : Codes
        What the codes of the input mean, see ``image_codes``.

    Raises
    ------
    CompileError
        In one line with the node's name, its operator and the remedy.
    """
    values = GroupValues(graph, image)
    for node in values.nodes:
        values.states[node.output] = MAKERS[type(node)](values, node)
    end(values, values.states[graph.output])
    return IntegerSteps(values.input, tuple(values.done), tuple(values.notes))


def image_codes(graph: FileGraph, levels: int) -> Codes | None:
    """The codes of the input as the file says it; None where it takes real numbers.

    levels: how many codes a pin of the engine carries. A quantizer on the input is taken for the
    pins where it has as many, since they saturate where it does.
    """
    if graph.input.codes is not None:
        return graph.input.codes
    readers = [node for node in graph.nodes if graph.input.tensor in node.inputs]
    if len(readers) == 1 and isinstance(first := readers[0], QuantizeNode) and not first.bipolar:
        return first.codes if first.codes.levels == levels else None
    return None
