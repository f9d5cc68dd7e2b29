"""What moves values or takes the largest of them: codes stay what they are."""

from __future__ import annotations

from dataclasses import replace

from hwsim.compiler.operations import as_map
from hwsim.importer.graph import ConcatNode, PadNode, PoolNode, ReshapeNode, SliceNode
from hwsim.importer.group_values import GroupValues
from hwsim.importer.limits import refuse
from hwsim.importer.pending import Coded, Joined, Pending, State
from hwsim.importer.steps import Value
from hwsim.program.layers import Shape


def pool(values: GroupValues, node: PoolNode) -> State:
    """A max-pool, behind codes or before they are made."""
    state = values.states[node.inputs[0]]
    if isinstance(state, Pending):
        return replace(
            state,
            shape=as_map(node.shape),
            pools=(*state.pools, (node, node.window, as_map(node.shape))),
        )
    value, sides = values.coded(node, state)
    if any(sides):
        raise refuse(
            node.name,
            node.operator,
            "takes the maximum over padding",
            "let the pool pad by itself",
        )
    pooled = values.pooled(node, node.window, value, as_map(node.shape))
    pooled.tensor = node.output
    return Coded(pooled)


def reshape(values: GroupValues, node: ReshapeNode) -> State:
    """A map flattened, or as it was."""
    state = values.states[node.inputs[0]]
    if isinstance(state, Joined):
        return state
    shape = padded(state) if isinstance(state, Coded) else state.shape
    new = as_map(node.shape)
    flattens = len(node.shape) == 1
    if new != shape and not flattens:
        raise refuse(
            node.name,
            node.operator,
            f"makes {new} of {shape}",
            "the engine flattens maps and nothing else",
        )
    return state


def padded(state: Coded) -> Shape:
    """The shape of a map with what pads it."""
    channels, height, width = state.value.shape
    top, left, bottom, right = state.sides
    return channels, top + height + bottom, left + width + right


def pad(values: GroupValues, node: PadNode) -> State:
    """Zeros around a map, which the convolution behind it reads."""
    value, sides = values.coded(node, values.states[node.inputs[0]])
    both = [a + b for a, b in zip(sides, node.sides, strict=True)]
    return Coded(value, (both[0], both[1], both[2], both[3]))


def channel_slice(values: GroupValues, node: SliceNode) -> State:
    """Channels of a map, which stay where they are."""
    value, sides = values.coded(node, values.states[node.inputs[0]])
    channels = node.shape[0]
    part = Value(node.output, (channels, *value.shape[1:]), value.codes, parent=(value, node.first))
    return Coded(part, sides)


def concat(values: GroupValues, node: ConcatNode) -> State:
    """Maps put together at once where their codes are one, else by the next quantizer."""
    states = tuple(values.states[name] for name in node.inputs)
    codes = {one.value.codes for one in states if isinstance(one, Coded)}
    if len(codes) == 1 and all(isinstance(one, Coded) for one in states):
        return values.together(node, [values.bare(node, one) for one in states], None)
    return Joined(states, as_map(node.shape))
