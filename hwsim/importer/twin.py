"""A file's network in float: a torch module for calibration, for gradients, for comparison."""

from __future__ import annotations

import math
import operator
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from hwsim.importer.functions import FUNCTIONS
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

#: Nodes that leave the step of their input.
_KEEP = (PoolNode, PadNode, ReshapeNode, SliceNode, ConcatNode, ClampNode)
_MODULES: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "hard_swish": nn.Hardswish, "silu": nn.SiLU,
    "mish": nn.Mish, "softplus": nn.Softplus, "softsign": nn.Softsign, "selu": nn.SELU,
}  # fmt: skip


class ByChannel(nn.Module):
    """x · scale + offset, one of each a channel."""

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.scale: Tensor
        self.offset: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) -> the same shape."""
        return x * self.scale + self.offset


class Quantizer(nn.Module):
    """The real numbers that codes stand for; straight through where they do not saturate."""

    def __init__(self, node: QuantizeNode) -> None:
        super().__init__()
        codes = node.codes
        self.step, self.zero, self.bipolar = float(codes.scale), codes.zero, node.bipolar
        self.behind_zero = node.rounding == "even-behind-zero"
        self.low, self.high = codes.range

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        inside = x.clamp(self.low, self.high)
        if self.bipolar:
            found = torch.where(x >= 0, self.step, -self.step)
        elif self.behind_zero:
            found = (torch.round(inside / self.step + self.zero) - self.zero) * self.step
        else:
            found = torch.round(inside / self.step) * self.step
        return inside + (found - inside).detach()


def twin(graph: FileGraph, *, logits: bool = False) -> fx.GraphModule:
    """The network in float32, for inference: (N, *shape) -> (N, …).

    Weights are what the file's integers are worth. Quantizers round to the real numbers that their
    codes stand for; for gradients they are the clamp of their range.

    Parameters
    ----------
    graph : FileGraph
        Of any dialect. Inputs are channels first, as of ``graph.input.shape``.
    logits : bool
        Whether a softmax at the end is left out, as the engine leaves it out.
    """
    return _Twin(graph, logits).module()


class _Twin:
    def __init__(self, graph: FileGraph, logits: bool) -> None:
        self.source, self.logits = graph, logits
        self.root, self.made = nn.Module(), fx.Graph()
        self.values: dict[str, fx.Node] = {}
        self.shapes = {graph.input.tensor: graph.input.shape}
        #: What a step of a value is worth, where it is known.
        self.steps: dict[str, float] = {}
        if graph.input.codes is not None:
            self.steps[graph.input.tensor] = float(graph.input.codes.scale)

    def module(self) -> fx.GraphModule:
        self.values[self.source.input.tensor] = self.made.placeholder("x")
        ended: set[str] = set()
        for node in self.source.nodes:
            taken = [self.values[name] for name in node.inputs]
            ends = self.logits and isinstance(node, SoftmaxNode)
            if ends or ended & set(node.inputs):
                ended.add(node.output)
                self.values[node.output] = taken[0]
            else:
                self.values[node.output] = self._node(node, taken)
            self.shapes[node.output] = node.shape
            if isinstance(node, QuantizeNode):
                self.steps[node.output] = float(node.codes.scale)
            elif node.inputs and node.inputs[0] in self.steps and isinstance(node, _KEEP):
                self.steps[node.output] = self.steps[node.inputs[0]]
        self.made.output(self.values[self.source.output])
        module = fx.GraphModule(self.root, self.made, "Imported")
        return module.eval().requires_grad_(False)

    def _node(self, node: FileNode, taken: list[fx.Node]) -> fx.Node:
        if isinstance(node, ConcatNode):
            return self.made.call_function(torch.cat, (taken, 1))
        if isinstance(node, AddNode):
            scaled = [
                x if gain in (1.0, -1.0) else self.made.call_function(operator.mul, (x, gain))
                for x, gain in zip(taken, node.gains, strict=True)
            ]
            function = operator.sub if node.gains[1] == -1.0 else operator.add
            return self.made.call_function(function, tuple(scaled))
        if isinstance(node, SliceNode):
            piece = (slice(None), slice(node.first, node.first + node.shape[0]))
            return self.made.call_function(operator.getitem, (taken[0], piece))
        if isinstance(node, ReshapeNode):
            return self._reshaped(node, taken[0])
        if isinstance(node, ClampNode):
            return self._called(node, _clamp(node.low, node.high), taken[0])
        if isinstance(node, QuantizeNode):
            return self._called(node, Quantizer(node), taken[0])
        if isinstance(node, AverageNode) and len(node.shape) == 1:
            pooled = self._called(node, self._windowed(node), taken[0])
            return self.made.call_function(torch.flatten, (pooled, 1))
        return self._called(node, self._windowed(node), taken[0])

    def _reshaped(self, node: ReshapeNode, x: fx.Node) -> fx.Node:
        if node.shape == self.shapes[node.inputs[0]]:
            return x
        if len(node.shape) == 1:
            return self.made.call_function(torch.flatten, (x, 1))
        return self.made.call_method("reshape", (x, -1, *node.shape))

    def _called(self, node: FileNode, module: nn.Module, x: fx.Node) -> fx.Node:
        base = re.sub(r"\W", "_", node.name).strip("_") or "node"
        name = base if not base[0].isdigit() else f"n{base}"
        number = 1
        while hasattr(self.root, name if number == 1 else f"{name}_{number}"):
            number += 1
        name = name if number == 1 else f"{name}_{number}"
        self.root.add_module(name, module)
        return self.made.call_module(name, (x,))

    def _windowed(self, node: FileNode) -> nn.Module:
        """What works on one map, as a module."""
        shape = self.shapes[node.inputs[0]]
        if isinstance(node, ConvNode):
            return _conv(node, len(shape) == 2, self.steps.get(node.inputs[0], 1.0))
        if isinstance(node, LinearNode):
            outputs, inputs = node.weights.values.shape
            made: Any = nn.Linear(inputs, outputs, bias=node.bias is not None)
            step = self.steps.get(node.inputs[0], 1.0)
            return _filled(made, node, node.weights.values.shape, step)
        if isinstance(node, AffineNode):
            sides = (1,) * (len(shape) - 1)
            scale, offset = (
                torch.from_numpy(one.copy()).float().reshape(-1, *sides)
                for one in (node.scale, node.offset)
            )
            return ByChannel(scale, offset)
        if isinstance(node, PointwiseNode):
            return _pointwise(node)
        if isinstance(node, AverageNode):
            kernel, stride = node.window.kernel, node.window.stride
            if len(shape) == 2:
                return nn.AvgPool1d(kernel[1], stride[1])
            return nn.AvgPool2d(kernel, stride)
        if isinstance(node, PoolNode):
            return _max_pool(node, len(shape) == 2)
        if isinstance(node, PadNode):
            top, left, bottom, right = node.sides
            return nn.ZeroPad2d((left, right, top, bottom))
        assert isinstance(node, SoftmaxNode)
        return nn.LogSoftmax(1) if "og" in node.operator.lower() else nn.Softmax(1)


def _conv(node: ConvNode, series: bool, step: float) -> nn.Module:
    window, values = node.window, node.weights.values
    top, left, bottom, right = window.padding
    even = top == bottom and left == right
    kind: Any = nn.Conv1d if series else nn.Conv2d
    axes = slice(1, 2) if series else slice(0, 2)
    padding = (top, left)[axes] if even else 0
    made = kind(
        values.shape[1] * node.groups,
        len(values),
        window.kernel[axes],
        window.stride[axes],
        padding,
        groups=node.groups,
        bias=node.bias is not None,
    )
    shape = (*values.shape[:2], *values.shape[3:]) if series else values.shape
    _filled(made, node, shape, step)
    if even:
        return made
    sides = (left, right) if series else (left, right, top, bottom)
    pad_kind: Any = nn.ConstantPad1d if series else nn.ConstantPad2d
    pad = pad_kind(sides, 0.0)
    return nn.Sequential(pad, made)


def _filled(
    module: Any, node: ConvNode | LinearNode, shape: tuple[int, ...], step: float
) -> nn.Module:
    """The module with the file's numbers; step: what one of its input is worth."""
    module.weight.data = torch.from_numpy(node.weights.real.reshape(shape).copy())
    if node.bias is not None:
        values = node.bias.values.astype(np.float64)
        if node.bias.integer and node.weights.scales is not None:
            values = values * step * np.array([float(one) for one in node.weights.scales])
        module.bias.data = torch.from_numpy(values).float()
    found: nn.Module = module
    return found


def _clamp(low: float, high: float) -> nn.Module:
    if (low, high) == (0.0, math.inf):
        return nn.ReLU()
    if (low, high) == (0.0, 6.0):
        return nn.ReLU6()
    return nn.Hardtanh(low, high)


def _pointwise(node: PointwiseNode) -> nn.Module:
    about = node.parameters
    if node.function == "leaky_relu":
        return nn.LeakyReLU(about.get("alpha", 0.01))
    if node.function == "elu":
        return nn.ELU(about.get("alpha", 1.0))
    if node.function == "gelu":
        return nn.GELU("tanh" if about.get("approximate") else "none")
    if node.function in _MODULES:
        return _MODULES[node.function]()
    return _Function(node.function, about)


class _Function(nn.Module):
    """A function that torch has no module for."""

    def __init__(self, name: str, parameters: dict[str, float]) -> None:
        super().__init__()
        self.name, self.parameters_ = name, dict(parameters)

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.name](x, **self.parameters_)


def _max_pool(node: PoolNode, series: bool) -> nn.Module:
    window = node.window
    top, left, bottom, right = window.padding
    small = top * 2 <= window.kernel[0] and left * 2 <= window.kernel[1]
    if series and left == right and left * 2 <= window.kernel[1]:
        return nn.MaxPool1d(window.kernel[1], window.stride[1], left)
    if not series and top == bottom and left == right and small:
        return nn.MaxPool2d(window.kernel, window.stride, (top, left))
    sides = (left, right) if series else (left, right, top, bottom)
    pad_kind: Any = nn.ConstantPad1d if series else nn.ConstantPad2d
    pad = pad_kind(sides, -math.inf)
    kind: Any = nn.MaxPool1d if series else nn.MaxPool2d
    axes = slice(1, 2) if series else slice(0, 2)
    return nn.Sequential(pad, kind(window.kernel[axes], window.stride[axes]))
