"""A network as a graph of operations: every operation with those whose results it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from hwsim.compiler.operations import InputOp, Op


@dataclass(frozen=True, eq=False)
class Node:
    """An operation and where its inputs come from, in the order in which it takes them."""

    op: Op
    inputs: tuple[Node, ...] = ()

    @property
    def path(self) -> str:
        return self.op.path


@dataclass(frozen=True, eq=False)
class Graph:
    """The nodes that lead to the output, each behind its inputs; the first is the input."""

    nodes: tuple[Node, ...]

    @property
    def input(self) -> Node:
        assert isinstance(self.nodes[0].op, InputOp)
        return self.nodes[0]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    @property
    def operations(self) -> list[Op]:
        """All operations but the input."""
        return [node.op for node in self.nodes[1:]]

    def users(self) -> Mapping[Node, list[Node]]:
        """The nodes that take each node's result, once for every time they do."""
        found: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                found[source].append(node)
        return found

    def run(self, images: Tensor) -> Tensor:
        """What the graph computes, in float: (N, …) -> (N, …)."""
        left = {node: len(users) for node, users in self.users().items()}
        values: dict[Node, Tensor] = {}
        for node in self.nodes:
            taken = [values[source] for source in node.inputs]
            values[node] = node.op.apply(*(taken or [images]))
            for source in node.inputs:
                left[source] -= 1
                if not left[source]:
                    values.pop(source, None)
        return values[self.output]

    def rebuilt(self, change: Callable[[Node, tuple[Node, ...]], Node]) -> Graph:
        """The graph in which ``change`` has made each node anew, given it and its new inputs."""
        made: dict[Node, Node] = {}
        for node in self.nodes:
            made[node] = change(node, tuple(made[source] for source in node.inputs))
        return reaching(made[self.output])

    def with_operations(self, operations: Mapping[Op, Op]) -> Graph:
        """The graph with other operations in the place of some, which are compared by identity."""
        return self.rebuilt(lambda node, taken: Node(operations.get(node.op, node.op), taken))


def reaching(output: Node) -> Graph:
    """The graph of all that leads to ``output``."""
    return Graph(tuple(_behind_their_inputs(output)))


def _behind_their_inputs(output: Node) -> Iterator[Node]:
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(output, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(source, False) for source in reversed(node.inputs)]
