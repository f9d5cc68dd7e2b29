"""A network by name as commands see it: the float module and its Program, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import torch
from torch import Tensor, nn

from hwsim import __version__
from hwsim.compiler.compiler import compile
from hwsim.errors import ImageError, InputError
from hwsim.importer.data import UserData
from hwsim.importer.load import load_model
from hwsim.importer.names import is_foreign, is_image
from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset, images_as_float, load_dataset
from hwsim.models.datasets.fetch import Progress
from hwsim.models.datasets.samples import Samples
from hwsim.models.layers import decode
from hwsim.networks.dequantized import Dequantized
from hwsim.networks.own_data import OwnData
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rom import image as rom

#: Training images from which binary points are chosen.
CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Network:
    """One network twice: ``module`` in float with decoded weights, ``program`` in fixed point.

    name: short, without folders. dataset: name of the data that it was trained on, or of a user's.
    alone: why there is no float network, so that ``module`` is the program without rounding; empty
    where there is one. notes: what a user should know about how its file was read.
    """

    name: str
    module: nn.Module
    program: Program
    dataset: str
    alone: str = ""
    notes: tuple[str, ...] = ()

    def inputs(self, data: Samples) -> Tensor:
        """The pixels of a data set as the network takes them: see ``fitted``."""
        return fitted(data, self.program, self.name)


def fitted(data: Samples, program: Program, name: str) -> Tensor:
    """The pixels of a data set as a program takes them: vectors (N, F), series (N, C, L), too.

    Data of a user are as they were made to be. Raises InputError for images of another size;
    ``name`` is the network's.
    """
    if isinstance(data, OwnData):
        return torch.from_numpy(data.images)
    assert isinstance(data, Dataset)
    images, (channels, height, width) = pixels(data), program.input_shape
    if images.shape[1:] == program.input_shape:
        return images
    if images[:1].numel() != channels * height * width:
        raise InputError(
            f"{name} reads inputs of shape {program.input_shape}, the images of {data.name} have "
            f"shape {tuple(images.shape[1:])}"
        )
    shape: tuple[int, ...] = program.input_shape
    if height == 1:
        shape = (channels,) if width == 1 else (channels, width)
    return images.reshape(len(images), *shape)


def versions() -> dict[str, str]:
    """What a result depends on, by name."""
    # Ours from itself: a checkout on PYTHONPATH has no metadata.
    libraries = {name: version(name) for name in ("torch", "numpy", "numba")}
    return {"python": python_version(), "hwsim": __version__, **libraries}


def pixels(data: Dataset) -> Tensor:
    """The images of a data set, float32 in [0, 1], (N, C, H, W)."""
    return torch.from_numpy(images_as_float(data))


def open_network(
    name: str,
    config: str | None = None,
    bits: int | None = None,
    on_progress: Progress = lambda what, done, total: None,
    *,
    data: UserData | None = None,
    bounds: tuple[float, float] | None = None,
) -> Network:
    """A network of any kind, compiled here, or a ``.hne`` image.

    name: of the zoo, or the path of what ``hwsim train`` wrote, ``runs/zoo/mnist-cnn-h8``, of an
    image, or of what others made: .onnx, .tflite, .pt2, file.py:function. An image that names no
    network is its own float network, without rounding. data: inputs as such a file takes them, from
    which scales are chosen where it has none. bounds: the range of an input that it leaves open.
    config: a name or a .toml path; None is ``default``, and for an image its own. bits:
    widths of activations and weights, 4 … 16, instead of the configuration's. on_progress: of
    downloads. Raises HwsimError, also for an image that was compiled for anything else.
    """
    if is_image(name):
        return _from_image(Path(name), open_program(name, config, bits))
    if is_foreign(name):
        made = load_model(name, _engine(config, bits), data=data, bounds=bounds)
        module = made.module or Dequantized(made.program)
        return Network(made.name, module, made.program, "", notes=made.notes)
    card = zoo.card(*place(name))
    engine = _engine(config, bits)
    module = zoo.load(*place(name))
    learn = load_dataset(card.dataset, "train", on_progress=on_progress)
    calibration = learn.take(min(CALIBRATION_IMAGES, len(learn)))
    facts = {"images": len(calibration), "digest": learn.digest}
    provenance: dict[str, Any] = {
        "model": name,
        "weights_sha256": card.sha256,
        "dataset": card.dataset,
        "calibration": facts | ({"note": learn.note} if learn.note else {}),
        "seed": card.seed,
        "versions": versions(),
    }
    program = compile(module, pixels(calibration), engine, provenance=provenance)
    return Network(card.name, decode(module).eval(), program, card.dataset)


def open_program(
    name: str,
    config: str | None = None,
    bits: int | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> Program:
    """The same, for whoever needs no float network: any image will do, whatever it came from."""
    if not is_image(name):
        return open_network(name, config, bits, on_progress).program
    program = rom.load(name, config=_engine(config, bits) if config else None)
    found = (program.config.act_w, program.config.wgt_w)
    if bits is not None and found != (bits, bits):
        raise ImageError(
            f"{name}: compiled for {found[0]}-bit activations and {found[1]}-bit weights, "
            f"not {bits}: compile the network again with --bits {bits}"
        )
    return program


def _engine(config: str | None, bits: int | None) -> EngineConfig:
    engine = load_config(config or "default")
    return engine if bits is None else engine.with_bits(bits)


def place(name: str) -> tuple[str, Path]:
    """Name and folder of a trained network: a bare name is in the zoo, a path where it says."""
    path = Path(name)
    if path.suffix in (".safetensors", ".json"):
        return path.stem, path.parent
    return (name, zoo.ZOO) if path.name == name else (path.name, path.parent)


def _from_image(path: Path, program: Program) -> Network:
    source = program.provenance.get("model")
    if not isinstance(source, str) or "weights_sha256" not in program.provenance:
        why = "does not say which network it was compiled from"
        if source:
            why = f"was compiled from {source}, which is not opened again"
        return standing_alone(path, program, f"the image {why}")
    try:
        card = zoo.card(*place(source))
        module = zoo.load(*place(source))
    except InputError as error:
        raise ImageError(f"{path}: its float network {source!r} cannot be used: {error}") from None
    if program.provenance.get("weights_sha256") != card.sha256:
        raise ImageError(
            f"{path}: compiled from other weights than {source} has now: compile it again"
        )
    return Network(path.stem, decode(module).eval(), program, card.dataset)


def standing_alone(path: Path, program: Program, why: str) -> Network:
    """The network of an image without a float one, for the reason ``why``."""
    name = program.provenance.get("dataset")
    return Network(path.stem, Dequantized(program), program, str(name or ""), alone=why)
