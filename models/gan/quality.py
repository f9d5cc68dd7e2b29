"""How good generated images are: read as their class, as varied as real ones, no copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.gan.files import sampled
from hwsim.models.gan.networks import Generator
from hwsim.models.loop import accuracy

#: Who reads generated images: a network that has never seen any.
JUDGES = {"mnist": "mnist-cnn"}
#: Images that are judged, and the seed of those, which training sets do not use.
IMAGES, SEED = 1000, 2**20


def quality(generator: Generator, learn: Dataset, test: Dataset) -> dict[str, Any]:
    """What IMAGES generated images are like, as facts of its file.

    read: share that ``judge``, a network of the zoo, answers with the class they were made for, and
    read_real, of as many test images; None where there is no judge. spread: mean L2 distance of
    two images of a class over that of two test images, 1 where they vary as real ones do. nearest:
    mean L2 distance to the nearest image of ``learn`` over the test images', far below 1 where it
    copies.
    """
    made, labels = sampled(generator, IMAGES, SEED)
    real = test.take(min(IMAGES, len(test)))
    judge = JUDGES.get(learn.name)
    read: tuple[float, float] | None = None
    if judge in zoo.names():
        module = zoo.load(judge)
        read = _read(module, made, labels), _read(module, real.images, real.labels)
    known = _flat(learn.images)
    return {
        "judge": judge if read else None,
        "read": read and read[0],
        "read_real": read and read[1],
        "spread": _spread(made, labels) / _spread(real.images, real.labels),
        "nearest": _nearest(_flat(made), known) / _nearest(_flat(real.images), known),
    }


def _read(module: torch.nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    x = torch.from_numpy(images.astype(np.float32) / np.float32(255))
    return accuracy(module, x, torch.from_numpy(labels))


def _flat(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.reshape(len(images), -1).astype(np.float32) / np.float32(255))


def _spread(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Mean distance of two different images of one class."""
    total, pairs = 0.0, 0
    for label in np.unique(labels):
        own = _flat(images[labels == label])
        total += float(torch.cdist(own, own).double().sum())
        pairs += len(own) * (len(own) - 1)
    return total / max(1, pairs)


def _nearest(images: torch.Tensor, known: torch.Tensor) -> float:
    return float(torch.cdist(images, known).min(1).values.double().mean())
