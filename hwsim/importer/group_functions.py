"""What changes values one by one, before a quantizer ends them."""

from __future__ import annotations

from hwsim.importer.graph import (
    AffineNode,
    ClampNode,
    PointwiseNode,
    QuantizeNode,
    ReshapeNode,
    SoftmaxNode,
)
from hwsim.importer.group_values import GroupValues
from hwsim.importer.limits import refuse
from hwsim.importer.pending import State

#: Functions that rise: behind the last layer they change no answer.
RISING = {"sigmoid", "tanh", "softplus", "softsign", "exp"}


def affine(values: GroupValues, node: AffineNode) -> State:
    """x · scale + offset."""
    return values.opened(node).affine(node)


def clamp(values: GroupValues, node: ClampNode) -> State:
    """Bounds."""
    return values.opened(node).clamp(node)


def pointwise(values: GroupValues, node: PointwiseNode) -> State:
    """A function, dropped at the end where it rises."""
    state = values.opened(node)
    at_end = node.output == values.graph.output and node.function in RISING
    if at_end and state.kind not in ("affine", "lut"):
        values.notes.append(
            f"{node.name}: {node.operator} at the end is dropped: it rises, so that no answer "
            "depends on it"
        )
        return state
    return state.pointwise(node)


def softmax(values: GroupValues, node: SoftmaxNode) -> State:
    """Dropped at the end; CompileError anywhere else."""
    values.notes.append(f"{node.name}: {node.operator} at the end is dropped: no answer changes")
    values.ended.add(node.output)
    for one in values.nodes:
        if not values.ended.isdisjoint(one.inputs):
            values.ended.add(one.output)
            if not isinstance(one, QuantizeNode | ReshapeNode | SoftmaxNode):
                raise refuse(
                    node.name,
                    node.operator,
                    "stands within the network",
                    "the engine has it at the end, where it is dropped",
                )
    return values.states[node.inputs[0]]
