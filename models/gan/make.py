"""From a data set to the file of a generator: what ``hwsim gan train`` and its tests call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from hwsim.errors import InputError
from hwsim.models.datasets.known import CATALOG
from hwsim.models.gan import files
from hwsim.models.gan.files import GeneratorFile
from hwsim.models.gan.loop import train_gan
from hwsim.models.gan.quality import quality
from hwsim.models.gan.recipe import DATASETS, GanRecipe
from hwsim.models.train_network import Data, Places, as_tensor, writable

OnBatch = Callable[[int, int, float, float], None]


def make(
    name: str,
    recipe: GanRecipe,
    data: Data,
    places: Places,
    on_batch: OnBatch = lambda epoch, step, d, g: None,
) -> GeneratorFile:
    """Train a generator of ``data.learn``, look at what it makes, save ``NAME.safetensors``.

    The same call goes on from the last finished epoch, and ends in the same weights as if it had
    not been interrupted. Raises InputError for a data set that it cannot make images of, as
    ``train_gan`` does, and for folders that cannot be written.
    """
    learn = data.learn
    if learn.name not in DATASETS:
        raise InputError(f"no GAN for {learn.name!r}: choose from {', '.join(DATASETS)}")
    writable(places.out)  # now rather than after minutes of training
    facts = {
        "dataset": learn.name, "dataset_digest": learn.digest, "images": len(learn),
        "recipe": recipe.facts(), "note": data.notes,
    }  # fmt: skip
    generator = train_gan(
        as_tensor(learn), torch.from_numpy(learn.labels), len(CATALOG[learn.name].classes), recipe,
        keep=places.checkpoint(f"gan-{name}", learn), facts=facts, on_batch=on_batch,
    )  # fmt: skip
    files.rounded(generator)  # what is judged is what the file holds
    about = facts | {"quality": quality(generator, learn, data.test)}
    return files.save(generator, about, _path(places.out, name))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
