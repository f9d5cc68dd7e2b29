"""TFLite operators as nodes. Layouts turn from (H, W, C) to (C, H, W) here and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.errors import CompileError
from hwsim.importer import tflite_file
from hwsim.importer.codes import Codes, checked_codes, integer_range
from hwsim.importer.graph import (
    AddNode,
    AverageNode,
    Bias,
    ClampNode,
    ConcatNode,
    ConvNode,
    FileGraph,
    FileInput,
    FileNode,
    LinearNode,
    PadNode,
    PointwiseNode,
    PoolNode,
    QuantizeNode,
    ReshapeNode,
    Shape,
    SoftmaxNode,
    Weights,
)
from hwsim.importer.limits import refuse
from hwsim.importer.tflite_file import Operator, Tensor, TfliteModel
from hwsim.program.layers import Window

#: Integers that values between layers may be.
INTEGERS = {"int8": (8, True), "uint8": (8, False), "int16": (16, True)}
#: ActivationFunctionType -> what it clamps to.
FUSED = {0: None, 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
CLAMPS = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0),
          "RELU_0_TO_1": (0.0, 1.0)}  # fmt: skip
POINTWISE = {"LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hard_swish",
             "LEAKY_RELU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "EXP": "exp",
             "ABS": "abs", "SQUARE": "square"}  # fmt: skip
SAME, VALID = 0, 1


def read(path: Path) -> FileGraph:
    """The graph of a .tflite file.

    Raises
    ------
    InputError
        For a file that is none or is damaged.
    CompileError
        In one line with name, operator and remedy, for what no engine can run.
    """
    return _Reader(tflite_file.read(path)).graph()


class _Reader:
    def __init__(self, model: TfliteModel) -> None:
        self.model = model
        self.nodes: list[FileNode] = []
        #: Shape of every value, channels first, without the batch axis.
        self.shapes: dict[str, Shape] = {}
        #: Values whose order is (H, W, C), flattened: what they were, (C, H, W).
        self.flattened: dict[str, Shape] = {}
        self.names = names_of(model)

    def graph(self) -> FileGraph:
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise CompileError(
                f"the network has {len(self.model.inputs)} inputs and {len(self.model.outputs)} "
                "outputs: the engine runs networks with one of each: export the part between two"
            )
        given = self.model.tensors[self.model.inputs[0]]
        source = self.names[given.index]
        self.shapes[source] = _channels_first(given)
        image = FileInput(source, self.shapes[source], _codes(given), len(given.shape) == 4)
        for operator in self.model.operators:
            self._operator(operator)
        output = self.names[self.model.outputs[0]]
        if output in self.flattened:
            raise CompileError(f"{output}: RESHAPE gives a map as the output: end in a vector")
        quantized = any(isinstance(node, QuantizeNode) for node in self.nodes)
        dialect = "tflite-int8" if quantized else "tflite-float"
        notes: tuple[str, ...] = ()
        if not quantized and any(
            isinstance(node, ConvNode | LinearNode) and node.weights.scales for node in self.nodes
        ):
            notes = ("its weights are integers, its activations are not: both are chosen anew",)
        return FileGraph(dialect, "", image, tuple(self.nodes), output, notes)

    # --- operators --------------------------------------------------------------------------------

    def _operator(self, op: Operator) -> None:
        makers: dict[str, Callable[[Operator, Tensor], None]] = {
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "FULLY_CONNECTED": self._linear,
            "ADD": self._add,
            "SUB": self._add,
            "AVERAGE_POOL_2D": self._pool,
            "MAX_POOL_2D": self._pool,
            "MEAN": self._mean,
            "CONCATENATION": self._concat,
            "PAD": self._pad,
            "SOFTMAX": self._softmax,
            "LOG_SOFTMAX": self._softmax,
            **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), self._reshape),
            **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), self._quantize),
            **dict.fromkeys(CLAMPS, self._clamp),
            **dict.fromkeys(POINTWISE, self._pointwise),
        }
        name = self.names[op.outputs[0]] if op.outputs else ""
        if op.name not in makers or len(op.outputs) != 1:
            raise refuse(
                name,
                op.name,
                "is nothing that the engine runs",
                "it runs convolutions, fully connected layers, pools, sums, concatenations and "
                "functions of single values: replace it",
            )
        makers[op.name](op, self.model.tensors[op.outputs[0]])

    def _conv(self, op: Operator, out: Tensor) -> None:
        weights = self._constant(op, 1, 4)
        values = self._weights(op, weights, weights.constant_values.transpose(0, 3, 1, 2), 0)
        shape = self._source_shape(op, 3)
        groups, rest = divmod(shape[0], values.values.shape[1])
        if rest:
            raise refuse(
                self._name(op),
                op.name,
                "has weights of other channels than its input",
                "the file is damaged: convert it again",
            )
        self._convolution(op, out, values, self._window(op, values.values.shape[2:], shape), groups)

    def _depthwise(self, op: Operator, out: Tensor) -> None:
        weights = self._constant(op, 1, 4)
        turned = weights.constant_values.transpose(3, 0, 1, 2)
        values = self._weights(op, weights, turned, 3)
        shape = self._source_shape(op, 3)
        if turned.shape[0] % shape[0]:
            raise refuse(
                self._name(op),
                op.name,
                "has weights of other channels than its input",
                "the file is damaged: convert it again",
            )
        window = self._window(op, turned.shape[2:], shape)
        self._convolution(op, out, values, window, shape[0])

    def _convolution(
        self, op: Operator, out: Tensor, values: Weights, window: Window, groups: int
    ) -> None:
        name = self._name(op)
        source = self._source(op)
        sides = window.out_sides(*self.shapes[source][1:])
        bias = self._bias(op, len(values.values), values)
        shape = (len(values.values), *sides)
        self._end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: ConvNode(
                name, op.name, (source,), target, shape, values, bias, window, groups
            ),
        )

    def _linear(self, op: Operator, out: Tensor) -> None:
        weights = self._constant(op, 1, 2)
        if op.option("WeightsFormat") != 0:
            raise refuse(self._name(op), op.name, "has shuffled weights", "convert it again")
        source = self._source(op)
        matrix = weights.constant_values
        was = self.flattened.get(source)
        if was is None and len(self.shapes[source]) == 3:
            was = self.shapes[source]
        size = int(np.prod(self.shapes[source]))
        if matrix.shape[1] != size:
            raise refuse(
                self._name(op),
                op.name,
                f"has weights for {matrix.shape[1]} inputs and gets {size}",
                "run it on one vector an image",
            )
        if was is not None:
            channels, height, width = was
            matrix = matrix.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
            matrix = matrix.reshape(len(matrix), -1)
        if len(self.shapes[source]) == 3:
            flat = f"{self.names[out.index]}/flattened"
            self._add_node(ReshapeNode(self._name(op), op.name, (source,), flat, (size,)))
            source = flat
        values = self._weights(op, weights, matrix, 0)
        bias = self._bias(op, len(matrix), values)
        self._end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: LinearNode(
                self._name(op), op.name, (source,), target, (len(matrix),), values, bias
            ),
        )

    def _add(self, op: Operator, out: Tensor) -> None:
        name = self._name(op)
        sources = tuple(self._source(op, number) for number in (0, 1))
        one, two = (self.shapes[source] for source in sources)
        if one != two:
            raise refuse(
                name,
                op.name,
                f"adds shapes {one} and {two}",
                "the engine adds maps of one shape: expand the smaller",
            )
        gains = (1.0, 1.0 if op.name == "ADD" else -1.0)
        self._end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: AddNode(name, op.name, sources, target, one, gains),
        )

    def _pool(self, op: Operator, out: Tensor) -> None:
        name, source = self._name(op), self._source(op)
        kernel = op.option("FilterHeight"), op.option("FilterWidth")
        shape = self._source_shape(op, 3)
        window = self._window(op, kernel, shape, dilated=False)
        kind: Callable[..., FileNode] = PoolNode
        if op.name == "AVERAGE_POOL_2D":
            kind = AverageNode
            if any(window.padding):
                raise refuse(
                    name,
                    op.name,
                    "averages windows that reach beyond the map",
                    "the engine averages inside of it: use padding VALID",
                )
        out_shape = (shape[0], *window.out_sides(*shape[1:]))
        self._end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: kind(name, op.name, (source,), target, out_shape, window),
            keeps=op.name == "MAX_POOL_2D",
        )

    def _mean(self, op: Operator, out: Tensor) -> None:
        name, source = self._name(op), self._source(op)
        axes = self._constant(op, 1, None).constant_values.reshape(-1).tolist()
        channels, height, width = self._source_shape(op, 3)
        if sorted(axis % 4 for axis in axes) != [1, 2]:
            raise refuse(
                name,
                op.name,
                f"averages the axes {axes}",
                "the engine averages whole maps, axes 1 and 2",
            )
        window = Window((height, width))
        shape = (channels, 1, 1) if op.option("KeepDims") else (channels,)
        self._end(
            op, out, 0, lambda target: AverageNode(name, op.name, (source,), target, shape, window)
        )

    def _concat(self, op: Operator, out: Tensor) -> None:
        name = self._name(op)
        sources = tuple(self._source(op, number) for number in range(len(op.inputs)))
        shapes = [self.shapes[source] for source in sources]
        axis = op.option("Axis") % max(1, len(out.shape))
        same = len({shape[1:] for shape in shapes}) == 1
        if axis != len(out.shape) - 1 or not same or any(s in self.flattened for s in sources):
            raise refuse(
                name,
                op.name,
                f"puts maps together along axis {axis}",
                "the engine has channels behind each other",
            )
        shape = (sum(one[0] for one in shapes), *shapes[0][1:])
        self._end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: ConcatNode(name, op.name, sources, target, shape),
        )

    def _pad(self, op: Operator, out: Tensor) -> None:
        name, source = self._name(op), self._source(op)
        sides = self._constant(op, 1, 2).constant_values.tolist()
        channels, height, width = self._source_shape(op, 3)
        if len(sides) != 4 or any(min(pair) < 0 or len(pair) != 2 for pair in sides):
            raise refuse(name, op.name, "has sides that are no padding", "convert it again")
        if sides[0] != [0, 0] or sides[3] != [0, 0]:
            raise refuse(name, op.name, "pads channels or images", "pad height and width only")
        (top, bottom), (left, right) = sides[1:3]
        shape = (channels, height + top + bottom, width + left + right)
        around = (top, left, bottom, right)
        self._end(
            op,
            out,
            0,
            lambda target: PadNode(name, op.name, (source,), target, shape, around),
            keeps=True,
        )

    def _softmax(self, op: Operator, out: Tensor) -> None:
        source, target = self._source(op), self.names[out.index]
        shape = self.shapes[source]
        self._add_node(SoftmaxNode(self._name(op), op.name, (source,), target, shape))

    def _reshape(self, op: Operator, out: Tensor) -> None:
        name, source, target = self._name(op), self._source(op), self.names[out.index]
        shape = _channels_first(out)
        before = self.shapes[source]
        if int(np.prod(shape)) != int(np.prod(before)):
            raise refuse(
                name,
                op.name,
                f"makes {shape} of {before}",
                "the engine keeps every image to itself",
            )
        if len(shape) == 3 and shape != before:
            spatial = shape[1] * shape[2]
            if spatial > 1 and (len(before) == 3 or shape[0] > 1):
                raise refuse(
                    name,
                    op.name,
                    f"makes a map {shape} of {before}",
                    "the engine flattens maps and nothing else",
                )
        if len(shape) == 1 and len(before) == 3 and before[1] * before[2] > 1:
            self.flattened[target] = before
        if source in self.flattened and len(shape) == 1:
            self.flattened[target] = self.flattened[source]
        self._add_node(ReshapeNode(name, op.name, (source,), target, shape))

    def _quantize(self, op: Operator, out: Tensor) -> None:
        name, source, target = self._name(op), self._source(op), self.names[out.index]
        shape = self.shapes[source]
        if source in self.flattened:
            self.flattened[target] = self.flattened[source]
        codes = _codes(out)
        if codes is None:
            self._add_node(ReshapeNode(name, op.name, (source,), target, shape))
        else:
            self._add_node(
                QuantizeNode(name, op.name, (source,), target, shape, codes, "kernel", target)
            )

    def _clamp(self, op: Operator, out: Tensor) -> None:
        name, source = self._name(op), self._source(op)
        low, high = CLAMPS[op.name]
        shape = self.shapes[source]
        self._end(
            op, out, 0, lambda target: ClampNode(name, op.name, (source,), target, shape, low, high)
        )

    def _pointwise(self, op: Operator, out: Tensor) -> None:
        name, source = self._name(op), self._source(op)
        shape = self.shapes[source]
        parameters: dict[str, float] = {}
        if op.name == "LEAKY_RELU":
            parameters = {"alpha": float(op.option("Alpha"))}
        elif op.name == "GELU":
            parameters = {"approximate": float(op.option("Approximate"))}
        self._end(
            op,
            out,
            0,
            lambda target: PointwiseNode(
                name, op.name, (source,), target, shape, POINTWISE[op.name], parameters
            ),
        )

    # --- parts ------------------------------------------------------------------------------------

    def _end(
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
                self._name(op),
                op.name,
                f"ends in activation number {activation}",
                "use none, ReLU or ReLU6",
            )
        target = self.names[out.index]
        codes = _codes(out)
        clamp = FUSED[activation]
        if keeps and clamp is None and codes == _codes(self.model.tensors[op.inputs[0]]):
            codes = None
        steps = [codes is not None, clamp is not None]
        made = make(target if not any(steps) else f"{target}/values")
        self._add_node(made)
        last = made.output
        if clamp is not None:
            behind = target if codes is None else f"{target}/clamped"
            self._add_node(ClampNode(made.name, op.name, (last,), behind, made.shape, *clamp))
            last = behind
        if codes is not None:
            self._add_node(
                QuantizeNode(
                    made.name, op.name, (last,), target, made.shape, codes, "kernel", target
                )
            )

    def _add_node(self, node: FileNode) -> None:
        self.nodes.append(node)
        self.shapes[node.output] = node.shape

    def _name(self, op: Operator) -> str:
        return self.names[op.outputs[0]]

    def _source(self, op: Operator, number: int = 0) -> str:
        """The value that an operator reads, and no constant."""
        index = op.inputs[number] if number < len(op.inputs) else -1
        if index < 0 or self.names[index] not in self.shapes:
            raise refuse(
                self._name(op),
                op.name,
                "computes with a constant in the place of a map",
                "fold constants when the file is made",
            )
        return self.names[index]

    def _source_shape(self, op: Operator, axes: int) -> Shape:
        shape = self.shapes[self._source(op)]
        if len(shape) != axes or self._source(op) in self.flattened:
            raise refuse(
                self._name(op),
                op.name,
                f"works on the shape {shape}",
                "the engine has it for maps (N, H, W, C)",
            )
        return shape

    def _constant(self, op: Operator, number: int, axes: int | None) -> Any:
        index = op.inputs[number] if number < len(op.inputs) else -1
        found = self.model.tensors[index] if index >= 0 else None
        if found is None or found.constant is None:
            raise refuse(
                self._name(op),
                op.name,
                "has weights that are computed",
                "the engine has them in memory: make them constants",
            )
        if axes is not None and found.constant.ndim != axes:
            raise refuse(
                self._name(op),
                op.name,
                f"has constants of shape {found.shape}",
                f"the file is damaged: {axes} axes are due",
            )
        return _Constant(found)

    def _weights(self, op: Operator, tensor: Any, values: Any, axis: int) -> Weights:
        """Weights whose output channels stand first now, on axis ``axis`` in the file."""
        found: Tensor = tensor.tensor
        if found.type == "float32":
            return Weights(np.ascontiguousarray(values))
        if found.type not in ("int8", "uint8") or not len(found.scales):
            raise refuse(
                self._name(op),
                op.name,
                f"has weights of type {found.type}",
                "the engine takes int8, uint8 and float32",
            )
        if len(found.scales) > 1 and found.axis != axis:
            raise refuse(
                self._name(op),
                op.name,
                f"has weight scales along axis {found.axis}",
                "the engine has one a row: quantize by output channel",
            )
        low, high = integer_range(*INTEGERS[found.type])
        if not ((found.zeros >= low) & (found.zeros <= high)).all():
            raise refuse(
                self._name(op),
                op.name,
                "has weights with a zero point out of range",
                "the file is damaged: convert it again",
            )
        zeros = found.zeros.reshape((-1,) + (1,) * (values.ndim - 1))
        words = values.astype(np.int32) - zeros.astype(np.int32)
        return Weights(np.ascontiguousarray(words), tuple(Fraction(float(s)) for s in found.scales))

    def _bias(self, op: Operator, count: int, weights: Weights) -> Bias | None:
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return None
        found = self._constant(op, 2, 1).tensor
        if found.constant.shape != (count,):
            raise refuse(
                self._name(op),
                op.name,
                f"has {len(found.constant)} biases for {count} channels",
                "the file is damaged: convert it again",
            )
        if found.type == "float32":
            return Bias(found.constant.astype(np.float64))
        if weights.scales is None or found.type not in ("int32", "int64"):
            raise refuse(
                self._name(op),
                op.name,
                f"has biases of type {found.type}",
                "the engine takes int32 and float32",
            )
        return Bias(found.constant.astype(np.int64), integer=True)

    def _window(self, op: Operator, kernel: Any, shape: Shape, dilated: bool = True) -> Window:
        stride = op.option("StrideH"), op.option("StrideW")
        if dilated and (op.option("DilationHFactor"), op.option("DilationWFactor")) != (1, 1):
            raise refuse(
                self._name(op),
                op.name,
                "has dilated windows",
                "the engine has windows without holes: use dilation 1",
            )
        if min(*stride, *kernel) < 1:
            raise refuse(
                self._name(op),
                op.name,
                f"has a window of {tuple(kernel)} and stride {stride}",
                "the file is damaged: convert it again",
            )
        if op.option("Padding") not in (SAME, VALID):
            raise refuse(
                self._name(op), op.name, "has a padding that is not known", "use SAME or VALID"
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


def _codes(tensor: Tensor) -> Codes | None:
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


def _channels_first(tensor: Tensor) -> Shape:
    shape = tensor.shape[1:]
    if len(tensor.shape) == 4:
        return shape[2], shape[0], shape[1]
    if len(tensor.shape) != 2:
        raise CompileError(
            f"{tensor.name}: has the shape {tensor.shape}: the engine runs maps (N, H, W, C) and "
            "vectors (N, F)"
        )
    return shape
