"""What is known of every value of a quantized graph while its nodes become steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwsim.compiler.operations import NO_SIDES, Sides, as_map
from hwsim.compiler.stages import Rescaling
from hwsim.errors import CompileError
from hwsim.importer.codes import Codes
from hwsim.importer.graph import FileGraph, FileNode
from hwsim.importer.limits import refuse
from hwsim.importer.pending import QUANTIZE_BEFORE, Coded, Pending, State, through
from hwsim.importer.steps import IntegerStep, Value
from hwsim.program.layers import Shape, Window


class ScaledMap(NamedTuple):
    """A map as a layer reads it: value · gain + shift. shift: (1,) or (C,)."""

    value: Value
    sides: Sides
    gain: float
    shift: np.ndarray


class GroupValues:
    """Steps so far, and each value as codes or as what no quantizer has ended."""

    def __init__(self, graph: FileGraph, image: Codes) -> None:
        self.graph = graph
        self.input = Value(graph.input.tensor, as_map(graph.input.shape), image, graph.input.tensor)
        self.states: dict[str, State] = {graph.input.tensor: Coded(self.input)}
        self.done: list[IntegerStep] = []
        self.notes: list[str] = list(graph.notes)
        self.nodes = self._needed()
        #: What a softmax gave, and what is made of it.
        self.ended: set[str] = set()

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

    def opened(self, node: FileNode) -> Pending:
        """What a node goes on with, that no quantizer has ended."""
        state = self.states[node.inputs[0]]
        if isinstance(state, Pending):
            return state
        return through(self.bare(node, state), node)

    def bare(self, node: FileNode, state: State) -> Value:
        """The codes that a node reads, which nothing pads."""
        value, sides = self.coded(node, state)
        if any(sides):
            raise refuse(node.name, node.operator, "reads a padded map", "pad convolutions only")
        return value

    def coded(self, node: FileNode, state: State) -> tuple[Value, Sides]:
        """The codes that a node reads, and the padding around them."""
        if isinstance(state, Coded):
            return state.value, state.sides
        if isinstance(state, Pending) and state.plain and state.post.is_nothing:
            return state.sources[0], NO_SIDES
        raise refuse(node.name, node.operator, "reads what is not quantized", QUANTIZE_BEFORE)

    def scaled(self, node: FileNode, name: str) -> ScaledMap:
        """The codes that a node reads, where it can scale and shift them itself."""
        state = self.states[name]
        if not isinstance(state, Pending) or not state.plain:
            return ScaledMap(*self.coded(node, state), 1.0, np.zeros(1))
        return ScaledMap(state.sources[0], NO_SIDES, *_uniform(node, state.post))

    def pooled(self, node: FileNode, window: Window, value: Value, shape: Shape) -> Value:
        """The map that a max-pool writes of another."""
        target = Value(node.output, shape, value.codes)
        self.done.append(
            IntegerStep(node.name, node.operator, "pool", (value,), target, window=window)
        )
        return target

    def together(self, node: FileNode, values: list[Value], tensor: str | None) -> Coded:
        """One map of several, each written where it belongs, or copied there."""
        shape = (sum(one.shape[0] for one in values), *values[0].shape[1:])
        whole = Value(node.output, shape, values[0].codes, tensor)
        first = 0
        for value in values:
            if value is self.input or value.parent is not None:
                value = self.pooled(node, Window((1, 1)), value, value.shape)
            value.parent = (whole, first)
            first += value.shape[0]
        return Coded(whole)


def _uniform(node: FileNode, post: Rescaling) -> tuple[float, np.ndarray]:
    """(scale, offsets): one for all, or offsets by channel."""
    if post.clamps or np.any(post.scale != post.scale[0]) or post.scale[0] == 0:
        raise refuse(
            node.name,
            node.operator,
            "reads values that are clamped or scaled by channel",
            QUANTIZE_BEFORE,
        )
    same = np.all(post.offset == post.offset[0])
    return float(post.scale[0]), post.offset[:1] if same else post.offset
