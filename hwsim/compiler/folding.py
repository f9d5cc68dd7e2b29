"""Operations that the engine has no unit for, folded into those that can absorb them exactly.

A softmax at the end is dropped. Products of two functions of one map become one function. Zeros
around a map become padding of the layer behind them; copies of a pixel become sums of the weights
that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.compiler.graph import Graph, Node, reaching
from hwsim.compiler.operations import (
    F64,
    Affine,
    Average,
    Clamp,
    Concat,
    Copies,
    Flatten,
    InputOp,
    Mac,
    Multiply,
    Op,
    Pad,
    Pointwise,
    Pool,
    Sides,
    Slice,
    Softmax,
)
from hwsim.compiler.read_layers import dense
from hwsim.errors import CompileError


def folded(graph: Graph) -> tuple[Graph, list[str]]:
    """The same function in operations that have a unit, and notes on what was dropped.

    Raises CompileError, naming the path, where something cannot be folded exactly.
    """
    graph, notes = _without_softmax(graph)
    graph = graph.rebuilt(_multiplied)
    return _without_zeros_and_copies(graph), notes


def _without_softmax(graph: Graph) -> tuple[Graph, list[str]]:
    notes: list[str] = []
    node = graph.output
    while isinstance(node.op, Softmax):
        notes.append(
            f"{node.path}: softmax at the end dropped: the engine returns logits, the class is the "
            "same, and losses apply it"
        )
        (node,) = node.inputs
    for inner in reaching(node).nodes:
        if isinstance(inner.op, Softmax):
            raise CompileError(
                f"{inner.path}: softmax inside the network cannot run on the engine: only at the "
                "end it can be dropped: remove it"
            )
    return reaching(node), notes


# --- products -----------------------------------------------------------------------------------

#: What every Op begins with.
Fields = tuple[str, tuple[int, ...], NDArray[np.float32], F64]
Function = Callable[[Tensor], Tensor]


def _multiplied(node: Node, inputs: tuple[Node, ...]) -> Node:
    """x · f(x), as SiLU and Hardswish are spelt, is a function of x."""
    if not isinstance(node.op, Multiply):
        return Node(node.op, inputs)
    first, second = (_single_values(one) for one in inputs)
    for source, function in first.items():
        if source in second:
            other = second[source]

            def product(x: Tensor, f: Function = function, g: Function = other) -> Tensor:
                return f(x) * g(x)

            low = 0.0 if inputs[0] is inputs[1] else -np.inf
            return Node(Pointwise(*_fields(node.op), product, low), (source,))
    raise CompileError(
        f"{node.path}: multiplies two maps, which cannot run on the engine: add or concatenate them"
    )


def _single_values(node: Node) -> dict[Node, Function]:
    """The nodes of whose single values a node's are a function, the nearest first."""
    found: dict[Node, Function] = {node: lambda x: x}
    function: Function = found[node]
    while isinstance(node.op, Clamp | Pointwise) or _is_uniform(node.op):

        def outer(x: Tensor, op: Op = node.op, behind: Function = function) -> Tensor:
            if isinstance(op, Affine):
                return behind(x * float(op.scale.flat[0]) + float(op.offset.flat[0]))
            return behind(op.apply(x))

        (node,), function = node.inputs, outer
        found[node] = function
    return found


def _is_uniform(op: Op) -> bool:
    return isinstance(op, Affine) and bool(
        np.all(op.scale == op.scale.flat[0]) and np.all(op.offset == op.offset.flat[0])
    )


def _fields(op: Op) -> Fields:
    return op.path, op.shape, op.samples, op.mean


# --- zeros and copies ---------------------------------------------------------------------------


def _without_zeros_and_copies(graph: Graph) -> Graph:
    made: dict[Node, Node] = {}
    pending: dict[Node, Pad | Copies] = {}  # on the results of nodes of the old graph
    for node in graph.nodes:
        inputs = tuple(made[source] for source in node.inputs)
        waiting = [pending[source] for source in node.inputs if source in pending]
        op = node.op
        if isinstance(op, Pad | Copies):
            made[node] = inputs[0]
            if waiting and not (isinstance(op, Pad) and isinstance(waiting[0], Pad)):
                raise _homeless(waiting[0], op.path)
            pending[node] = _together(waiting[0], op) if waiting else op
        elif not waiting:
            made[node] = Node(op, inputs)
        elif len(inputs) == 1 and _keeps_zero(op):
            # It commutes: 0 stays 0, and copies stay copies.
            made[node] = Node(_without(waiting[0], op, inputs[0].op.shape), inputs)
            pending[node] = replace(waiting[0], samples=op.samples, mean=made[node].op.mean)
        elif isinstance(op, Flatten) and isinstance(waiting[0], Copies):
            one = waiting[0]
            flat = Flatten(op.path, inputs[0].op.shape[:1], one.samples, one.mean)
            made[node] = Node(flat, inputs)
            pending[node] = waiting[0]
        elif len(inputs) == 1:
            made[node] = Node(_absorbed(waiting[0], op, inputs[0]), inputs)
        else:
            raise _homeless(waiting[0], op.path)
    if graph.output in pending:
        raise _homeless(pending[graph.output], "the end of the network")
    return reaching(made[graph.output])


def _keeps_zero(op: Op) -> bool:
    if isinstance(op, Clamp):
        return op.keeps_zero
    by_channel = isinstance(op, Affine) and np.all(op.scale == op.scale[:, :1, :1])
    return bool(by_channel) and isinstance(op, Affine) and not np.any(op.offset)


def _without(pending: Pad | Copies, op: Op, shape: tuple[int, ...]) -> Op:
    """``op`` on a map without the zeros or copies that it reads."""
    if isinstance(op, Affine):
        scale, offset = (np.broadcast_to(v[:, :1, :1], shape) for v in (op.scale, op.offset))
        op = replace(op, scale=scale, offset=offset)
    mean = op.mean
    if isinstance(pending, Pad):
        mean = mean * np.prod(op.shape[1:]) / np.prod(shape[1:])
    return replace(op, shape=shape, mean=mean)


def _together(first: Pad | Copies, second: Op) -> Pad:
    assert isinstance(first, Pad)
    assert isinstance(second, Pad)
    return replace(first, shape=second.shape, sides=_sum(first.sides, second.sides))


def _sum(one: Sides, two: Sides) -> Sides:
    left, right, top, bottom = (a + b for a, b in zip(one, two, strict=True))
    return left, right, top, bottom


def _homeless(op: Pad | Copies, behind: str) -> CompileError:
    if isinstance(op, Pad):
        return CompileError(
            f"{op.path}: zeros around the map before {behind}: the engine pads convolutions, and "
            "max-pools behind ReLU: put it directly before one, or remove it"
        )
    count = op.count
    return CompileError(
        f"{op.path}: repeats each pixel {count} times before {behind}, which only an unhashed "
        f"Linear behind nn.Flatten can absorb: remove it, and give the next layer a {count}th of "
        "its inputs"
    )


def _absorbed(pending: Pad | Copies, op: Op, source: Node) -> Op:
    if isinstance(pending, Copies):
        return _summed(pending, op)
    if isinstance(op, Mac) and op.conv:
        return replace(op, sides=_sum(pending.sides, op.sides))
    # A zero wins like a place that never does, where nothing is below it.
    if isinstance(op, Pool) and never_negative(source):
        return replace(op, sides=_sum(pending.sides, op.sides))
    if isinstance(op, Average):
        channels, size = op.shape[0], op.kernel[0] * op.kernel[1]
        spec, real = dense(np.full((channels, size), 1.0 / op.divisor))
        return Mac(
            *_fields(op), spec, real, np.zeros(channels), True, op.kernel,
            op.stride, pending.sides, channels, fixed=True,
        )  # fmt: skip
    raise _homeless(pending, op.path)


def never_negative(node: Node) -> bool:
    """Whether no value of a node is below 0."""
    op = node.op
    if isinstance(op, Clamp):
        return op.low >= 0
    if isinstance(op, Pointwise):
        return op.low >= 0
    if isinstance(op, InputOp):
        return float(op.samples.min(initial=0.0)) >= 0
    passes = isinstance(op, Pool | Flatten | Slice | Average | Concat)
    return passes and all(map(never_negative, node.inputs))


def _summed(copies: Copies, op: Op) -> Mac:
    """The Linear ``op`` on single pixels: the weights that read copies of one are added."""
    if not isinstance(op, Mac) or op.conv or op.spec.scheme != "dense":
        raise _homeless(copies, op.path)
    n_out = op.spec.n_out
    matrix = op.real.reshape(-1, copies.count, n_out).sum(1).T
    spec, real = dense(matrix)
    return replace(op, spec=spec, real=real)
