"""TFLite operators as nodes. Layouts turn from (H, W, C) to (C, H, W) when they are read."""

from __future__ import annotations

from pathlib import Path

from hwsim.errors import CompileError, HwsimError
from hwsim.importer import tflite_file
from hwsim.importer.graph import ConvNode, FileGraph, FileInput, LinearNode, QuantizeNode
from hwsim.importer.limits import DAMAGED, MISFITS, check_ends, refuse
from hwsim.importer.tflite_file import Operator
from hwsim.importer.tflite_ops import OPERATORS
from hwsim.importer.tflite_values import TfliteValues, channels_first, codes_of


def read(path: Path) -> FileGraph:
    """The graph of a .tflite file.

    Raises
    ------
    InputError
        For a file that is none or is damaged.
    CompileError
        In one line with name, operator and remedy, for what no engine can run.
    """
    return _TfliteReader(tflite_file.read(path)).graph()


class _TfliteReader(TfliteValues):
    def graph(self) -> FileGraph:
        check_ends(len(self.model.inputs), len(self.model.outputs))
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

    def _operator(self, op: Operator) -> None:
        name = self.names[op.outputs[0]] if op.outputs else ""
        if op.name not in OPERATORS or len(op.outputs) != 1:
            raise refuse(
                name,
                op.name,
                "is nothing that the engine runs",
                "it runs convolutions, fully connected layers, pools, sums, concatenations and "
                "functions of single values: replace it",
            )
        try:
            OPERATORS[op.name](self, op, self.model.tensors[op.outputs[0]])
        except HwsimError:
            raise
        except MISFITS:
            raise refuse(name, op.name, *DAMAGED) from None
