"""What is known of a .tflite file's tensors while operators are read, and their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from hwsim.errors import CompileError
from hwsim.importer.codes import Codes, checked_codes, integer_range
from hwsim.importer.graph import (
    Bias,
    ClampNode,
    FileNode,
    QuantizeNode,
    Shape,
    Weights,
)
from hwsim.importer.limits import refuse
from hwsim.importer.tflite_file import Operator, Tensor, TfliteModel
from hwsim.program.layers import Window

#: Integers that values between layers may be.
INTEGERS = {"int8": (8, True), "uint8": (8, False), "int16": (16, True)}
#: ActivationFunctionType -> what it clamps to.
FUSED = {0: None, 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
SAME, VALID = 0, 1


class TfliteValues:
    """Names, shapes and nodes so far."""

    def __init__(self, model: TfliteModel) -> None:
        self.model = model
        self.nodes: list[FileNode] = []
        #: Shape of every value, channels first, without the batch axis.
        self.shapes: dict[str, Shape] = {}
        #: Values whose order is (H, W, C), flattened: what they were, (C, H, W).
        self.flattened: dict[str, Shape] = {}
        self.names = names_of(model)

    def end(
        self,
        op: Operator,
        out: Tensor,
        activation: int,
        make: Callable[[str], FileNode],
        keeps: bool = False,
    ) -> None:
        """The node that ``make`` gives for a target, its activation, and its codes.

        keeps: whether it only moves values, so that the codes of its input stay.
        """
        if activation not in FUSED:
            raise refuse(
                self.name(op),
                op.name,
                f"ends in activation number {activation}",
                "use none, ReLU or ReLU6",
            )
        target = self.names[out.index]
        codes = codes_of(out)
        clamp = FUSED[activation]
        if keeps and clamp is None and codes == codes_of(self.model.tensors[op.inputs[0]]):
            codes = None
        steps = [codes is not None, clamp is not None]
        made = make(target if not any(steps) else f"{target}/values")
        self.add_node(made)
        last = made.output
        if clamp is not None:
            behind = target if codes is None else f"{target}/clamped"
            self.add_node(ClampNode(made.name, op.name, (last,), behind, made.shape, *clamp))
            last = behind
        if codes is not None:
            self.add_node(
                QuantizeNode(
                    made.name, op.name, (last,), target, made.shape, codes, "kernel", target
                )
            )

    def add_node(self, node: FileNode) -> None:
        self.nodes.append(node)
        self.shapes[node.output] = node.shape

    def name(self, op: Operator) -> str:
        return self.names[op.outputs[0]]

    def source(self, op: Operator, number: int = 0) -> str:
        """The value that an operator reads, and no constant."""
        index = op.inputs[number] if number < len(op.inputs) else -1
        if index < 0 or self.names[index] not in self.shapes:
            raise refuse(
                self.name(op),
                op.name,
                "computes with a constant in the place of a map",
                "fold constants when the file is made",
            )
        return self.names[index]

    def source_shape(self, op: Operator, axes: int) -> Shape:
        shape = self.shapes[self.source(op)]
        if len(shape) != axes or self.source(op) in self.flattened:
            raise refuse(
                self.name(op),
                op.name,
                f"works on the shape {shape}",
                "the engine has it for maps (N, H, W, C)",
            )
        return shape

    def constant(self, op: Operator, number: int, axes: int | None) -> Any:
        index = op.inputs[number] if number < len(op.inputs) else -1
        found = self.model.tensors[index] if index >= 0 else None
        if found is None or found.constant is None:
            raise refuse(
                self.name(op),
                op.name,
                "has weights that are computed",
                "the engine has them in memory: make them constants",
            )
        if axes is not None and found.constant.ndim != axes:
            raise refuse(
                self.name(op),
                op.name,
                f"has constants of shape {found.shape}",
                f"the file is damaged: {axes} axes are due",
            )
        return _Constant(found)

    def weights(self, op: Operator, tensor: Any, values: Any, axis: int) -> Weights:
        """Weights whose output channels stand first now, on axis ``axis`` in the file."""
        found: Tensor = tensor.tensor
        if found.type == "float32":
            return Weights(np.ascontiguousarray(values))
        if found.type not in ("int8", "uint8") or not len(found.scales):
            raise refuse(
                self.name(op),
                op.name,
                f"has weights of type {found.type}",
                "the engine takes int8, uint8 and float32",
            )
        if len(found.scales) > 1 and found.axis != axis:
            raise refuse(
                self.name(op),
                op.name,
                f"has weight scales along axis {found.axis}",
                "the engine has one a row: quantize by output channel",
            )
        low, high = integer_range(*INTEGERS[found.type])
        if not ((found.zeros >= low) & (found.zeros <= high)).all():
            raise refuse(
                self.name(op),
                op.name,
                "has weights with a zero point out of range",
                "the file is damaged: convert it again",
            )
        zeros = found.zeros.reshape((-1,) + (1,) * (values.ndim - 1))
        words = values.astype(np.int32) - zeros.astype(np.int32)
        return Weights(np.ascontiguousarray(words), tuple(Fraction(float(s)) for s in found.scales))

    def bias(self, op: Operator, count: int, weights: Weights) -> Bias | None:
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return None
        found = self.constant(op, 2, 1).tensor
        if found.constant.shape != (count,):
            raise refuse(
                self.name(op),
                op.name,
                f"has {len(found.constant)} biases for {count} channels",
                "the file is damaged: convert it again",
            )
        if found.type == "float32":
            return Bias(found.constant.astype(np.float64))
        if weights.scales is None or found.type not in ("int32", "int64"):
            raise refuse(
                self.name(op),
                op.name,
                f"has biases of type {found.type}",
                "the engine takes int32 and float32",
            )
        return Bias(found.constant.astype(np.int64), integer=True)

    def window(self, op: Operator, kernel: Any, shape: Shape, dilated: bool = True) -> Window:
        stride = op.option("StrideH"), op.option("StrideW")
        if dilated and (op.option("DilationHFactor"), op.option("DilationWFactor")) != (1, 1):
            raise refuse(
                self.name(op),
                op.name,
                "has dilated windows",
                "the engine has windows without holes: use dilation 1",
            )
        if min(*stride, *kernel) < 1:
            raise refuse(
                self.name(op),
                op.name,
                f"has a window of {tuple(kernel)} and stride {stride}",
                "the file is damaged: convert it again",
            )
        if op.option("Padding") not in (SAME, VALID):
            raise refuse(
                self.name(op), op.name, "has a padding that is not known", "use SAME or VALID"
            )
        rows = cols = (0, 0)
        if op.option("Padding") == SAME:
            rows, cols = (
                same_sides(side, k, step)
                for side, k, step in zip(shape[1:], kernel, stride, strict=True)
            )
        padding = rows[0], cols[0], rows[1], cols[1]
        return Window((int(kernel[0]), int(kernel[1])), stride, padding)


class _Constant:
    """A tensor that has values."""

    def __init__(self, tensor: Tensor) -> None:
        assert tensor.constant is not None
        self.tensor, self.constant_values = tensor, tensor.constant


def same_sides(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, behind): the padding SAME of one axis; what is left over goes behind."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def names_of(model: TfliteModel) -> list[str]:
    """The names of a file's tensors, with a number behind those that are none or stand twice."""
    names = [tensor.name for tensor in model.tensors]
    seen = Counter(names)
    return [
        name if name and seen[name] == 1 else f"{name or 'tensor'}#{index}"
        for index, name in enumerate(names)
    ]


def codes_of(tensor: Tensor) -> Codes | None:
    """What the integers of a tensor mean; None of real numbers."""
    if tensor.type not in INTEGERS:
        return None
    if len(tensor.scales) != 1:
        what = "several scales" if len(tensor.scales) else "no scale"
        raise CompileError(
            f"{tensor.name}: holds {tensor.type} with {what}: the engine has one scale a map: "
            "quantize activations per tensor"
        )
    low, high = integer_range(*INTEGERS[tensor.type])
    return checked_codes(
        f"{tensor.name}:", float(tensor.scales[0]), int(tensor.zeros[0]), low, high
    )


def channels_first(tensor: Tensor) -> Shape:
    """The shape of a tensor (N, H, W, C) or (N, F) as (C, H, W) or (F,)."""
    shape = tensor.shape[1:]
    if len(tensor.shape) == 4:
        return shape[2], shape[0], shape[1]
    if len(tensor.shape) != 2:
        raise CompileError(
            f"{tensor.name}: has the shape {tensor.shape}: the engine runs maps (N, H, W, C) and "
            "vectors (N, F)"
        )
    return shape
