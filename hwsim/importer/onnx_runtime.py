"""ONNX Runtime and QONNX's executor as oracles: the values of every quantizer of an .onnx file."""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.limits import library

#: What is asked of ONNX Runtime: the file as it is, and the file as it would be run.
LEVELS = {"unoptimized": "ORT_DISABLE_ALL", "default": "ORT_ENABLE_ALL"}


def installed(qonnx: bool) -> bool:
    """Whether what runs a file is there."""
    return find_spec("qonnx" if qonnx else "onnxruntime") is not None


@lru_cache(maxsize=1)
def saturates() -> bool:
    """Whether ONNX Runtime adds pairs of products of QLinearConv in saturating 16 bits here.

    It does on x86 without dot-product instructions: 2 x 255 x 127 = 64,770 becomes 32,767. Its
    ConvInteger is exact on the same CPU.
    """
    runtime: Any = library("onnxruntime", "a comparison with ONNX Runtime")
    onnx: Any = library("onnx", "a comparison with ONNX Runtime")
    u8, i8, f32 = np.uint8, np.int8, np.float32
    x = np.full((1, 2, 1, 1), 255, u8)
    constants = {
        "step": f32(1), "zero": u8(0), "w": np.full((4, 2, 1, 1), 127, i8), "zero_w": i8(0),
        "step_y": f32(1000),
    }  # fmt: skip
    names = ["x", "step", "zero", "w", "step", "zero_w", "step_y", "zero"]
    node = onnx.helper.make_node("QLinearConv", names, ["y"])
    code = onnx.TensorProto.UINT8
    graph = onnx.helper.make_graph(
        [node], "pair",
        [onnx.helper.make_tensor_value_info("x", code, x.shape)],
        [onnx.helper.make_tensor_value_info("y", code, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )  # fmt: skip
    opset = onnx.helper.make_opsetid("", 13)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return bool((session.run(None, {"x": x})[0] != 65).any())


class OnnxRuntime:
    """A checked file in ONNX Runtime, with one thread and ``wanted`` values to be seen."""

    def __init__(self, path: Path, wanted: list[str]) -> None:
        self._runtime: Any = library("onnxruntime", "a comparison with ONNX Runtime")
        onnx: Any = library("onnx", "a comparison with ONNX Runtime")
        model = onnx.load(str(path))
        self.output = model.graph.output[0].name
        there = {one.name for one in model.graph.output}
        for name in wanted:
            if name not in there:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        initializers = {one.name for one in model.graph.initializer}
        inputs = [one for one in model.graph.input if one.name not in initializers]
        self._input = inputs[0].name
        self._content = model.SerializeToString()
        self._names = [self.output, *(name for name in wanted if name not in there)]

    def run(self, level: str, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """By name, the wanted values and the output. level: of ``LEVELS``; images: (N, …)."""
        options = self._runtime.SessionOptions()
        options.graph_optimization_level = getattr(
            self._runtime.GraphOptimizationLevel, LEVELS[level]
        )
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = self._runtime.InferenceSession(
            self._content, options, providers=["CPUExecutionProvider"]
        )
        found = [session.run(self._names, {self._input: image[None]}) for image in images]
        return {
            name: np.concatenate([one[n].reshape(1, *one[n].shape[1:]) for one in found])
            for n, name in enumerate(self._names)
        }


class QonnxExecutor:
    """A checked file in QONNX's executor, which runs its own quantizers node by node."""

    def __init__(self, path: Path) -> None:
        wrapper: Any = library("qonnx.core.modelwrapper", "a comparison with QONNX")
        self._execution: Any = library("qonnx.core.onnx_exec", "a comparison with QONNX")
        shapes: Any = library("qonnx.transformation.infer_shapes", "a comparison with QONNX")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = wrapper.ModelWrapper(str(path)).transform(shapes.InferShapes())
        graph = self._model.graph
        initializers = {one.name for one in graph.initializer}
        self._input = next(one.name for one in graph.input if one.name not in initializers)
        self.output = graph.output[0].name

    def run(self, wanted: list[str], images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """By name, the wanted values and the output; images: (N, …)."""
        shape = self._model.get_tensor_shape(self._input)
        found: dict[str, list[NDArray[Any]]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for image in images:
                given = {self._input: image.reshape(shape).astype(np.float32)}
                every = self._execution.execute_onnx(
                    self._model, given, return_full_exec_context=True
                )
                for name in [self.output, *wanted]:
                    found.setdefault(name, []).append(every[name])
        return {name: np.concatenate(values) for name, values in found.items()}
