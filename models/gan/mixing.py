"""Generated images among those that a network learns from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.errors import InputError
from hwsim.models.gan import files
from hwsim.models.gan.files import GeneratorFile
from hwsim.models.gan.recipe import Wanted
from hwsim.models.train_network import Data, Generated


def mixed(data: Data, wanted: Wanted) -> Data:
    """``data`` with generated images behind its real ones, their classes taking turns.

    Raises InputError for a generator that is not there, damaged, or of another data set.
    """
    path = files.place(wanted.name)
    return with_images(data, files.load(path), wanted, path)


def with_images(data: Data, found: GeneratorFile, wanted: Wanted, path: Path) -> Data:
    """The same of an opened file."""
    learn = data.learn
    if found.dataset != learn.name:
        raise InputError(f"{path}: makes images of {found.dataset}, not of {learn.name}")
    count = len(learn) if wanted.images is None else wanted.images
    images, labels = files.sampled(found.generator, count, wanted.seed)
    whole = replace(
        learn,
        images=np.concatenate([learn.images, images]),
        labels=np.concatenate([learn.labels, labels]),
    )
    made = Generated(path.stem, found.digest, count, wanted.seed)
    return replace(data, learn=whole, generated=made)
