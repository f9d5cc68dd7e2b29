"""What may be written into an .onnx file field by field, so that it still is one."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import onnx

SIDES = [0, -1, 1, 2, 3, 7, 2**16, 2**31, 2**31 - 1, 2**32, 2**62, -(2**63)]
REALS = [0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 1e-38, 3e38, 1e-7, 0.3]
NUMBERS = [0, 1, -1, 2, 3, 5, 127, -128, 255, 2**15, 2**31, -(2**31), 2**40, -(2**63), 2**63 - 1]
PLACES = [
    "../net.onnx", "/etc/hostname", "..", ".", "", "net.onnx", "none.bin", "C:\\x", "\\\\x\\y",
    "a/../../x", "w.bin/", "/dev/zero", "w.bin\0", "./w.bin", "w" * 5000, "//w.bin",
]  # fmt: skip
OPERATORS = [
    "Conv", "Gemm", "MatMul", "Relu", "Add", "Mul", "Div", "Clip", "Softmax", "MaxPool",
    "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose", "Identity", "Sigmoid",
    "QuantizeLinear", "DequantizeLinear", "Concat", "Pad", "Slice", "Loop", "BatchNormalization",
    "ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Gather", "Shape", "Constant", "Pow",
]  # fmt: skip

Edit = Callable[[random.Random, Any], None]


def _constant(draw: random.Random, model: Any) -> Any:
    return draw.choice(model.graph.initializer)


def _dims(draw: random.Random, model: Any) -> None:
    one = _constant(draw, model)
    sides = list(one.dims)
    kind = draw.randrange(4)
    if kind == 0 or not sides:
        sides = [draw.choice(SIDES) for _ in range(draw.randint(0, 8))]
    elif kind == 1:
        sides[draw.randrange(len(sides))] = draw.choice(SIDES)
    elif kind == 2:
        draw.shuffle(sides)
    else:
        sides.insert(draw.randrange(len(sides) + 1), draw.choice([1, 1, *SIDES]))
    del one.dims[:]
    one.dims.extend(sides)


def _value(draw: random.Random, model: Any) -> None:
    """A scale, a zero point, or one weight."""
    one = _constant(draw, model)
    size = {1: 4, 6: 4, 7: 8, 2: 1, 3: 1}.get(one.data_type, 1)
    if len(one.raw_data) < size:
        return
    where = size * draw.randrange(len(one.raw_data) // size)
    new = draw.randbytes(size)
    if one.data_type == 1:
        new = struct.pack("<f", draw.choice(REALS))
    elif draw.randrange(2):
        new = draw.choice([b"\0", b"\x7f", b"\x80", b"\xff"]) * size
    one.raw_data = one.raw_data[:where] + new + one.raw_data[where + size :]


def _bytes(draw: random.Random, model: Any) -> None:
    one = _constant(draw, model)
    one.raw_data = draw.choice([one.raw_data[:-1], one.raw_data + b"\0", b"", one.raw_data * 2])


def _type(draw: random.Random, model: Any) -> None:
    _constant(draw, model).data_type = draw.randrange(-1, 30)


def _again(draw: random.Random, model: Any) -> None:
    repeated = draw.choice([model.graph.initializer, model.graph.node, model.graph.input])
    repeated.append(draw.choice(repeated))


def _gone(draw: random.Random, model: Any) -> None:
    kinds = [model.graph.initializer, model.graph.node, model.graph.input, model.graph.output]
    repeated = draw.choice(kinds)
    del repeated[draw.randrange(len(repeated))]


def _names(model: Any) -> list[str]:
    graph = model.graph
    return ["", "nobody", "x", *(o for n in graph.node for o in n.output),
            *(one.name for one in graph.initializer)]  # fmt: skip


def _wire(draw: random.Random, model: Any) -> None:
    """An input that reads another value, perhaps one that comes later."""
    node = draw.choice(model.graph.node)
    if node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(_names(model))


def _output(draw: random.Random, model: Any) -> None:
    node = draw.choice([*model.graph.node, None])
    if node is None:
        model.graph.output[0].name = draw.choice(_names(model))
    else:
        node.output[draw.randrange(len(node.output))] = draw.choice(_names(model))


def _operator(draw: random.Random, model: Any) -> None:
    draw.choice(model.graph.node).op_type = draw.choice([*OPERATORS, "", "\n", "Nothing"])


def _domain(draw: random.Random, model: Any) -> None:
    domains = ["", "ai.onnx", "com.microsoft", "qonnx.custom_op.general", "onnx.brevitas", "x"]
    draw.choice(model.graph.node).domain = draw.choice(domains)


def _attribute(draw: random.Random, model: Any) -> None:
    having = [node for node in model.graph.node if node.attribute]
    if not having:
        return
    node = draw.choice(having)
    number = draw.randrange(len(node.attribute))
    one = node.attribute[number]
    kind = draw.randrange(5)
    if kind == 0:
        del node.attribute[number]
    elif kind == 1:
        one.type = draw.randrange(0, 15)
    elif kind == 2 and one.ints:
        one.ints[draw.randrange(len(one.ints))] = draw.choice(NUMBERS)
    elif kind == 3 and one.ints:
        del one.ints[-1]
    else:
        one.i, one.f, one.s = draw.choice(NUMBERS), draw.choice(REALS), draw.randbytes(3)


def _foreign(draw: random.Random, model: Any) -> None:
    """An attribute that the node did not have."""
    node = draw.choice(model.graph.node)
    name = draw.choice(["axis", "pads", "group", "strides", "kernel_shape", "transB", "alpha",
                        "auto_pad", "dilations", "block_size", "ceil_mode", "perm"])  # fmt: skip
    value = draw.choice([draw.choice(NUMBERS), draw.choices(NUMBERS, k=draw.randint(1, 5)),
                         draw.choice(REALS), "SAME_UPPER", [1.5]])  # fmt: skip
    node.attribute.append(onnx.helper.make_attribute(name, value))


def _external(draw: random.Random, model: Any) -> None:
    one = _constant(draw, model)
    one.data_location = onnx.TensorProto.EXTERNAL
    del one.external_data[:]
    given = {
        "location": draw.choice([*PLACES, "w.bin", "w.bin"]),
        "offset": str(draw.choice([*NUMBERS, 0, 0, "x", "0x1"])),
        "length": str(draw.choice([*NUMBERS, len(one.raw_data)])),
    }
    for key, value in given.items():
        if draw.randrange(4):
            one.external_data.add(key=key, value=value)
    if draw.randrange(4):
        one.raw_data = b""


def _input(draw: random.Random, model: Any) -> None:
    tensor = draw.choice(model.graph.input).type.tensor_type
    kind = draw.randrange(3)
    if kind == 0:
        tensor.elem_type = draw.randrange(-1, 30)
    elif kind == 1 and tensor.shape.dim:
        side = draw.choice(tensor.shape.dim)
        side.dim_value = draw.choice(SIDES)
    else:
        tensor.shape.dim.add(dim_value=draw.choice(SIDES))


def _version(draw: random.Random, model: Any) -> None:
    if model.opset_import:
        draw.choice(model.opset_import).version = draw.choice([*NUMBERS, 6, 7, 9, 13, 21, 25, 26])
    model.ir_version = draw.choice(NUMBERS)


EDITS: list[Edit] = [
    _dims, _dims, _value, _value, _value, _bytes, _type, _again, _gone, _wire, _wire, _output,
    _operator, _domain, _attribute, _attribute, _foreign, _external, _input, _version,
]  # fmt: skip


def edited(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, the file after one to three such edits)."""
    model = onnx.ModelProto()
    model.ParseFromString(data)
    done = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        if not (model.graph.node and model.graph.initializer and model.graph.input
                and model.graph.output):  # fmt: skip
            break
        edit = draw.choice(EDITS)
        edit(draw, model)
        done.append(edit.__name__.strip("_"))
    return "fields " + ", ".join(done), model.SerializeToString()
