"""ONNX files as nodes: operators in order, constants folded as they come, the dialect named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from hwsim.errors import CompileError, HwsimError
from hwsim.importer import onnx_file, onnx_fold
from hwsim.importer.codes import Codes
from hwsim.importer.graph import FileGraph, FileInput
from hwsim.importer.limits import DAMAGED, MISFITS, check_ends, refuse
from hwsim.importer.onnx_file import QONNX, STANDARD, OnnxNode
from hwsim.importer.onnx_ops import OPERATORS
from hwsim.importer.onnx_values import OnnxValues

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
    return _OnnxReader(onnx_file.read(path)).graph()


class _OnnxReader(OnnxValues):
    def graph(self) -> FileGraph:
        """The graph of the model."""
        check_ends(len(self.model.inputs), len(self.model.outputs))
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
