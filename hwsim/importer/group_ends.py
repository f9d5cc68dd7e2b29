"""What ends a step: quantizers, and the output of the network."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hwsim.errors import CompileError
from hwsim.importer.codes import Codes
from hwsim.importer.graph import QuantizeNode
from hwsim.importer.group_values import GroupValues
from hwsim.importer.limits import refuse
from hwsim.importer.pending import Coded, Joined, Pending, State, through
from hwsim.importer.steps import IntegerStep, Value


def quantize(values: GroupValues, node: QuantizeNode) -> State:
    """The codes of a value, by the step that is pending or one of their own."""
    if node.inputs[0] in values.ended:
        return values.states[node.inputs[0]]
    state = values.states[node.inputs[0]]
    last = node.output == values.graph.output
    if node.bipolar and last and isinstance(state, Pending) and not state.post.clamps:
        values.notes.append(
            f"{node.name}: {node.operator} at the end is dropped: the answer is the sign of "
            "the value"
        )
        return replace(state, fields=state.fields | dict(bipolar=True))
    return _written(values, node, state)


def _written(values: GroupValues, node: QuantizeNode, state: State) -> State:
    codes = node.codes
    if isinstance(state, Joined):
        members = [_written(values, _part(node, n), one) for n, one in
                   enumerate(state.members)]  # fmt: skip
        return values.together(node, [values.bare(node, one) for one in members], node.tensor)
    if isinstance(state, Coded):
        if state.value.codes == codes and not node.bipolar:
            if state.value.tensor is None:
                state.value.tensor = node.tensor
            return state
        value, _ = values.coded(node, Coded(state.value))
        return replace(_put(values, node, through(value, node)), sides=state.sides)
    return _put(values, node, state)


def _part(node: QuantizeNode, number: int) -> QuantizeNode:
    """A quantizer of one part of what is concatenated."""
    return replace(node, output=f"{node.output}/{number}", tensor="")


def _put(values: GroupValues, node: QuantizeNode, state: Pending) -> Any:
    """The value that a step writes, and its pools behind it."""
    codes, shape = node.codes, state.shape
    if node.bipolar:
        # Codes 0 and 1 stand for −1 and +1: (a − ½) · 2, so ½ is left to who reads them.
        codes = Codes(2 * codes.scale, 0, 0, 1)
    pools = state.pools
    if pools:
        first = state.sources[0].shape
        window = state.fields.get("window")
        sides = window.out_sides(*first[1:]) if window is not None else first[1:]
        channels = len(state.fields["weights"]) if "weights" in state.fields else first[0]
        shape = (channels, *sides)
    value = Value(node.output, shape, codes, None if pools else node.tensor)
    values.done.append(state.step(value, node))
    for number, (pool, window, behind) in enumerate(pools):
        value = values.pooled(pool, window, value, behind)
        if number == len(pools) - 1:
            value.name, value.tensor = node.output, node.tensor
    if node.bipolar:
        found = through(value, node)
        found.post.offset = found.post.offset - float(node.codes.scale)
        return found
    return Coded(value)


def end(values: GroupValues, state: State) -> None:
    """The last step, which hands out the answers."""
    if isinstance(state, Pending) and state.kind in ("conv", "fc", "average"):
        step = state.step(None, None)
        if state.pools or state.post.clamps or math.prod(state.shape[1:]) != 1:
            raise refuse(
                state.node.name,
                state.node.operator,
                "gives the output of the network through a clamp or pool",
                "quantize the output",
            )
        if len(set(step.ratio)) != 1 or step.ratio[0] <= 0:
            raise refuse(
                state.node.name,
                state.node.operator,
                "gives the output of the network with a scale a channel",
                "quantize the output, or its weights per tensor",
            )
        values.done.append(step)
        return
    if not isinstance(state, Coded) or any(state.sides):
        raise CompileError(
            f"{values.graph.output}: the output of the network is not quantized: quantize it, or "
            "end in a layer with weights"
        )
    value = state.value
    if math.prod(value.shape[1:]) != 1:
        raise CompileError(
            f"{values.graph.output}: the output is a map {value.shape}: the engine answers with "
            "a vector: end in a fully connected layer or a global pool"
        )
    values.done.append(
        IntegerStep(value.name, "", "output", (value,), None, ratio=(value.codes.scale,))
    )
