"""A network by name as commands see it: the float module, its data, its Program."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import torch
from torch import Tensor, nn

from hwsim import rom
from hwsim.compiler import compile
from hwsim.config import load_config
from hwsim.errors import ImageError, InputError
from hwsim.program import Program
from models import zoo
from models.data import Dataset, images_as_float, load_dataset
from models.layers import decode

#: Training images from which binary points are chosen.
CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Network:
    """A zoo network twice: ``module`` in float with decoded weights, ``program`` in fixed point."""

    name: str
    module: nn.Module
    program: Program
    dataset: str


def versions() -> dict[str, str]:
    """What a result depends on, by name."""
    libraries = {name: version(name) for name in ("hwsim", "torch", "numpy", "numba")}
    return {"python": python_version(), **libraries}


def pixels(data: Dataset) -> Tensor:
    """The images of a data set, float32 in [0, 1], (N, C, H, W)."""
    return torch.from_numpy(images_as_float(data))


def open_network(name: str, config: str = "default", bits: int | None = None) -> Network:
    """``name``: a network of the zoo, compiled here; or a ``.hne`` image made from one.

    bits: widths of activations and weights, 4 … 16, instead of the configuration's.
    """
    if name.rstrip("/").endswith(".hne"):
        return _from_image(Path(name), bits)
    card = zoo.card(name)
    engine = load_config(config)
    if bits is not None:
        engine = engine.with_bits(bits)
    module = zoo.load(name)
    learn = load_dataset(card.dataset, "train")
    calibration = learn.take(min(CALIBRATION_IMAGES, len(learn)))
    provenance: dict[str, Any] = {
        "model": name,
        "weights_sha256": card.sha256,
        "dataset": card.dataset,
        "calibration": {"images": len(calibration.labels), "digest": learn.digest},
        "seed": card.seed,
        "versions": versions(),
    }
    program = compile(module, pixels(calibration), engine, provenance=provenance)
    return Network(name, decode(module).eval(), program, card.dataset)


def _from_image(path: Path, bits: int | None) -> Network:
    program = rom.load(path)
    name = program.provenance.get("model")
    if not isinstance(name, str) or name not in zoo.names():
        raise ImageError(
            f"{path}: does not say which network of the zoo it was compiled from, so there is no "
            "float network to compare with"
        )
    if bits is not None and (program.config.act_w, program.config.wgt_w) != (bits, bits):
        raise InputError(f"{path}: compiled for {program.config.act_w} bits, not {bits}")
    card = zoo.card(name)
    return Network(path.stem, decode(zoo.load(name)).eval(), program, card.dataset)
