"""What is known of every name of an ONNX graph while its nodes are read in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.codes import Codes
from hwsim.importer.graph import FileNode, QuantizeNode, ReshapeNode, Shape, Weights
from hwsim.importer.limits import refuse
from hwsim.importer.onnx_file import OnnxModel, OnnxNode
from hwsim.importer.onnx_quant import Quantized

Array = NDArray[Any]


class OnnxValues:
    """Constants, shapes and codes so far, and the nodes that operators made."""

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

    # --- constants --------------------------------------------------------------------------------

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
