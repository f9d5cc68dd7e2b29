"""How far an exported graph is from the engine, in the runtime that it was made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.exporter.graph import INPUT, OUTPUT
from hwsim.exporter.libraries import there
from hwsim.program.program import Program

if TYPE_CHECKING:
    from onnx import ModelProto

Reals = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """A runtime beside the engine on some images.

    answers: images, of ``images``, with the same class. equal: share of logits that are the same
    integer. logits: largest difference of a logit, in LSB; largest: of the engine's logits.
    """

    runtime: str
    images: int
    answers: int
    equal: float
    logits: float
    largest: int

    def __str__(self) -> str:
        return (
            f"{self.runtime}: {self.answers} of {self.images} answers as the engine's, "
            f"{100 * self.equal:.2f}% of the logits the same integer, largest difference "
            f"{self.logits:.3g} LSB of logits up to ±{self.largest:,}"
        )


def compare(
    program: Program,
    model: ModelProto,
    format_name: str,
    codes: NDArray[np.integer],
    expected: NDArray[np.int64],
) -> list[Difference]:
    """One entry for each runtime of the format that is installed.

    codes: images (N, C, H, W), 0 … 2^ACT_W − 1. expected: the engine's logits of them,
    (N, classes). QCDQ runs in ONNX Runtime, without and with its optimizations; QONNX in qonnx's
    own executor.
    """
    reals = (codes.astype(np.int64) - program.input.zero) * float(program.input.scale)
    images = reals.astype(np.float32)
    found = []
    for name, run in _runtimes(format_name, model).items():
        found.append(_difference(name, run(images), program.logit_scale, expected))
    return found


def _difference(
    runtime: str, logits: Reals, scale: float, expected: NDArray[np.int64]
) -> Difference:
    steps = logits.astype(np.float64) / scale
    whole = np.rint(steps).astype(np.int64)
    return Difference(
        runtime, len(expected), int((whole.argmax(1) == expected.argmax(1)).sum()),
        float((whole == expected).mean()), float(np.abs(steps - expected).max()),
        int(np.abs(expected).max()),
    )  # fmt: skip


def _runtimes(format_name: str, model: ModelProto) -> dict[str, Callable[[Reals], Reals]]:
    if format_name == "qonnx":
        return {"qonnx": _qonnx(model)} if there("qonnx") else {}
    if not there("onnxruntime"):
        return {}
    return {
        "ONNX Runtime, optimizations off": _onnxruntime(model, optimized=False),
        "ONNX Runtime, its default": _onnxruntime(model, optimized=True),
    }


def _onnxruntime(model: ModelProto, optimized: bool) -> Callable[[Reals], Reals]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(images: Reals) -> Reals:
        (logits,) = session.run([OUTPUT], {INPUT: images})
        return np.asarray(logits, np.float32)

    return run


def _qonnx(model: ModelProto) -> Callable[[Reals], Reals]:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapped: Any = ModelWrapper(model).transform(InferShapes())

    def run(images: Reals) -> Reals:
        rows = [execute_onnx(wrapped, {INPUT: image[None]})[OUTPUT] for image in images]
        return np.concatenate(rows).astype(np.float32)

    return run
