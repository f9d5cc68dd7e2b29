"""A .tflite file as plain tensors and operators, every size checked before anything is believed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError, HwsimError, InputError
from hwsim.importer.limits import (
    MAX_FILE,
    MAX_NODES,
    MAX_TENSORS,
    content,
    elements,
    library,
    text,
)

#: What flatbuffers and NumPy raise on offsets that lead nowhere.
BROKEN = (struct.error, ValueError, IndexError, TypeError, OverflowError, AttributeError, KeyError)
#: Options of operators that are read.
OPTIONS = (
    "Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FilterHeight",
    "FilterWidth", "FusedActivationFunction", "WeightsFormat", "Axis", "KeepDims", "Alpha",
    "Approximate", "Beta",
)  # fmt: skip
#: TensorType -> name, NumPy's type and bits of its values.
TYPES: dict[int, tuple[str, Any]] = {
    0: ("float32", np.float32),
    2: ("int32", np.int32),
    3: ("uint8", np.uint8),
    4: ("int64", np.int64),
    7: ("int16", np.int16),
    9: ("int8", np.int8),
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file.

    shape: the batch axis included, as the file has it. type: NumPy's name. scales, zeros: of its
    quantization, empty without one; axis: along which there are several. constant: its values, None
    of what is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scales: NDArray[np.float32]
    zeros: NDArray[np.int64]
    axis: int
    constant: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator: its builtin name, tensors by index (−1: left out), and its options by name."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]

    def option(self, name: str) -> Any:
        """One of ``OPTIONS``. Raises CompileError where the operator has options of another."""
        if name not in self.options:
            raise CompileError(
                f"operator {self.index}: {self.name} has no {name}: the file is damaged: convert "
                "it again"
            )
        return self.options[name]


@dataclass(frozen=True, eq=False)
class TfliteModel:
    """The one subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: Path) -> TfliteModel:
    """The model of a file.

    Raises
    ------
    InputError
        For a file that is no TFLite model, is damaged, or has parts outside of itself.
    CompileError
        For what is larger than hwsim reads, and for control flow.
    """
    data = content(path, MAX_FILE)
    if data[4:8] != b"TFL3":
        raise InputError(f"{path}: is no TFLite model: it does not say TFL3 at its beginning")
    schema = library("tflite", "a .tflite file")
    try:
        return _model(path, data, schema)
    except HwsimError:
        raise
    except BROKEN:
        raise InputError(f"{path}: is damaged: its offsets lead outside of the file") from None


def _model(path: Path, data: bytes, schema: Any) -> TfliteModel:
    model = schema.Model.GetRootAsModel(data, 0)
    if model.SubgraphsLength() != 1:
        raise CompileError(
            f"{path}: has {model.SubgraphsLength()} subgraphs: the engine runs networks without "
            "control flow: export the branch that is used"
        )
    graph = model.Subgraphs(0)
    counts = {
        "operators": (graph.OperatorsLength(), MAX_NODES),
        "tensors": (graph.TensorsLength(), MAX_TENSORS),
        "buffers": (model.BuffersLength(), MAX_TENSORS),
    }
    for what, (count, most) in counts.items():
        if count * 4 > len(data):
            raise InputError(f"{path}: is damaged: it declares {count} {what}")
        if count > most:
            raise CompileError(f"{path}: has {count} {what}, hwsim reads at most {most}")
    buffers = [_buffer(path, data, model.Buffers(n)) for n in range(model.BuffersLength())]
    _check_apart(path, buffers)
    tensors = tuple(
        _tensor(graph.Tensors(n), n, data, buffers) for n in range(counts["tensors"][0])
    )
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    operators = tuple(
        _operator(path, schema, model, graph.Operators(n), n, len(tensors), names)
        for n in range(graph.OperatorsLength())
    )
    inputs, outputs = _indices(graph, "Inputs"), _indices(graph, "Outputs")
    _check_order(path, tensors, operators, inputs, outputs)
    return TfliteModel(tensors, operators, inputs, outputs)


def _buffer(path: Path, data: bytes, buffer: Any) -> tuple[int, int]:
    """(first byte, size) of a buffer's data."""
    if buffer.Offset() > 1 or buffer.Size() > 1:
        raise InputError(
            f"{path}: keeps tensors behind its end: convert it again to less than 2 GB"
        )
    size = buffer.DataLength()
    if size == 0:
        return 0, 0
    first = buffer._tab.Vector(buffer._tab.Offset(4))
    if not 0 < first <= first + size <= len(data):
        raise InputError(f"{path}: is damaged: a buffer of {size} bytes lies outside of the file")
    return first, size


def _check_apart(path: Path, buffers: Sequence[tuple[int, int]]) -> None:
    """Two buffers may be one; they may not overlap otherwise."""
    used = sorted({place for place in buffers if place[1]})
    for (first, size), (then, _) in pairwise(used):
        if then < first + size:
            raise InputError(f"{path}: is damaged: two of its buffers overlap")


def _tensor(tensor: Any, index: int, data: bytes, buffers: list[tuple[int, int]]) -> Tensor:
    name = text((tensor.Name() or b"").decode("utf-8", "replace"))
    label = name or f"tensor {index}"
    shape = tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()
    count = elements(label, shape)
    if tensor.Sparsity() is not None:
        raise CompileError(f"{label}: is stored sparse: convert the network without sparsity")
    kind, dtype = TYPES.get(tensor.Type(), (f"type {tensor.Type()}", None))
    first, size = buffers[tensor.Buffer()]
    constant = None
    if size:
        if dtype is None:
            raise CompileError(
                f"{label}: its values are of a type ({kind}) that hwsim does not read: it reads "
                "int8, uint8, int16, int32, int64 and float32: convert it again"
            )
        if count * np.dtype(dtype).itemsize != size:
            raise InputError(
                f"{label}: is damaged: its shape {shape} does not fit its {size} bytes"
            )
        constant = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), count, first)
        constant = constant.astype(dtype).reshape(shape)
    scales, zeros, axis = _quantization(tensor.Quantization(), label, shape)
    return Tensor(index, label, shape, kind, scales, zeros, axis, constant)


def _quantization(
    found: Any, label: str, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    none = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if found is None or found.ScaleLength() == 0:
        return none
    if found.DetailsType():
        raise CompileError(f"{label}: has a quantization of its own kind: use int8 with scales")
    scales = found.ScaleAsNumpy().astype(np.float32)
    zeros = np.zeros(len(scales), np.int64)
    if found.ZeroPointLength():
        zeros = found.ZeroPointAsNumpy().astype(np.int64)
    axis = found.QuantizedDimension()
    several = len(scales) > 1
    if len(zeros) != len(scales) or (
        several and not (0 <= axis < len(shape) and shape[axis] == len(scales))
    ):
        raise InputError(f"{label}: is damaged: its scales, zero points and shape do not agree")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise CompileError(f"{label}: has a scale that is not positive and finite")
    return scales, zeros, axis


def _operator(
    path: Path, schema: Any, model: Any, op: Any, index: int, tensors: int, names: dict[int, str]
) -> Operator:
    code = model.OperatorCodes(op.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = names.get(number, f"operator {number}")
    if name == "CUSTOM":
        name = text((code.CustomCode() or b"").decode("utf-8", "replace")) or name
    inputs, outputs = _indices(op, "Inputs"), _indices(op, "Outputs")
    if any(not -1 <= one < tensors for one in inputs) or any(
        not 0 <= one < tensors for one in outputs
    ):
        raise InputError(f"{path}: is damaged: operator {index} names tensors that are not there")
    options, table = {}, op.BuiltinOptions()
    kind = {v: k for k, v in vars(schema.BuiltinOptions).items() if isinstance(v, int)}.get(
        op.BuiltinOptionsType()
    )
    if table is not None and kind not in (None, "NONE"):
        found = getattr(schema, str(kind))()
        found.Init(table.Bytes, table.Pos)
        options = {name: getattr(found, name)() for name in OPTIONS if hasattr(found, name)}
    return Operator(index, name, inputs, outputs, options)


def _indices(table: Any, what: str) -> tuple[int, ...]:
    if getattr(table, f"{what}Length")() == 0:
        return ()
    return tuple(getattr(table, f"{what}AsNumpy")().tolist())


def _check_order(
    path: Path,
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> None:
    """Every tensor is there before it is read, and is written once."""
    if any(not 0 <= one < len(tensors) for one in (*inputs, *outputs)):
        raise InputError(f"{path}: is damaged: it names inputs or outputs that are not there")
    known = {one.index for one in tensors if one.constant is not None} | set(inputs)
    for op in operators:
        for one in op.inputs:
            if one >= 0 and one not in known:
                raise CompileError(
                    f"{tensors[one].name}: {op.name} reads it before anybody has written it: the "
                    "graph has a cycle or misses an operator"
                )
        for one in op.outputs:
            if one in known:
                raise CompileError(f"{tensors[one].name}: is written twice")
            known.add(one)
    if any(one not in known for one in outputs):
        raise CompileError(f"{path}: its output is computed by nobody")
