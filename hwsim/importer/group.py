"""Nodes -> integer steps: whatever stands between two quantizers becomes one step of the engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from hwsim.compiler.operations import as_map
from hwsim.compiler.stages import Rescaling
from hwsim.errors import CompileError
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
from hwsim.importer.limits import refuse
from hwsim.importer.pending import QUANTIZE_BEFORE, Coded, Pending, through
from hwsim.importer.steps import IntegerStep, IntegerSteps, Value
from hwsim.program.layers import Shape, Window

#: Functions that rise: behind the last layer they change no answer.
RISING = {"sigmoid", "tanh", "softplus", "softsign", "exp"}
NO_SIDES = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Joined:
    """Maps behind each other that are still to get one kind of codes."""

    members: tuple[State, ...]
    shape: Shape


State = Coded | Pending | Joined


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
    return _StepGrouping(graph, image).steps()


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


class _StepGrouping:
    def __init__(self, graph: FileGraph, image: Codes) -> None:
        self.graph = graph
        self.input = Value(graph.input.tensor, as_map(graph.input.shape), image, graph.input.tensor)
        self.states: dict[str, State] = {graph.input.tensor: Coded(self.input)}
        self.done: list[IntegerStep] = []
        self.notes: list[str] = list(graph.notes)
        self.nodes = self._needed()
        #: What a softmax gave, and what is made of it.
        self.ended: set[str] = set()

    def steps(self) -> IntegerSteps:
        makers: dict[type[FileNode], Callable[[Any], State]] = {
            ConvNode: self._weighted, LinearNode: self._weighted, AffineNode: self._affine,
            ClampNode: self._clamp, PointwiseNode: self._pointwise, AddNode: self._add,
            AverageNode: self._average, PoolNode: self._pool, ConcatNode: self._concat,
            SliceNode: self._slice, ReshapeNode: self._reshape, PadNode: self._pad,
            SoftmaxNode: self._softmax, QuantizeNode: self._quantize,
        }  # fmt: skip
        for node in self.nodes:
            self.states[node.output] = makers[type(node)](node)
        self._end(self.states[self.graph.output])
        return IntegerSteps(self.input, tuple(self.done), tuple(self.notes))

    def _needed(self) -> list[FileNode]:
        """The nodes that lead to the output."""
        wanted, found = {self.graph.output}, []
        for node in reversed(self.graph.nodes):
            if node.output in wanted:
                wanted |= set(node.inputs)
                found.append(node)
        if self.graph.input.tensor not in wanted:
            raise CompileError(f"{self.graph.input.tensor}: the output does not depend on it")
        return found[::-1]

    # --- layers -----------------------------------------------------------------------------------

    def _weighted(self, node: ConvNode | LinearNode) -> State:
        state = self.states[node.inputs[0]]
        gain, shift = 1.0, np.zeros(1)
        if isinstance(state, Pending) and state.kind == "affine" and not state.pools:
            gain, shift = _uniform(node, state.post)
            state = Coded(state.sources[0])
        value, sides = self._coded(node, state)
        weights = node.weights
        if weights.scales is None:
            raise refuse(
                node.name,
                node.operator,
                "has weights that are not quantized",
                "quantize weights and activations when the file is made",
            )
        window = node.window if isinstance(node, ConvNode) else None
        if any(sides) and window is None:
            raise refuse(node.name, node.operator, "reads a padded map", "pad convolutions only")
        if window is not None and any(sides):
            both = [a + b for a, b in zip(window.padding, sides, strict=True)]
            window = replace(window, padding=(both[0], both[1], both[2], both[3]))
        words = weights.values.astype(np.int64)
        count = len(words)
        step = value.codes.scale * Fraction(gain)
        ratio = tuple(step * scale for scale in _long(weights.scales, count))
        offset = np.zeros(count)
        if np.any(shift):
            if window is not None and any(window.padding):
                raise refuse(
                    node.name,
                    node.operator,
                    "pads a map that something is added to",
                    QUANTIZE_BEFORE,
                )
            by_channel = weights.real.astype(np.float64).reshape(count, words.shape[1], -1).sum(2)
            if len(shift) == 1:
                offset = by_channel.sum(1) * shift[0]
            elif len(shift) == words.shape[1]:
                offset = by_channel @ shift
            else:
                raise refuse(
                    node.name,
                    node.operator,
                    "reads channels that are shifted apart",
                    QUANTIZE_BEFORE,
                )
        fields: dict[str, Any] = dict(
            weights=weights.values.astype(np.int32), steps=weights.scales, window=window
        )
        if isinstance(node, ConvNode):
            fields |= dict(groups=node.groups)
        post = Rescaling(np.ones(count), offset)
        if node.bias is not None and node.bias.integer and gain == 1:
            fields |= dict(bias=node.bias.values.astype(np.int64))
        elif node.bias is not None:
            unit = np.array([float(one) for one in ratio]) if node.bias.integer else 1.0
            post.offset = post.offset + node.bias.values * unit
        return Pending(
            node,
            "conv" if window is not None else "fc",
            (value,),
            as_map(node.shape),
            post,
            ratio,
            fields,
        )

    def _average(self, node: AverageNode) -> State:
        value, sides = self._coded(node, self.states[node.inputs[0]])
        if any(sides) or any(node.window.padding):
            raise refuse(
                node.name,
                node.operator,
                "averages over padding",
                "the engine averages inside of the map",
            )
        return Pending(
            node,
            "average",
            (value,),
            as_map(node.shape),
            Rescaling.nothing(1),
            (value.codes.scale / node.window.size,),
            dict(window=node.window),
        )

    def _add(self, node: AddNode) -> State:
        values, gains = [], []
        for source, gain in zip(node.inputs, node.gains, strict=True):
            state = self.states[source]
            if isinstance(state, Pending) and state.kind == "affine" and not state.pools:
                more, shift = _uniform(node, state.post)
                if np.any(shift):
                    raise refuse(
                        node.name, node.operator, "adds maps with constants", QUANTIZE_BEFORE
                    )
                gain, state = gain * more, Coded(state.sources[0])
            value, sides = self._coded(node, state)
            if any(sides):
                raise refuse(node.name, node.operator, "adds a padded map", "pad convolutions only")
            values.append(value)
            gains.append(value.codes.scale * Fraction(gain))
        if values[0].shape != values[1].shape:
            raise refuse(
                node.name,
                node.operator,
                f"adds shapes {values[0].shape} and {values[1].shape}",
                "the engine adds maps of one shape",
            )
        return Pending(
            node, "add", (values[0], values[1]), values[0].shape, Rescaling.nothing(1), tuple(gains)
        )

    def _pool(self, node: PoolNode) -> State:
        state = self.states[node.inputs[0]]
        if isinstance(state, Pending):
            return replace(
                state,
                shape=as_map(node.shape),
                pools=(*state.pools, (node, node.window, as_map(node.shape))),
            )
        value, sides = self._coded(node, state)
        if any(sides):
            raise refuse(
                node.name,
                node.operator,
                "takes the maximum over padding",
                "let the pool pad by itself",
            )
        pooled = self._pooled(node, node.window, value, as_map(node.shape))
        pooled.tensor = node.output
        return Coded(pooled)

    # --- what changes values one by one -----------------------------------------------------------

    def _affine(self, node: AffineNode) -> State:
        return self._open(node).affine(node)

    def _clamp(self, node: ClampNode) -> State:
        return self._open(node).clamp(node)

    def _pointwise(self, node: PointwiseNode) -> State:
        state = self._open(node)
        at_end = node.output == self.graph.output and node.function in RISING
        if at_end and state.kind not in ("affine", "lut"):
            self.notes.append(
                f"{node.name}: {node.operator} at the end is dropped: it rises, so that no answer "
                "depends on it"
            )
            return state
        return state.pointwise(node)

    def _softmax(self, node: SoftmaxNode) -> State:
        self.notes.append(f"{node.name}: {node.operator} at the end is dropped: no answer changes")
        self.ended.add(node.output)
        for one in self.nodes:
            if not self.ended.isdisjoint(one.inputs):
                self.ended.add(one.output)
                if not isinstance(one, QuantizeNode | ReshapeNode | SoftmaxNode):
                    raise refuse(
                        node.name,
                        node.operator,
                        "stands within the network",
                        "the engine has it at the end, where it is dropped",
                    )
        return self.states[node.inputs[0]]

    def _quantize(self, node: QuantizeNode) -> State:
        if node.inputs[0] in self.ended:
            return self.states[node.inputs[0]]
        state = self.states[node.inputs[0]]
        last = node.output == self.graph.output
        if node.bipolar and last and isinstance(state, Pending) and not state.post.clamps:
            self.notes.append(
                f"{node.name}: {node.operator} at the end is dropped: the answer is the sign of "
                "the value"
            )
            return replace(state, fields=state.fields | dict(bipolar=True))
        return self._written(node, state)

    def _written(self, node: QuantizeNode, state: State) -> State:
        codes = node.codes
        if isinstance(state, Joined):
            members = [self._written(replace_output(node, n), one) for n, one in
                       enumerate(state.members)]  # fmt: skip
            return self._together(node, [self._coded(node, one)[0] for one in members], node.tensor)
        if isinstance(state, Coded):
            if state.value.codes == codes and not node.bipolar:
                if state.value.tensor is None:
                    state.value.tensor = node.tensor
                return state
            value, _ = self._coded(node, Coded(state.value))
            return replace(self._put(node, through(value, node)), sides=state.sides)
        return self._put(node, state)

    def _put(self, node: QuantizeNode, state: Pending) -> Any:
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
        self.done.append(state.step(value, node))
        for number, (pool, window, behind) in enumerate(pools):
            value = self._pooled(pool, window, value, behind)
            if number == len(pools) - 1:
                value.name, value.tensor = node.output, node.tensor
        if node.bipolar:
            found = through(value, node)
            found.post.offset = found.post.offset - float(node.codes.scale)
            return found
        return Coded(value)

    # --- what moves values ------------------------------------------------------------------------

    def _reshape(self, node: ReshapeNode) -> State:
        state = self.states[node.inputs[0]]
        if isinstance(state, Joined):
            return state
        shape = state.value.shape if isinstance(state, Coded) else state.shape
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

    def _pad(self, node: PadNode) -> State:
        value, sides = self._coded(node, self.states[node.inputs[0]])
        both = [a + b for a, b in zip(sides, node.sides, strict=True)]
        return Coded(value, (both[0], both[1], both[2], both[3]))

    def _slice(self, node: SliceNode) -> State:
        value, sides = self._coded(node, self.states[node.inputs[0]])
        channels = node.shape[0]
        part = Value(
            node.output, (channels, *value.shape[1:]), value.codes, parent=(value, node.first)
        )
        return Coded(part, sides)

    def _concat(self, node: ConcatNode) -> State:
        states = tuple(self.states[name] for name in node.inputs)
        codes = {one.value.codes for one in states if isinstance(one, Coded)}
        if len(codes) == 1 and all(isinstance(one, Coded) for one in states):
            return self._together(node, [self._coded(node, one)[0] for one in states], None)
        return Joined(states, as_map(node.shape))

    def _together(self, node: FileNode, values: list[Value], tensor: str | None) -> Coded:
        """One map of several, each written where it belongs, or copied there."""
        shape = (sum(one.shape[0] for one in values), *values[0].shape[1:])
        whole = Value(node.output, shape, values[0].codes, tensor)
        first = 0
        for value in values:
            if value is self.input or value.parent is not None:
                value = self._pooled(node, Window((1, 1)), value, value.shape)
            value.parent = (whole, first)
            first += value.shape[0]
        return Coded(whole)

    # --- parts ------------------------------------------------------------------------------------

    def _end(self, state: State) -> None:
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
            self.done.append(step)
            return
        if not isinstance(state, Coded) or any(state.sides):
            raise CompileError(
                f"{self.graph.output}: the output of the network is not quantized: quantize it, or "
                "end in a layer with weights"
            )
        value = state.value
        if math.prod(value.shape[1:]) != 1:
            raise CompileError(
                f"{self.graph.output}: the output is a map {value.shape}: the engine answers with "
                "a vector: end in a fully connected layer or a global pool"
            )
        self.done.append(
            IntegerStep(value.name, "", "output", (value,), None, ratio=(value.codes.scale,))
        )

    def _open(self, node: FileNode) -> Pending:
        state = self.states[node.inputs[0]]
        if isinstance(state, Pending):
            return state
        return through(self._coded(node, state)[0], node)

    def _coded(self, node: FileNode, state: State) -> tuple[Value, tuple[int, int, int, int]]:
        """The codes that a node reads, and the padding around them."""
        if isinstance(state, Coded):
            return state.value, state.sides
        if isinstance(state, Pending):
            plain = state.kind == "affine" and not state.pools
            if plain and state.post.is_nothing:
                return state.sources[0], NO_SIDES
        raise refuse(node.name, node.operator, "reads what is not quantized", QUANTIZE_BEFORE)

    def _pooled(self, node: FileNode, window: Window, value: Value, shape: Shape) -> Value:
        target = Value(node.output, shape, value.codes)
        self.done.append(
            IntegerStep(node.name, node.operator, "pool", (value,), target, window=window)
        )
        return target


def replace_output(node: QuantizeNode, number: int) -> QuantizeNode:
    """A quantizer of one part of what is concatenated."""
    return replace(node, output=f"{node.output}/{number}", tensor="")


def _uniform(node: FileNode, post: Rescaling) -> tuple[float, np.ndarray]:
    """(scale, offsets) of values that a layer reads."""
    if post.clamps or np.any(post.scale != post.scale[0]) or post.scale[0] == 0:
        raise refuse(
            node.name,
            node.operator,
            "reads values that are clamped or scaled by channel",
            QUANTIZE_BEFORE,
        )
    same = np.all(post.offset == post.offset[0])
    return float(post.scale[0]), post.offset[:1] if same else post.offset


def _long(values: tuple[Fraction, ...], count: int) -> tuple[Fraction, ...]:
    return values * count if len(values) == 1 else values
