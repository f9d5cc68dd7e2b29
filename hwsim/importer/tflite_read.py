"""TFLite operators as nodes. Layouts turn from (H, W, C) to (C, H, W) when they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwsim.errors import CompileError, HwsimError
from hwsim.importer import tflite_file
from hwsim.importer.graph import (
    AddNode,
    AverageNode,
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
    SoftmaxNode,
    Weights,
)
from hwsim.importer.limits import DAMAGED, MISFITS, refuse
from hwsim.importer.tflite_file import Operator, Tensor
from hwsim.importer.tflite_values import TfliteValues, channels_first, codes_of
from hwsim.program.layers import Window

CLAMPS = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0),
          "RELU_0_TO_1": (0.0, 1.0)}  # fmt: skip
POINTWISE = {"LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hard_swish",
             "LEAKY_RELU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "EXP": "exp",
             "ABS": "abs", "SQUARE": "square"}  # fmt: skip


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


class _Reader(TfliteValues):
    def graph(self) -> FileGraph:
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise CompileError(
                f"the network has {len(self.model.inputs)} inputs and {len(self.model.outputs)} "
                "outputs: the engine runs networks with one of each: export the part between two"
            )
        given = self.model.tensors[self.model.inputs[0]]
        source = self.names[given.index]
        self.shapes[source] = channels_first(given)
        image = FileInput(source, self.shapes[source], codes_of(given), len(given.shape) == 4)
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
        try:
            makers[op.name](op, self.model.tensors[op.outputs[0]])
        except HwsimError:
            raise
        except MISFITS:
            raise refuse(name, op.name, *DAMAGED) from None

    def _conv(self, op: Operator, out: Tensor) -> None:
        weights = self.constant(op, 1, 4)
        values = self.weights(op, weights, weights.constant_values.transpose(0, 3, 1, 2), 0)
        shape = self.source_shape(op, 3)
        groups, rest = divmod(shape[0], values.values.shape[1])
        if rest:
            raise refuse(
                self.name(op),
                op.name,
                "has weights of other channels than its input",
                "the file is damaged: convert it again",
            )
        self._convolution(op, out, values, self.window(op, values.values.shape[2:], shape), groups)

    def _depthwise(self, op: Operator, out: Tensor) -> None:
        weights = self.constant(op, 1, 4)
        turned = weights.constant_values.transpose(3, 0, 1, 2)
        values = self.weights(op, weights, turned, 3)
        shape = self.source_shape(op, 3)
        if turned.shape[0] % shape[0]:
            raise refuse(
                self.name(op),
                op.name,
                "has weights of other channels than its input",
                "the file is damaged: convert it again",
            )
        window = self.window(op, turned.shape[2:], shape)
        self._convolution(op, out, values, window, shape[0])

    def _convolution(
        self, op: Operator, out: Tensor, values: Weights, window: Window, groups: int
    ) -> None:
        name = self.name(op)
        source = self.source(op)
        sides = window.out_sides(*self.shapes[source][1:])
        bias = self.bias(op, len(values.values), values)
        shape = (len(values.values), *sides)
        self.end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: ConvNode(
                name, op.name, (source,), target, shape, values, bias, window, groups
            ),
        )

    def _linear(self, op: Operator, out: Tensor) -> None:
        weights = self.constant(op, 1, 2)
        if op.option("WeightsFormat") != 0:
            raise refuse(self.name(op), op.name, "has shuffled weights", "convert it again")
        source = self.source(op)
        matrix = weights.constant_values
        was = self.flattened.get(source)
        if was is None and len(self.shapes[source]) == 3:
            was = self.shapes[source]
        size = int(np.prod(self.shapes[source]))
        if matrix.shape[1] != size:
            raise refuse(
                self.name(op),
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
            self.add_node(ReshapeNode(self.name(op), op.name, (source,), flat, (size,)))
            source = flat
        values = self.weights(op, weights, matrix, 0)
        bias = self.bias(op, len(matrix), values)
        self.end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: LinearNode(
                self.name(op), op.name, (source,), target, (len(matrix),), values, bias
            ),
        )

    def _add(self, op: Operator, out: Tensor) -> None:
        name = self.name(op)
        sources = tuple(self.source(op, number) for number in (0, 1))
        one, two = (self.shapes[source] for source in sources)
        if one != two:
            raise refuse(
                name,
                op.name,
                f"adds shapes {one} and {two}",
                "the engine adds maps of one shape: expand the smaller",
            )
        gains = (1.0, 1.0 if op.name == "ADD" else -1.0)
        self.end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: AddNode(name, op.name, sources, target, one, gains),
        )

    def _pool(self, op: Operator, out: Tensor) -> None:
        name, source = self.name(op), self.source(op)
        kernel = op.option("FilterHeight"), op.option("FilterWidth")
        shape = self.source_shape(op, 3)
        window = self.window(op, kernel, shape, dilated=False)
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
        self.end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: kind(name, op.name, (source,), target, out_shape, window),
            keeps=op.name == "MAX_POOL_2D",
        )

    def _mean(self, op: Operator, out: Tensor) -> None:
        name, source = self.name(op), self.source(op)
        axes = self.constant(op, 1, None).constant_values.reshape(-1).tolist()
        channels, height, width = self.source_shape(op, 3)
        if sorted(axis % 4 for axis in axes) != [1, 2]:
            raise refuse(
                name,
                op.name,
                f"averages the axes {axes}",
                "the engine averages whole maps, axes 1 and 2",
            )
        window = Window((height, width))
        shape = (channels, 1, 1) if op.option("KeepDims") else (channels,)
        self.end(
            op, out, 0, lambda target: AverageNode(name, op.name, (source,), target, shape, window)
        )

    def _concat(self, op: Operator, out: Tensor) -> None:
        name = self.name(op)
        sources = tuple(self.source(op, number) for number in range(len(op.inputs)))
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
        self.end(
            op,
            out,
            op.option("FusedActivationFunction"),
            lambda target: ConcatNode(name, op.name, sources, target, shape),
        )

    def _pad(self, op: Operator, out: Tensor) -> None:
        name, source = self.name(op), self.source(op)
        sides = self.constant(op, 1, 2).constant_values.tolist()
        channels, height, width = self.source_shape(op, 3)
        if len(sides) != 4 or any(min(pair) < 0 or len(pair) != 2 for pair in sides):
            raise refuse(name, op.name, "has sides that are no padding", "convert it again")
        if sides[0] != [0, 0] or sides[3] != [0, 0]:
            raise refuse(name, op.name, "pads channels or images", "pad height and width only")
        (top, bottom), (left, right) = sides[1:3]
        shape = (channels, height + top + bottom, width + left + right)
        around = (top, left, bottom, right)
        self.end(
            op,
            out,
            0,
            lambda target: PadNode(name, op.name, (source,), target, shape, around),
            keeps=True,
        )

    def _softmax(self, op: Operator, out: Tensor) -> None:
        source, target = self.source(op), self.names[out.index]
        shape = self.shapes[source]
        self.add_node(SoftmaxNode(self.name(op), op.name, (source,), target, shape))

    def _reshape(self, op: Operator, out: Tensor) -> None:
        name, source, target = self.name(op), self.source(op), self.names[out.index]
        shape = channels_first(out)
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
        self.add_node(ReshapeNode(name, op.name, (source,), target, shape))

    def _quantize(self, op: Operator, out: Tensor) -> None:
        name, source, target = self.name(op), self.source(op), self.names[out.index]
        shape = self.shapes[source]
        if source in self.flattened:
            self.flattened[target] = self.flattened[source]
        codes = codes_of(out)
        if codes is None:
            self.add_node(ReshapeNode(name, op.name, (source,), target, shape))
        else:
            self.add_node(
                QuantizeNode(name, op.name, (source,), target, shape, codes, "kernel", target)
            )

    def _clamp(self, op: Operator, out: Tensor) -> None:
        name, source = self.name(op), self.source(op)
        low, high = CLAMPS[op.name]
        shape = self.shapes[source]
        self.end(
            op, out, 0, lambda target: ClampNode(name, op.name, (source,), target, shape, low, high)
        )

    def _pointwise(self, op: Operator, out: Tensor) -> None:
        name, source = self.name(op), self.source(op)
        shape = self.shapes[source]
        parameters: dict[str, float] = {}
        if op.name == "LEAKY_RELU":
            parameters = {"alpha": float(op.option("Alpha"))}
        elif op.name == "GELU":
            parameters = {"approximate": float(op.option("Approximate"))}
        self.end(
            op,
            out,
            0,
            lambda target: PointwiseNode(
                name, op.name, (source,), target, shape, POINTWISE[op.name], parameters
            ),
        )
