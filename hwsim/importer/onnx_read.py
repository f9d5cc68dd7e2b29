"""ONNX files as nodes: values, constants, shapes and codes are kept here, operators beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError, HwsimError
from hwsim.importer import onnx_file, onnx_fold
from hwsim.importer.codes import Codes
from hwsim.importer.graph import (
    FileGraph,
    FileInput,
    FileNode,
    QuantizeNode,
    ReshapeNode,
    Shape,
    Weights,
)
from hwsim.importer.limits import DAMAGED, MISFITS, refuse
from hwsim.importer.onnx_file import QONNX, STANDARD, OnnxModel, OnnxNode
from hwsim.importer.onnx_quant import Quantized

Array = NDArray[Any]
#: QONNX's names of integers that an input may hold -> (scale, zero, low, high).
ANNOTATED = {"BIPOLAR": (1, 0, -1, 1), "BINARY": (1, 0, 0, 1), "TERNARY": (1, 0, -1, 1)}


def read(path: Path) -> FileGraph:
    """The graph of an .onnx file, of any dialect.

    Raises
    ------
    InputError
        For a file that is none or is damaged.
    CompileError
        In one line with name, operator and remedy, for what no engine can run.
    """
    return Reader(onnx_file.read(path)).graph()


class Reader:
    """What is known of every name while nodes are read in order."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.nodes: list[FileNode] = []
        self.constants: dict[str, Array] = dict(model.constants)
        #: Constants in integers, by the name of what they are worth.
        self.quantized: dict[str, Quantized] = {}
        #: Values without their batch axis, channels first.
        self.shapes: dict[str, Shape] = {}
        #: Names that hold integers of the file, and what those mean.
        self.codes: dict[str, Codes | None] = {}
        self.input_codes: Codes | None = None
        self.channels_last = False
        self.readers: dict[str, int] = {}
        for node in model.nodes:
            for name in node.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1

    def graph(self) -> FileGraph:
        """The graph of the model."""
        from hwsim.importer.onnx_ops import OPERATORS

        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise CompileError(
                f"the network has {len(self.model.inputs)} inputs and {len(self.model.outputs)} "
                "outputs: the engine runs networks with one of each: export the part between two"
            )
        name, shape, dtype = self.model.inputs[0]
        if len(shape) not in (2, 3, 4) or min(shape[1:]) < 1:
            raise CompileError(
                f"{name}: has the shape {shape}: the engine runs maps (N, C, H, W), series "
                "(N, C, L) and vectors (N, F) of known sides: export it with fixed ones"
            )
        self.shapes[name] = shape[1:]
        if dtype not in ("float32", "float64", "float16"):
            self.codes[name] = None
        for node in self.model.nodes:
            if self._folds(node):
                continue
            if node.operator not in OPERATORS:
                raise refuse(
                    node.name,
                    node.operator,
                    "is nothing that the engine runs",
                    "it runs convolutions, fully connected layers, pools, sums, concatenations "
                    "and functions of single values: replace it",
                )
            try:
                OPERATORS[node.operator](self, node)
            except HwsimError:
                raise
            except MISFITS:
                raise refuse(node.name, node.operator, *DAMAGED) from None
        if self.codes.get(name, self) is None and self.input_codes is None:
            raise CompileError(
                f"{name}: takes {dtype} and nothing says what they mean: quantize "
                "it, or let it take float32"
            )
        output = self.model.outputs[0]
        if output not in self.shapes:
            raise CompileError(f"{output}: the output does not depend on the input")
        image = FileInput(name, self.shapes[name], self._image_codes(name), self.channels_last)
        opset = ", ".join(
            f"{key or 'ai.onnx'} {v}" for key, v in sorted(self.model.domains.items())
        )
        return FileGraph(self._dialect(), opset, image, tuple(self.nodes), output)

    def _image_codes(self, name: str) -> Codes | None:
        if self.input_codes is not None:
            return self.input_codes
        kind = self.model.annotations.get(name, "")
        if kind in ANNOTATED:
            scale, zero, low, high = ANNOTATED[kind]
            from fractions import Fraction

            return Codes(Fraction(scale), zero, low, high)
        return None

    def _dialect(self) -> str:
        kinds = {node.operator for node in self.model.nodes}
        if any(node.domain in QONNX for node in self.model.nodes):
            return "qonnx"
        if any(kind.startswith("QLinear") or kind == "QGemm" for kind in kinds):
            return "onnx-qoperator"
        if "QuantizeLinear" not in kinds and "DequantizeLinear" not in kinds:
            return "onnx-float"
        written = {
            node.outputs[0] for node in self.model.nodes if node.operator == "QuantizeLinear"
        }
        clipped = any(
            node.operator == "Clip" and node.get(0) in written for node in self.model.nodes
        )
        return "onnx-qcdq" if clipped else "onnx-qdq"

    # --- constants --------------------------------------------------------------------------------

    def _folds(self, node: OnnxNode) -> bool:
        """Whether a node only computes a constant, which is done at once."""
        if node.operator == "Shape" and node.get(0) in self.shapes:
            # One image is as good as any: nothing but the batch axis depends on their number.
            shape = [1, *self.shapes[node.get(0)]]
            about = node.attributes
            self.constants[node.outputs[0]] = np.array(
                shape[about.get("start", 0) : about.get("end")], np.int64
            )
            return True
        if node.domain not in STANDARD or node.operator not in onnx_fold.FOLDED:
            return False
        given = [self.constant(name) for name in node.inputs]
        if any(one is None and name for one, name in zip(given, node.inputs, strict=True)):
            return False
        if node.operator in ("Transpose", "Identity") and node.get(0) in self.quantized:
            return False  # its integers are kept
        self.constants[node.outputs[0]] = onnx_fold.folded(node, given)
        return True

    def constant(self, name: str) -> Array | None:
        """The values of a constant, in real numbers; None of what is none, or is left out."""
        if name in self.constants:
            return self.constants[name]
        if name in self.quantized:
            return self.quantized[name].real
        return None

    def given(self, node: OnnxNode) -> list[Array | None]:
        """The constants among the inputs of a node."""
        return [self.constant(name) for name in node.inputs]

    def need(self, node: OnnxNode, number: int) -> Array:
        """A constant input."""
        found = self.constant(node.get(number))
        if found is None:
            raise refuse(
                node.name,
                node.operator,
                "has constants that are computed or left out",
                "the engine has them in memory: make them constants",
            )
        return found

    def weights(self, node: OnnxNode, name: str, turned: bool = False) -> Weights:
        """Constants of a layer; turned: whether they are a matrix with the inputs first."""
        if name in self.quantized:
            found = self.quantized[name]
            return (found.transposed([1, 0]) if turned else found).weights(node)
        if name not in self.constants:
            raise refuse(
                node.name,
                node.operator,
                "has weights that are computed",
                "the engine has them in memory: make them constants",
            )
        values = self.constants[name]
        if values.dtype.kind != "f":
            raise refuse(
                node.name,
                node.operator,
                f"has weights of {values.dtype.name} without scales",
                "use DequantizeLinear or QLinear operators",
            )
        return Weights(np.ascontiguousarray(values.T if turned else values, np.float32))

    # --- values -----------------------------------------------------------------------------------

    def source(self, node: OnnxNode, number: int = 0) -> str:
        """The name of a value that a node reads in real numbers."""
        name = self.value(node, number)
        if name in self.codes:
            raise refuse(
                node.name,
                node.operator,
                "reads integers as if they were numbers",
                "use DequantizeLinear in front of it",
            )
        return name

    def value(self, node: OnnxNode, number: int = 0) -> str:
        """The name of a value, integers or not."""
        name = node.get(number)
        if name not in self.shapes:
            raise refuse(
                node.name,
                node.operator,
                "computes with a constant in the place of a map",
                "fold constants when the file is made",
            )
        return name

    def add(self, node: FileNode) -> None:
        """A node, and the shape of what it gives."""
        self.nodes.append(node)
        self.shapes[node.output] = node.shape

    def moves(self, node: FileNode) -> None:
        """A node that changes no value, so that integers stay what they are."""
        self.add(node)
        held = [name for name in node.inputs if name in self.codes]
        if held:
            if len({self.codes[name] for name in node.inputs if name in self.codes}) > 1:
                raise refuse(
                    node.name,
                    node.operator,
                    "puts integers of different scales together",
                    "quantize them alike",
                )
            self.codes[node.output] = self.codes[held[0]]

    def same(self, node: OnnxNode, shape: Shape | None = None) -> None:
        """A node that gives its input, perhaps in another shape."""
        name = self.value(node)
        self.moves(
            ReshapeNode(
                node.name,
                node.operator,
                (name,),
                node.outputs[0],
                self.shapes[name] if shape is None else shape,
            )
        )

    def meant(self, node: OnnxNode, name: str, codes: Codes) -> None:
        """What a node takes the integers of a value for; the first reader of the input decides."""
        if name not in self.codes:
            raise refuse(
                node.name,
                node.operator,
                "reads numbers as if they were integers",
                "use QuantizeLinear in front of it",
            )
        if self.codes[name] is None:
            self.codes[name] = self.input_codes = codes
        held = self.codes[name]
        assert held is not None
        if (held.scale, held.zero) != (codes.scale, codes.zero):
            raise refuse(
                node.name,
                node.operator,
                "takes integers for others than they are",
                "give writer and reader one scale and zero point",
            )

    def writes(self, node: FileNode, target: str, codes: Codes) -> None:
        """A node whose result is in integers of the file."""
        self.add(replace(node, output=f"{target}/values"))
        self.add(
            QuantizeNode(
                node.name,
                node.operator,
                (f"{target}/values",),
                target,
                node.shape,
                codes,
                "even",
                target,
            )
        )
        self.codes[target] = codes

    def narrowed(self, node: OnnxNode, low: float, high: float) -> None:
        """A Clip of integers: the quantizer before it gets fewer of them."""
        name = self.value(node)
        codes = self.codes[name]
        for number, one in enumerate(self.nodes):
            if one.output == name and isinstance(one, QuantizeNode) and self.readers[name] == 1:
                fewer = replace(
                    one.codes,
                    low=max(one.codes.low, int(max(low, -(1 << 20)))),
                    high=min(one.codes.high, int(min(high, 1 << 20))),
                )
                if not fewer.low <= fewer.zero <= fewer.high:
                    raise refuse(
                        node.name, node.operator, "clips the zero point away", "quantize again"
                    )
                self.nodes[number] = replace(
                    one, codes=fewer, output=node.outputs[0], tensor=node.outputs[0]
                )
                self.shapes[node.outputs[0]] = one.shape
                self.codes[node.outputs[0]] = fewer
                return
        raise refuse(
            node.name,
            node.operator,
            f"clips integers {codes} of no quantizer",
            "clip right behind QuantizeLinear",
        )
