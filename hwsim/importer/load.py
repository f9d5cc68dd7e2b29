"""One door for networks that others made: a file or an object becomes a Program and its twin."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.compiler.compiler import compile
from hwsim.compiler.preparing import line
from hwsim.errors import CompileError, HwsimError, InputError
from hwsim.importer import onnx_read, pt2, python_file, tflite_read
from hwsim.importer.codes import Codes
from hwsim.importer.data import UserData, as_images
from hwsim.importer.float_side import float_side
from hwsim.importer.graph import FileGraph, FileInput
from hwsim.importer.group import grouped, image_codes
from hwsim.importer.kernel_words import Kernel, engine_of
from hwsim.importer.limits import MAX_FILE, size_of
from hwsim.importer.lowering import Lowered, fitting, lower
from hwsim.importer.names import FOREIGN, is_function, is_image
from hwsim.importer.steps import IntegerSteps
from hwsim.importer.twin import twin
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rom import image as rom

#: Images from which a float network's scales are chosen.
CALIBRATION = 512


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network twice, and how its file was read.

    name: short. program: for the engine. module: in float, channels first, None where there is
    none (an image). graph, steps, values: of .onnx and .tflite files; steps of quantized ones.
    notes: what a user should know.
    """

    name: str
    program: Program
    module: nn.Module | None = None
    graph: FileGraph | None = None
    steps: IntegerSteps | None = None
    lowered: Lowered | None = None
    notes: tuple[str, ...] = ()

    def images(self, data: UserData) -> Tensor:
        """The inputs of a data file as the engine takes them, float32 (N, *shape), in its range.

        Raises InputError for arrays of another shape.
        """
        low, high = (float(end) for end in self.program.input.bounds(self.program.config.act_max))
        return torch.from_numpy(np.clip(self.values(data), low, high).astype(np.float32))

    def values(self, data: UserData) -> NDArray[np.float64]:
        """The same as real numbers, float64, also beyond the range of the input."""
        image = self.graph.input if self.graph else FileInput("x", self._shape(data), None)
        return as_images(data.x, image, kind_of(image))

    def _shape(self, data: UserData) -> tuple[int, ...]:
        shape = self.program.input_shape
        plain = [shape, shape[:1], (shape[0], shape[2])]
        return data.x.shape[1:] if data.x.shape[1:] in plain else shape


def load_model(
    source: str | Path | nn.Module | ExportedProgram,
    config: EngineConfig | str = "default",
    *,
    data: UserData | None = None,
    bounds: tuple[float, float] | None = None,
    kernel: Kernel | None = None,
) -> LoadedModel:
    """A network of any kind as a Program, and its float twin.

    Parameters
    ----------
    source : str, Path, torch.nn.Module or ExportedProgram
        ``.onnx`` (float, QDQ, QCDQ, QOperator, QONNX), ``.tflite`` (int8, float), ``.pt2`` of
        torch.export, ``.hne``, or ``file.py:function``, which is the only one that is executed:
        its function returns a module.
    config : EngineConfig or str
        The engine, or its name. A quantized file that needs wider words gets them, which ``notes``
        says.
    data : UserData, optional
        Inputs as the network takes them. Needed to calibrate float networks, and for the range of
        an input that a quantized file leaves in real numbers.
    bounds : (float, float), optional
        That range, instead of the data's.
    kernel : str, optional
        Of TFLite's integer kernels, which every layer of an int8 .tflite file rounds as, bit for
        bit: ``twice-up``, the optimized ones, or ``twice-away``, the reference ones. The engine
        then has 32-bit multipliers and, for the latter, that ``requantization``. Else each layer
        rounds once, to the nearest.

    Returns
    -------
    Model
        A quantized file keeps its integers; its twin is its dequantized graph.

    Raises
    ------
    InputError
        For files that are none, damaged, or have parts elsewhere.
    CompileError
        In one line with the node's name, its operator and the remedy, for what cannot run.
    """
    engine = load_config(config) if isinstance(config, str) else config
    if isinstance(source, nn.Module | ExportedProgram):
        return _compiled(type(source).__name__, source, None, engine, data, {})
    name = str(source)
    path = Path(name)
    if kernel is not None and path.suffix != ".tflite":
        raise InputError(f"{name}: only int8 .tflite files round as {kernel}: leave it out")
    if is_image(name):
        return LoadedModel(path.stem, rom.load(path))
    if is_function(name):
        module = python_file.called(name)
        return _compiled(name.rsplit(":", 1)[1], module, None, engine, data, {"model": name})
    if path.suffix not in FOREIGN:
        raise InputError(
            f"{name}: hwsim reads .onnx, .tflite, .pt2, .hne and file.py:function: convert it"
        )
    about = {"model": name, "file_sha256": digest(path)}
    if path.suffix == ".pt2":
        return _compiled(path.stem, pt2.read(path), None, engine, data, about)
    graph = read_graph(path)
    about["dialect"] = graph.dialect_name
    if not graph.quantized:
        if kernel is not None:
            raise InputError(
                f"{name}: is a float network, nothing rounds as {kernel}: leave it out"
            )
        return _compiled(path.stem, twin(graph), graph, engine, data, about)
    return _quantized(path.stem, graph, engine, data, bounds, about, kernel)


def read_graph(path: Path | str) -> FileGraph:
    """The graph of an .onnx or .tflite file, nothing lowered yet. Raises as ``load_model``."""
    path = Path(path)
    return (onnx_read if path.suffix == ".onnx" else tflite_read).read(path)


def kind_of(image: FileInput) -> str:
    """NumPy's name of the integers that a file takes; "" of real numbers."""
    if image.codes is None:
        return ""
    bits = (image.codes.high - image.codes.low).bit_length()
    return f"{'u' if image.codes.low == 0 else ''}int{8 if bits <= 8 else 16}"


def digest(path: Path) -> str:
    """SHA-256 of a file that may be read. Raises InputError for any other."""
    size_of(path, MAX_FILE)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quantized(
    name: str,
    graph: FileGraph,
    engine: EngineConfig,
    data: UserData | None,
    bounds: tuple[float, float] | None,
    about: dict[str, Any],
    kernel: Kernel | None,
) -> LoadedModel:
    levels = engine.act_max + 1
    codes = image_codes(graph, levels)
    notes: list[str] = []
    if codes is None:
        codes, told = _chosen(graph, data, bounds, levels)
        notes.append(told)
    steps = grouped(graph, codes)
    config, grown = fitting(steps, engine)
    notes += grown
    if kernel is not None:
        config = engine_of(config, kernel)
        about["rounds_as"] = kernel
    steps = dataclasses.replace(steps, notes=(*notes, *steps.notes))
    lowered = lower(steps, config, about, kernel)
    told_all = tuple(lowered.program.provenance.get("notes", ()))
    return LoadedModel(
        name, lowered.program, twin(graph, logits=True), graph, steps, lowered, told_all
    )


def _chosen(
    graph: FileGraph, data: UserData | None, bounds: tuple[float, float] | None, levels: int
) -> tuple[Codes, str]:
    """Codes of an input that the file leaves in real numbers, and a line about them."""
    where = graph.input.tensor
    if bounds is not None:
        low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
        origin = "the range that was given"
    elif data is not None:
        values = as_images(data.x, graph.input)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        origin = "the range of the data"
    else:
        raise InputError(
            f"{where}: takes real numbers and the file does not say in which range: give data "
            "(--data x.npz) or the range (--range 0,1)"
        )
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"{where}: {low:g} … {high:g} is no range")
    top = levels - 1
    scale = (Fraction(high) - Fraction(low)) / top
    zero = int(Fraction(-low) / scale + Fraction(1, 2))
    return Codes(scale, zero, 0, top), (
        f"{where}: takes real numbers; the engine has {levels} codes for {low:g} … {high:g}, "
        f"{origin}"
    )


def _compiled(
    name: str,
    module: nn.Module | ExportedProgram,
    graph: FileGraph | None,
    engine: EngineConfig,
    data: UserData | None,
    about: dict[str, Any],
) -> LoadedModel:
    """A float network, calibrated on data and compiled as any module is."""
    if data is None:
        raise InputError(
            f"{name}: is a float network, whose scales are chosen from data: give some of its "
            "inputs (--data x.npz)"
        )
    x = data.x
    if graph is not None:
        x = as_images(x, graph.input)
    images = torch.from_numpy(np.array(x[:CALIBRATION], np.float32))
    facts = {"images": len(images), "digest": array_digest(x[:CALIBRATION])}
    try:
        program = compile(module, images, engine, provenance={**about, "calibration": facts})
    except HwsimError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise CompileError(f"{name}: does not run on x {tuple(x.shape)}: {line(error)}") from None
    dropped = program.provenance.get("notes", ())
    notes = (*(graph.notes if graph else ()), *dropped)
    if graph is not None:
        return LoadedModel(name, program, twin(graph, logits=True), graph, notes=notes)
    softmax = any("softmax" in note for note in dropped)
    return LoadedModel(name, program, float_side(module, images, softmax), notes=notes)


def array_digest(x: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
