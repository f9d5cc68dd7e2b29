"""How far the engine is from a file's own runtime: layer by layer, and in its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.files.shown import tail
from hwsim.importer import litert, onnx_runtime, tflite_file, tflite_values
from hwsim.importer.graph import FileGraph
from hwsim.importer.load import LoadedModel, kind_of
from hwsim.importer.rounding import matching
from hwsim.importer.steps import IntegerStep, Value

I64 = NDArray[np.int64]
#: Operators of ONNX whose sums a CPU may saturate: int8 weights, and a library's own products.
SATURATING = ("QLinearConv", "QLinearMatMul", "QGemm")


@dataclass(frozen=True)
class Layer:
    """One layer of one runtime beside the engine.

    equal: share of output codes that are the same, each from the image on. lsb: the largest
    difference of two codes. rounds: models of ``rounding.MODELS`` that give the runtime's codes
    from the runtime's own inputs, bit for bit on all images; empty where none does.
    """

    name: str
    operator: str
    equal: float
    lsb: int
    rounds: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A runtime: what it is, its layers, and how many answers it shares with the engine.

    answers: share of images with the same class, of one output the same sign. codes: share of equal
    codes of the output, None where it is no integer. error: why it could not be run. note: what
    this CPU makes of it.
    """

    name: str
    layers: tuple[Layer, ...] = ()
    answers: float | None = None
    between: dict[str, float] | None = None
    error: str = ""
    note: str = ""


@dataclass(frozen=True)
class RuntimeComparison:
    """All runtimes on the same images; ``missing`` says what to install where one is not there."""

    images: int
    columns: tuple[Column, ...]
    missing: str = ""


def compare(model: LoadedModel, path: Path, images: NDArray[Any]) -> RuntimeComparison:
    """Run a file's own runtimes beside the engine.

    Parameters
    ----------
    model : LoadedModel
        As ``load_model`` gives it, of an .onnx or .tflite file.
    path : Path
        The file.
    images : array (N, C, H, W), (N, C, L) or (N, F)
        Real numbers, channels first.
    """
    if model.graph is None:
        raise InputError(f"{path}: has no runtime of its own to compare with")
    engine = Engine(model.program, outside="clamp")
    grid = engine.datapath.grid(
        images.reshape(len(images), *model.program.input_shape).astype(np.float64)
    )
    tape = engine.datapath.run(grid, kept_maps=True)
    own = _own(model, tape) if model.lowered else {}
    given = _given(model, grid)
    missing, runs = _runtimes(path, model.graph, model, given)
    columns, answers = [], {"engine": _answers(tape.logits.astype(np.float64))}
    for name, found in runs:
        if isinstance(found, str):
            columns.append(Column(name, error=found))
            continue
        values, output = found
        answers[name] = _answers(output)
        layers = tuple(_layers(model, own, values)) if model.steps else ()
        shared = float((answers[name] == answers["engine"]).mean())
        between = {
            other: float((answers[other] == answers[name]).mean())
            for other in answers
            if other not in ("engine", name)
        }
        columns.append(Column(name, layers, shared, between, note=_note(name, layers)))
    return RuntimeComparison(len(images), tuple(columns), missing)


def random_images(model: LoadedModel, count: int, seed: int) -> NDArray[np.float64]:
    """Inputs drawn evenly from the codes of the input, real numbers (N, *shape)."""
    graph, random = model.graph, np.random.default_rng(seed)
    assert graph is not None
    image = model.program.input
    low, high = 0, image.last(model.program.config.act_max)
    if model.steps is not None:
        spread = model.steps.input.codes
        low, high = 0, spread.high - spread.low
    drawn = random.integers(low, high + 1, (count, *graph.input.shape))
    return np.asarray((drawn - image.zero) * float(image.scale), np.float64)


# --- runtimes -------------------------------------------------------------------------------------

Found = tuple[dict[str, NDArray[Any]], NDArray[np.float64]]


def _runtimes(
    path: Path, graph: FileGraph, model: LoadedModel, given: NDArray[Any]
) -> tuple[str, list[tuple[str, Found | str]]]:
    """(what to install, runtimes by name with what they computed or why they did not)."""
    if graph.dialect.startswith("tflite"):
        if not litert.installed():
            return "LiteRT is not installed: pip install ai-edge-litert", []

        def lite(kernel: str) -> Found:
            file = tflite_file.read(path)
            runtime = litert.LiteRT(path, file, tflite_values.names_of(file))
            return _of(graph, runtime.run(kernel, given))

        return "", [(f"LiteRT {kernel}", _tried(lite, kernel)) for kernel in litert.KERNELS]
    tensors = [value.tensor for value in _values(model) if value.tensor != graph.input.tensor]
    names = [name for name in tensors if name]
    if graph.dialect == "qonnx":
        if not onnx_runtime.installed(True):
            return "QONNX is not installed: pip install qonnx", []

        def qonnx(_: str) -> Found:
            return _of(graph, onnx_runtime.QonnxExecutor(path).run(names, given))

        return "", [("QONNX", _tried(qonnx, ""))]
    if not onnx_runtime.installed(False):
        return "ONNX Runtime is not installed: pip install onnxruntime", []

    def onnx(level: str) -> Found:
        return _of(graph, onnx_runtime.OnnxRuntime(path, names).run(level, given))

    return "", [(f"ONNX Runtime {level}", _tried(onnx, level)) for level in onnx_runtime.LEVELS]


def _tried(run: Callable[[str], Found], kind: str) -> Found | str:
    try:
        return run(kind)
    except Exception as error:  # a runtime may refuse a file in any way of its own
        return " ".join(str(error).split())[:200] or type(error).__name__


def _note(runtime: str, layers: tuple[Layer, ...]) -> str:
    """Why integer layers of a runtime are not what the file says, where the CPU is why."""
    if not runtime.startswith("ONNX Runtime"):
        return ""
    off = [one.name for one in layers if one.operator in SATURATING and not one.rounds]
    if not off or not onnx_runtime.saturates():
        return ""
    return (
        "on this CPU, without dot-product instructions, ONNX Runtime adds pairs of products in "
        f"saturating 16 bits, and is not the file in {len(off)} of {len(layers)} layers "
        f"({', '.join(tail(name) for name in off[:3])}); the engine is"
    )


def _of(graph: FileGraph, found: dict[str, NDArray[Any]]) -> Found:
    output = found[graph.output].astype(np.float64)
    return found, output.reshape(len(output), -1)


def _given(model: LoadedModel, grid: NDArray[Any]) -> NDArray[Any]:
    """What the runtime is given for codes (N, H, W, C): the same values, as the file has them."""
    graph = model.graph
    assert graph is not None
    image, program = graph.input, model.program
    real = (grid.astype(np.int64) - program.input.zero) * float(program.input.scale)
    if _takes_integers(graph) and model.steps is not None:
        real = (grid.astype(np.int64) - model.steps.input.codes.shift).astype(kind_of(image))
    if image.channels_last:
        return real if real.dtype.kind == "i" or real.dtype.kind == "u" else real.astype(np.float32)
    planes = np.moveaxis(real, -1, 1).reshape(len(real), *image.shape)
    return planes if planes.dtype.kind in "iu" else planes.astype(np.float32)


def _takes_integers(graph: FileGraph) -> bool:
    """Whether the file's input is of an integer type; QONNX only annotates it."""
    return graph.input.codes is not None and graph.dialect != "qonnx"


# --- layers ---------------------------------------------------------------------------------------


def _values(model: LoadedModel) -> list[Value]:
    if model.lowered is None:
        return []
    return [value for value, _ in model.lowered.values.values()]


def _own(model: LoadedModel, tape: Any) -> dict[str, I64]:
    """Codes of the file (N, C, H, W) that the engine computed, by the file's names."""
    assert model.lowered is not None
    found = {}
    for name, (value, place) in model.lowered.values.items():
        if any(place.map not in chunk.maps for chunk in tape.chunks):
            continue  # between a layer and its pool, where no map is
        first, count = place.channel, value.shape[0]
        parts = [chunk.maps[place.map][..., first : first + count] for chunk in tape.chunks]
        codes_ = np.concatenate(parts).astype(np.int64) - value.codes.shift
        found[name] = np.moveaxis(codes_, -1, 1)
    return found


def _layers(
    model: LoadedModel, own: dict[str, I64], values: dict[str, NDArray[Any]]
) -> Iterator[Layer]:
    assert model.steps is not None
    assert model.graph is not None
    last = model.graph.input.channels_last

    def theirs(value: Value) -> I64 | None:
        if value.tensor == model.graph.input.tensor:  # type: ignore[union-attr]
            return own.get(value.tensor or "")
        found = values.get(value.tensor or "")
        return None if found is None else as_codes(found, value, last)

    for step in model.steps.steps:
        value = step.target
        if value is None or not value.tensor or value.tensor not in own:
            continue
        wanted = theirs(value)
        if wanted is None:
            continue
        away = np.abs(own[value.tensor] - wanted)
        sources = [theirs(one) for one in step.sources]
        yield Layer(
            step.name,
            step.operator,
            float((away == 0).mean()),
            int(away.max(initial=0)),
            _models(step, sources, wanted),
        )


def _models(step: IntegerStep, sources: list[I64 | None], wanted: I64) -> tuple[str, ...]:
    """Models of rounding that give what was computed, from what was read."""
    known = [one for one in sources if one is not None]
    if len(known) < len(sources):
        return ()
    return matching(step, known, wanted)


def as_codes(values: NDArray[Any], value: Value, channels_last: bool) -> I64:
    """What a runtime computed, real numbers or integers of the file, as codes (N, C, H, W)."""
    if channels_last and values.ndim == 4:
        values = np.moveaxis(values, -1, 1)
    values = values.reshape(len(values), *value.shape)
    if values.dtype.kind == "f":
        steps = np.rint(values.astype(np.float64) / float(value.codes.scale))
        return steps.astype(np.int64) + value.codes.zero
    return values.astype(np.int64)


def _answers(output: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class of every image, the first of several; of one output, whether it is below 0."""
    if output.shape[1] == 1:
        return (output[:, 0] >= 0).astype(np.int64)
    return output.argmax(1)
