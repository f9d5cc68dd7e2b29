"""Networks and inputs that strangers hand over, made here of small networks: how each is damaged.

Nothing vouches for such files. So what is accepted is held to what the file now says, read by the
library of its format alone: the words of every layer stand in it. Whatever it says, the proof of
hwsim.program.proof holds for it, or there is no program.
"""

from __future__ import annotations

import dataclasses
import io
import random
import warnings
import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from hwsim.exporter import graph as exporter
from hwsim.importer.data import UserData, read_data
from hwsim.importer.load import load_model
from hwsim.importer.tflite_file import BROKEN
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.program.proof import check as prove
from tests.hostile import flatbuffer_edits, mutations, protobuf_edits
from tests.hostile.artefact import Artefact
from tests.hostile.mutations import Files
from tests.images import equal, small_program
from tests.importer import onnx_files, tflite_files

Words = NDArray[Any]
Fields = Callable[[random.Random, bytes], tuple[str, bytes]]


class Model(Artefact):
    """A file of a network. Half of the edits are of bytes, half of the fields of its format."""

    signed = False
    memory, address_space, seconds = 1 << 30, 6 << 30, 2.0
    cases = 600
    #: The name of the file, and what edits its fields.
    file: str
    fields: Fields
    #: Engine, inputs and range that it is read with.
    config = load_config("default").replace(mult_w=31)
    data: UserData | None = None
    bounds: tuple[float, float] | None = None

    @abstractmethod
    def write(self, path: Path, seed: int) -> None:
        """The example ``seed``."""

    def make(self, folder: Path, seed: int) -> Files:
        folder.mkdir()
        self.write(folder / self.file, seed)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def mutate(self, draw: random.Random) -> tuple[str, Files]:
        if draw.randrange(2):
            return super().mutate(draw)
        done, data = type(self).fields(draw, self.files[self.file])
        return f"{self.file}: {done}", {**self.files, self.file: data}

    def read(self, folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = load_model(folder / self.file, self.config, data=self.data, bounds=self.bounds)
        return dataclasses.replace(model.program, provenance={})

    def same(self, found: Any, files: Files) -> bool:
        return equal(found, self.expected)

    def check(self, found: Program, files: Files) -> bool:
        prove(found)
        found_constants = self.constants(files[self.file])
        if found_constants is None:
            return True
        constants = list(found_constants)
        return all(
            any(map(_same_words(layer), constants)) for layer in found.layers
            if isinstance(layer, MacLayer) and not _own_words(layer)
        )  # fmt: skip

    def constants(self, data: bytes) -> Iterable[Words] | None:
        """All arrays of the file, as its library reads them; None where words are worked out."""
        return None


def _own_words(layer: MacLayer) -> bool:
    """Whether the layer is one that the importer makes itself: sums of single values."""
    return bool(np.isin(layer.virtual_weights, (0, 1)).all())


def _same_words(layer: MacLayer) -> Callable[[Words], bool]:
    """Whether an array is the layer's words: output by output, but for order and zero point."""
    words = np.sort(layer.virtual_weights.astype(np.int64), axis=1)

    def is_one(found: Words) -> bool:
        if found.size != words.size or found.dtype.kind not in "iu":
            return False
        plain = found.astype(np.int64)
        ways = [np.moveaxis(plain, axis, 0) for axis in range(plain.ndim)]
        sorted_ = (np.sort(way.reshape(len(words), -1), axis=1) for way in ways
                   if len(way) == len(words))  # fmt: skip
        return any((np.ptp(way - words, axis=1) == 0).all() for way in sorted_)

    return is_one


class Onnx(Model):
    """Any .onnx file."""

    file = "net.onnx"
    fields = staticmethod(protobuf_edits.edited)


class IntegerOnnx(Onnx):
    """One whose constants are the words of the engine."""

    def constants(self, data: bytes) -> Iterable[Words]:
        model = onnx.ModelProto()
        model.ParseFromString(data)
        for one in model.graph.initializer:
            if one.data_location == onnx.TensorProto.EXTERNAL:
                yield self.beside(one)
            elif one.data_type:
                yield numpy_helper.to_array(one)

    def beside(self, one: Any) -> Words:
        return numpy_helper.to_array(one, str(self.folder))


class QdqOnnx(IntegerOnnx):
    name = "onnx-qdq"

    def write(self, path: Path, seed: int) -> None:
        onnx_files.qdq(path, per_channel=seed == 1)


class OperatorOnnx(IntegerOnnx):
    name = "onnx-qoperator"

    def write(self, path: Path, seed: int) -> None:
        onnx_files.qoperator(path)


class ExternalOnnx(IntegerOnnx):
    """Its weights in a file beside it."""

    name = "onnx-external"

    def write(self, path: Path, seed: int) -> None:
        onnx_files.qdq(path)
        onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin",
                  size_threshold=8)  # fmt: skip


class QuantOnnx(Onnx):
    """Its integers are only worked out: real weights between Quant nodes."""

    name = "onnx-qonnx"

    def write(self, path: Path, seed: int) -> None:
        onnx_files.qonnx(path, bits=1 + seed)


class OwnOnnx(IntegerOnnx):
    """A network of ours as ``hwsim export`` writes it."""

    name = "onnx-qcdq"

    def write(self, path: Path, seed: int) -> None:
        config = load_config("default").with_bits(8 if seed == 1 else 6)
        onnx.save(exporter.build(small_program(config), "qcdq"), path)


def _inputs(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).random(shape).astype(np.float32)


class FloatOnnx(Onnx):
    """In float: words are chosen when it is read."""

    name = "onnx-float"
    data = UserData(_inputs(8, 3, 6, 6))
    config = load_config("default")

    def write(self, path: Path, seed: int) -> None:
        onnx_files.floating(path, opset=13 if seed == 1 else 11)


class Tflite(Model):
    name = "tflite"
    file = "net.tflite"
    fields = staticmethod(flatbuffer_edits.edited)

    def write(self, path: Path, seed: int) -> None:
        tflite_files.small(path, zero=-7 * seed)

    def constants(self, data: bytes) -> Iterable[Words]:
        # Piece by piece: a file may be damaged where no network looks.
        model = schema.Model.GetRootAs(data, 0)
        graph = model.Subgraphs(0)
        kinds = {9: np.int8, 3: np.uint8, 2: np.int32, 7: np.int16}
        for number in range(graph.TensorsLength()):
            try:
                one = graph.Tensors(number)
                held, shape = model.Buffers(one.Buffer()).DataAsNumpy(), one.ShapeAsNumpy()
                flat = np.frombuffer(bytes(held), kinds[one.Type()])
            except BROKEN:
                continue
            if flat.size == int(np.prod(shape)):
                yield flat.reshape(shape)


class Flat(nn.Module):
    """Flatten, a layer, ReLU, a layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 2, 4, 4) -> (N, 3)."""
        found: torch.Tensor = self.layers(x)
        return found


def entries(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, a whole archive after it): an entry edited, gone, there twice or renamed."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        held = [(one.filename, old.read(one)) for one in old.infolist()]
    number = draw.randrange(len(held))
    name, content = held[number]
    kind = draw.randrange(12)
    done = "edited"
    if kind == 0:
        done = "gone"
        del held[number]
    elif kind == 1:
        done = "twice"
        held.append((name, mutations.edited(draw, content)[1]))
    elif kind == 2:
        done = "renamed"
        other = draw.choice(held)[0]
        held[number] = (draw.choice([f"../{name}", f"/{name}", other, name + ".pt"]), content)
    else:
        done, content = mutations.edited(draw, content)
        held[number] = (name, content)
    new = io.BytesIO()
    method = draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with warnings.catch_warnings(), zipfile.ZipFile(new, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that stand twice
        for one, payload in held:
            archive.writestr(one, payload)
    return f"entry {name}: {done}", new.getvalue()


class Exported(Model):
    """A program of torch.export."""

    name = "pt2"
    file = "net.pt2"
    fields = staticmethod(entries)
    data = UserData(_inputs(2, 2, 4, 4))
    config = load_config("default")
    cases = 600

    def write(self, path: Path, seed: int) -> None:
        torch.export.save(torch.export.export(Flat().eval(), (torch.zeros(2, 2, 4, 4),)), path)


class Inputs(Model):
    """Inputs with labels: what is accepted is what NumPy reads without pickle."""

    name = "npz"
    file = "data.npz"
    fields = staticmethod(entries)
    cases = 600

    def write(self, path: Path, seed: int) -> None:
        np.savez(path, x=_inputs(2, 3, 4, 4) + seed, y=np.array([1, 0], np.int64))

    def read(self, folder: Path) -> Any:
        return read_data(folder / self.file)

    def same(self, found: Any, files: Files) -> bool:
        return _alike(found.x, self.expected.x) and _alike(found.y, self.expected.y)

    def check(self, found: Any, files: Files) -> bool:
        with np.load(io.BytesIO(files[self.file]), allow_pickle=False) as held:
            y = held["y"] if "y" in held.files else None
            return _alike(found.x, held["x"]) and _alike(found.y, y)


def _alike(a: Words | None, b: Words | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool(np.array_equal(a, b))
