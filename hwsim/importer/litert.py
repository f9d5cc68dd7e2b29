"""LiteRT as an oracle: every tensor that a .tflite file computes, by each of its kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.files.reading import read_regular
from hwsim.importer.limits import MAX_FILE, library
from hwsim.importer.tflite_file import TfliteModel

#: Kernels of one runtime by what they are called here: the default delegate, the optimized ones
#: without it, and the reference ones.
KERNELS = {
    "XNNPACK": "AUTO",
    "built-in": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


def installed() -> bool:
    """Whether LiteRT is there."""
    from importlib.util import find_spec

    return find_spec("ai_edge_litert") is not None


class LiteRT:
    """A file in LiteRT, with one thread and all its tensors to be seen."""

    def __init__(self, path: Path, model: TfliteModel, names: list[str]) -> None:
        self._module: Any = library("ai_edge_litert.interpreter", "a comparison with LiteRT")
        self._names, self._input = names, model.inputs[0]
        self._output = model.outputs[0]
        self._content = _opened(read_regular(path, MAX_FILE), model)

    def run(self, kernel: str, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """By name, what each operator wrote; batch first, as the file has it.

        kernel: of ``KERNELS``. images: as the file takes them, (N, …), of its own type.
        """
        kind = getattr(self._module.OpResolverType, KERNELS[kernel])
        interpreter = self._module.Interpreter(
            model_content=self._content, experimental_op_resolver_type=kind, num_threads=1
        )
        found: dict[int, list[NDArray[Any]]] = {}
        # One by one: a file may have its batch in the constants of a RESHAPE.
        interpreter.allocate_tensors()
        details = interpreter.get_output_details()
        for image in images:
            interpreter.set_tensor(self._input, image[None])
            interpreter.invoke()
            for one in details:
                found.setdefault(one["index"], []).append(interpreter.get_tensor(one["index"]))
        return {self._names[index]: np.concatenate(all_) for index, all_ in found.items()}


def _opened(data: bytes, model: TfliteModel) -> bytes:
    """The same file with every computed tensor among its outputs."""
    schema: Any = library("ai_edge_litert.schema_py_generated", "a comparison with LiteRT")
    flatbuffers: Any = library("flatbuffers", "a comparison with LiteRT")
    copy = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    # The file's own output comes first and stands there once.
    written = [one for op in model.operators for one in op.outputs if one not in model.outputs]
    copy.subgraphs[0].outputs = np.array([*model.outputs, *written], np.int32)
    copy.signatureDefs = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(copy.Pack(builder), b"TFL3")
    return bytes(builder.Output())
