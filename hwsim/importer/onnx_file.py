"""An .onnx file as plain nodes and arrays, every size checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError, InputError
from hwsim.importer.limits import (
    MAX_FILE,
    MAX_NODES,
    MAX_TENSORS,
    content,
    elements,
    library,
    refuse,
    text,
)
from hwsim.importer.onnx_tensors import Tensors

#: Domains of operators that are read: ONNX's own, ONNX Runtime's, QONNX's of all times.
STANDARD = {"", "ai.onnx"}
MICROSOFT = {"com.microsoft"}
QONNX = {"qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"}
#: Attributes that are read, by the one type that they have in every operator.
_KINDS = {
    **dict.fromkeys(
        ("axis", "group", "transA", "transB", "ceil_mode", "allowzero", "keepdims", "signed",
         "narrow", "training_mode", "channels_last", "count_include_pad", "to", "start", "end"),
        "INT"),
    **dict.fromkeys(
        ("pads", "strides", "kernel_shape", "dilations", "axes", "perm", "split", "starts",
         "ends"), "INTS"),
    **dict.fromkeys(("alpha", "beta", "gamma", "epsilon", "min", "max"), "FLOAT"),
    **dict.fromkeys(("auto_pad", "mode", "rounding_mode", "approximate"), "STRING"),
}  # fmt: skip
#: Versions of ONNX's operators that are read.
OPSETS = (7, 25)


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """An operator of the file; names of inputs that are left out are empty."""

    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def get(self, number: int) -> str:
        """The name of an input, empty where there is none."""
        return self.inputs[number] if number < len(self.inputs) else ""


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """The graph of a file, its nodes in an order in which they can be computed.

    inputs: name, shape with the batch axis (−1 where it is not said) and NumPy's type, constants
    left out. annotations: QONNX's names of the integers that a value holds.
    """

    nodes: tuple[OnnxNode, ...]
    constants: dict[str, NDArray[Any]]
    inputs: tuple[tuple[str, tuple[int, ...], str], ...]
    outputs: tuple[str, ...]
    opset: int
    domains: dict[str, int]
    annotations: dict[str, str]


def read(path: Path) -> OnnxModel:
    """The model of a file.

    Raises
    ------
    InputError
        For a file that is none or is damaged, and for external data anywhere but in regular files
        of the same folder.
    CompileError
        For cycles, subgraphs, operators that nobody knows, and what is larger than hwsim reads.
    """
    onnx = library("onnx", "an .onnx file")
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content(path, MAX_FILE))
    except (DecodeError, RuntimeError):
        raise InputError(f"{path}: is no ONNX model, or a damaged one") from None
    graph = model.graph
    if not graph.node:
        raise InputError(f"{path}: is no ONNX model: it has no operators")
    for what, count, most in (
        ("operators", len(graph.node), MAX_NODES),
        ("tensors", len(graph.initializer), MAX_TENSORS),
    ):
        if count > most:
            raise CompileError(f"{path}: has {count} {what}, hwsim reads at most {most}")
    if graph.sparse_initializer or model.functions:
        what = "sparse tensors" if graph.sparse_initializer else "functions of its own"
        raise CompileError(f"{path}: has {what}: export the network without them")
    reader = Tensors(onnx, path)
    constants = {}
    for tensor in graph.initializer:
        name = text(tensor.name)
        if name in constants:
            raise InputError(f"{name}: stands twice among the constants")
        constants[name] = reader.array(tensor)
    nodes = [_node(onnx, node, number, reader) for number, node in enumerate(graph.node)]
    domains = {text(one.domain): one.version for one in model.opset_import}
    opset = domains.get("", domains.get("ai.onnx", 0))
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise CompileError(
            f"{path}: has operators of version {opset}, hwsim knows {OPSETS[0]} to {OPSETS[1]}: "
            "export it again with one of them"
        )
    inputs = tuple(_input(one, onnx) for one in graph.input if text(one.name) not in constants)
    ordered = _ordered(nodes, {*constants, *(name for name, _, _ in inputs)})
    outputs = tuple(text(one.name) for one in graph.output)
    return OnnxModel(
        tuple(ordered), constants, inputs, outputs, opset, domains, _annotations(graph)
    )


def _annotations(graph: Any) -> dict[str, str]:
    found = {}
    for one in graph.quantization_annotation:
        for entry in one.quant_parameter_tensor_names:
            if entry.key == "finn_datatype":
                found[text(one.tensor_name)] = text(entry.value)
    return found


def _input(value: Any, onnx: Any) -> tuple[str, tuple[int, ...], str]:
    tensor = value.type.tensor_type
    shape = tuple(
        int(one.dim_value) if one.HasField("dim_value") and one.dim_value > 0 else -1
        for one in tensor.shape.dim
    )
    elements(text(value.name), [max(side, 1) for side in shape])
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError):
        dtype = f"type {tensor.elem_type}"
    return text(value.name), shape, dtype


def _node(onnx: Any, node: Any, number: int, reader: Tensors) -> OnnxNode:
    operator, domain = text(node.op_type), text(node.domain)
    name = text(node.name) or f"{operator} {number}"
    if domain not in STANDARD | MICROSOFT | QONNX:
        raise CompileError(
            f"{name}: {operator} is of the domain {domain}, which hwsim does not know: "
            "export the network with operators of ONNX or QONNX"
        )
    attributes: dict[str, Any] = {}
    kinds = onnx.AttributeProto
    for one in node.attribute:
        due = _KINDS.get(one.name)
        if due is not None and one.type != kinds.AttributeType.Value(due):
            raise refuse(
                name, operator, f"has {one.name}, which is no {due}", "export the network again"
            )
        if one.type in (kinds.GRAPH, kinds.GRAPHS):
            raise CompileError(
                f"{name}: {operator} holds a graph of its own: the engine runs networks "
                "without control flow: export the branch that is used"
            )
        if one.type == kinds.TENSOR:
            attributes[one.name] = reader.array(one.t, f"{name}: {one.name}")
        elif one.type in (kinds.INT, kinds.FLOAT, kinds.INTS, kinds.FLOATS, kinds.STRING):
            value = onnx.helper.get_attribute_value(one)
            attributes[one.name] = (
                text(value.decode("utf-8", "replace")) if isinstance(value, bytes) else value
            )
            if isinstance(attributes[one.name], Sequence) and one.type != kinds.STRING:
                attributes[one.name] = list(attributes[one.name])
    return OnnxNode(
        name,
        operator,
        domain,
        tuple(map(text, node.input)),
        tuple(map(text, node.output)),
        attributes,
    )


def _ordered(nodes: list[OnnxNode], known: set[str]) -> list[OnnxNode]:
    """The nodes, each behind those that write what it reads."""
    writers: dict[str, OnnxNode] = {}
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in writers or name in known:
                raise CompileError(
                    f"{node.name}: {node.operator} writes {name}, which is written "
                    "twice: name values once"
                )
            writers[name] = node
    readers: dict[str, list[OnnxNode]] = {}
    missing = {}
    for node in nodes:
        open_ = {name for name in node.inputs if name and name not in known}
        for name in open_:
            if name not in writers:
                raise CompileError(
                    f"{node.name}: {node.operator} reads {name}, which nobody "
                    "writes: export the network again"
                )
            readers.setdefault(name, []).append(node)
        missing[node] = len(open_)
    ready = [node for node in nodes if not missing[node]]
    for node in ready:
        for name in set(filter(None, node.outputs)):
            for reader in readers.get(name, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
    if len(ready) < len(nodes):
        node = next(one for one in nodes if missing[one])
        raise CompileError(
            f"{node.name}: {node.operator} stands in a cycle: export the network again"
        )
    place = {node: number for number, node in enumerate(nodes)}
    straight = all(
        place[writers[name]] < place[node]
        for node in nodes
        for name in node.inputs
        if name in writers
    )
    return nodes if straight else ready
