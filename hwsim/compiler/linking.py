"""Nodes of a traced graph -> the graph of operations: who takes whose result, and what is left."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from hwsim.compiler.context import Context
from hwsim.compiler.graph import Graph, Node, reaching
from hwsim.compiler.operations import Flatten, InputOp, Slice
from hwsim.compiler.read_ops import part
from hwsim.compiler.recognize import classify
from hwsim.compiler.recorder import Recorder
from hwsim.errors import CompileError

#: What gives several maps by cutting channels apart.
_SPLITS = {"chunk", "split", "split_with_sizes", "tensor_split"}
#: Operators of ATen that give several results, of which the first is the map.
_FIRST = {"max_pool2d_with_indices", "native_batch_norm_legit_no_training", "native_batch_norm",
          "native_dropout"}  # fmt: skip


def linked(graph_module: fx.GraphModule, recorder: Recorder) -> Graph:
    """The operations from input to output. Raises CompileError, naming the path."""
    return _Linker(recorder).graph(list(graph_module.graph.nodes))


class _Linker:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.made: dict[fx.Node, Node] = {}
        #: A tensor that was written to in place, and the node that wrote it last.
        self.written: dict[fx.Node, fx.Node] = {}

    def graph(self, nodes: list[fx.Node]) -> Graph:
        recorder = self.recorder
        output = nodes[-1]
        for node in nodes:
            if node.op == "placeholder":
                shape = recorder.shapes[node][1:]
                self.made[node] = Node(
                    InputOp("input", shape, recorder.sampled(node), recorder.mean(node))
                )
            elif node in recorder.shapes:
                self._link(node)
        result = output.args[0]
        if isinstance(result, tuple | list) and len(result) == 1 and self._exported(nodes):
            result = result[0]
        if not isinstance(result, fx.Node) or result in recorder.parts:
            raise CompileError(f"{recorder.name}: forward() must return one tensor, the logits")
        if result not in recorder.shapes:
            raise CompileError("input: its result is not used: the output does not depend on it")
        result = self._latest(result)
        self._check_used(self.made[result])
        return reaching(self.made[result])

    @staticmethod
    def _exported(nodes: list[fx.Node]) -> bool:
        return any(isinstance(node.target, torch._ops.OpOverload) for node in nodes)

    def _latest(self, node: fx.Node) -> fx.Node:
        while node in self.written:
            node = self.written[node]
        return node

    def _link(self, node: fx.Node) -> None:
        at = self.recorder.context(node)
        sources = tuple(self._latest(source) for source in at.sources)
        if node in self.recorder.parts:
            if at.called in _SPLITS and at.module is None:
                return  # its parts are taken one by one
            if at.called not in _FIRST or not isinstance(node.target, torch._ops.OpOverload):
                classify(at)  # refuses what it knows better
                raise CompileError(
                    f"{at.path}: {at.called} gives several results: the engine runs layers that "
                    "give one"
                )
        inputs: tuple[Node, ...]
        if at.sources[0] in self.recorder.parts and at.node.target is operator.getitem:
            self.made[node] = self._part(at)
            return
        if any(source not in self.made for source in sources):
            raise CompileError(
                f"{at.path}: takes several maps as one, as they were split: name each of them"
            )
        inputs = tuple(self.made[source] for source in sources)
        operation = classify(at)
        self.made[node] = inputs[0] if operation is None else Node(operation, inputs)
        if _in_place(at):
            self.written[sources[0]] = node

    def _part(self, at: Context) -> Node:
        """One of several results."""
        several, index = at.sources[0], at.args[1]
        if several in self.made:
            if index == 0:
                return self.made[several]
            raise CompileError(
                f"{at.path}: takes the indices or statistics of a layer: the engine gives its map"
            )
        split = self.recorder.context(several)
        given = split.given("chunks", "dim")
        axis = given.get("dim", 0)
        if not isinstance(axis, int) or axis % split.axes != 1 or not isinstance(index, int):
            raise CompileError(
                f"{split.path}: splits along axis {axis}: the engine splits channels (axis 1)"
            )
        shapes = self.recorder.parts[several]
        first = sum(shape[1] for shape in shapes[: index % len(shapes)])
        return Node(part(at, first), (self.made[self._latest(split.sources[0])],))

    def _check_used(self, output: Node) -> None:
        """Refuse what is computed for nothing."""
        used = set(reaching(output).nodes)
        for node in self.made.values():
            if node not in used and not isinstance(node.op, Slice | Flatten):
                raise CompileError(
                    f"{node.path}: its result is not used by what the network returns: remove this "
                    "dead branch"
                )


def _in_place(at: Context) -> bool:
    """Whether a node writes its result over its first input."""
    target: Any = at.node.target
    if at.module is not None:
        return bool(getattr(at.module, "inplace", False))
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.endswith("_")
    if at.node.op == "call_method":
        return str(target).endswith("_") and not str(target).endswith("__")
    name = getattr(target, "__name__", "")
    inplace = target in (operator.iadd, operator.isub, operator.imul, operator.itruediv)
    return inplace or bool(at.kwargs.get("inplace")) or name.endswith("_")
