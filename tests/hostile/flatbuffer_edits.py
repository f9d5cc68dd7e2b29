"""What may be written into a .tflite file field by field, so that it still is one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIDES = [0, -1, 1, 2, 3, 7, 2**16, 2**31 - 1, -(2**31)]
SCALES = [0.0, -0.0, -1.0, float("nan"), float("inf"), 1e-45, 1e-38, 3e38, 1e-7, 0.3]
ZEROS = [0, 1, -1, 127, 128, -128, -129, 255, 2**31, -(2**63), 2**63 - 1]

Edit = Callable[[random.Random, Any, Any], None]


def _shape(draw: random.Random, model: Any, graph: Any) -> None:
    one = draw.choice(graph.tensors)
    sides = [int(side) for side in one.shape]
    kind = draw.randrange(3)
    if kind == 0 or not sides:
        sides = [draw.choice(SIDES) for _ in range(draw.randint(0, 8))]
    elif kind == 1:
        sides[draw.randrange(len(sides))] = draw.choice(SIDES)
    else:
        draw.shuffle(sides)
    one.shape = sides


def _quantization(draw: random.Random, model: Any, graph: Any) -> None:
    one = draw.choice([tensor for tensor in graph.tensors if tensor.quantization])
    about = one.quantization
    kind = draw.randrange(6)
    if kind < 2:
        about.scale = [draw.choice(SCALES) for _ in about.scale]
    elif kind < 4:
        about.zeroPoint = [draw.choice(ZEROS) for _ in about.zeroPoint]
    elif kind == 4:
        about.quantizedDimension = draw.choice([0, 1, 3, 4, -1, 2**31 - 1])
    else:
        one.quantization = draw.choice([None, draw.choice(graph.tensors).quantization])


def _type(draw: random.Random, model: Any, graph: Any) -> None:
    draw.choice(graph.tensors).type = draw.randrange(0, 20)


def _buffer(draw: random.Random, model: Any, graph: Any) -> None:
    kind = draw.randrange(3)
    if kind == 0:
        draw.choice(graph.tensors).buffer = draw.choice([*range(len(model.buffers)), 99, 2**31])
        return
    one = draw.choice(model.buffers)
    if kind == 1 and one.data is not None:
        data = bytes(bytearray(one.data))
        new = draw.choice([data[:-1], data + b"\0", b"", data * 2, draw.randbytes(len(data))])
        one.data = np.frombuffer(new, np.uint8)
    else:
        one.offset, one.size = draw.choice(ZEROS) % 2**64, draw.choice(ZEROS) % 2**64


def _wire(draw: random.Random, model: Any, graph: Any) -> None:
    """An operator that reads or writes another tensor, perhaps one that comes later."""
    operator = draw.choice(graph.operators)
    sides = [*range(len(graph.tensors)), -1, -2, 99, 2**31 - 1]
    which = draw.choice(["inputs", "inputs", "outputs"])
    found = [int(one) for one in getattr(operator, which)]
    if found:
        found[draw.randrange(len(found))] = draw.choice(sides)
    setattr(operator, which, draw.choice([found, found, found, found[:-1]]))


def _ends(draw: random.Random, model: Any, graph: Any) -> None:
    sides = [*range(len(graph.tensors)), -1, 99]
    which = draw.choice(["inputs", "outputs"])
    setattr(graph, which, draw.choices(sides, k=draw.choice([0, 1, 1, 1, 2])))


def _operator(draw: random.Random, model: Any, graph: Any) -> None:
    kind = draw.randrange(3)
    if kind == 0:
        draw.choice(graph.operators).opcodeIndex = draw.choice([0, 1, 2, 3, 4, 99])
    else:
        code = draw.choice(model.operatorCodes)
        code.builtinCode = draw.randrange(0, 170)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def _options(draw: random.Random, model: Any, graph: Any) -> None:
    having = [one for one in graph.operators if one.builtinOptions is not None]
    operator = draw.choice(having) if having else draw.choice(graph.operators)
    if draw.randrange(4) == 0 or not having:
        operator.builtinOptionsType = draw.randrange(0, 60)
        operator.builtinOptions = None
        return
    options = operator.builtinOptions
    numbers = sorted(k for k, v in vars(options).items() if type(v) is int and v < 2**31)
    if numbers:
        key = draw.choice(numbers)
        small = any(word in key for word in ("padding", "Function", "Format", "Type"))
        setattr(options, key, draw.randrange(0, 6) if small else draw.choice(SIDES))


def _gone(draw: random.Random, model: Any, graph: Any) -> None:
    repeated = draw.choice([graph.operators, graph.tensors, model.buffers, model.operatorCodes])
    del repeated[draw.randrange(len(repeated))]


def _again(draw: random.Random, model: Any, graph: Any) -> None:
    repeated = draw.choice([graph.operators, graph.tensors, model.subgraphs])
    repeated.append(draw.choice(repeated))


EDITS: list[Edit] = [
    _shape, _shape, _quantization, _quantization, _quantization, _type, _buffer, _wire, _wire,
    _ends, _operator, _options, _options, _gone, _again,
]  # fmt: skip


def edited(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, the file after one to three such edits)."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    done = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        graph = model.subgraphs[0]
        if not (graph.tensors and graph.operators and model.operatorCodes and model.buffers):
            break
        edit = draw.choice(EDITS)
        edit(draw, model, graph)
        done.append(edit.__name__.strip("_"))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return "fields " + ", ".join(done), bytes(builder.Output())
