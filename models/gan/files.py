"""A trained generator as one file: its weights and, in the same file, where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.errors import InputError
from hwsim.models import checkpoint
from hwsim.models.datasets.known import CATALOG
from hwsim.models.gan.networks import Generator
from hwsim.models.gan.recipe import DATASETS, GanRecipe

#: The generators that ship with hwsim.
FOLDER = Path(__file__).parent / "trained"
#: What says that a file is one; raise the number when the meaning of its facts changes.
KIND = "hwsim generator 1"
#: Bytes of the tensors of any file: far beyond what this architecture is trained with.
LIMIT = 1 << 26
#: Images that are made at once.
BATCH = 500


@dataclass(frozen=True, eq=False)
class GeneratorFile:
    """A generator and what is known of it.

    generator: in eval mode, its weights those of the file. facts: dataset, dataset_digest, images
    (learnt from), recipe (fields of GanRecipe), quality (see hwsim.models.gan.quality), note of
    the data or None. digest: SHA-256 over weights and facts.
    """

    generator: Generator = field(repr=False)
    facts: Mapping[str, Any]
    digest: str

    @property
    def dataset(self) -> str:
        return str(self.facts["dataset"])


def rounded(generator: Generator) -> dict[str, Tensor]:
    """Its state as a file holds it: numbers in bfloat16, to which it is also rounded in place."""
    state = generator.state_dict()
    kept = {k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}
    generator.load_state_dict(kept)
    return kept


def save(generator: Generator, facts: Mapping[str, Any], path: Path) -> GeneratorFile:
    """Write the file, whole or not at all; the generator is rounded to what it holds.

    Raises InputError where it cannot be written.
    """
    kept = rounded(generator)
    whole = {"kind": KIND, **facts}
    checkpoint.save(path, kept, whole)
    return GeneratorFile(generator.eval(), whole, checkpoint.content_digest(kept, whole))


def load(path: Path) -> GeneratorFile:
    """A generator that ``save`` wrote.

    Raises InputError, one line, for a file that is missing, damaged, edited or something else.
    """
    found = checkpoint.load(path, LIMIT)
    if found is None:
        raise InputError(f"{path}: there is no such file: make one with hwsim gan train")
    tensors, facts = found
    if facts.get("kind") != KIND:
        raise InputError(f"{path}: not the file of a generator, which hwsim gan train writes")
    try:
        recipe = GanRecipe(**facts["recipe"])
        dataset = facts["dataset"]
        if dataset not in DATASETS:
            raise InputError(f"{path}: of a data set that hwsim has no generators for")
        generator = Generator(len(CATALOG[dataset].classes), recipe.latent, recipe.channels)
        generator.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError):
        raise InputError(f"{path}: its weights do not fit what it says of itself") from None
    return GeneratorFile(generator.eval(), facts, checkpoint.content_digest(tensors, facts))


def place(name: str) -> Path:
    """The file that a user names: one that ships, by its name, or a path."""
    shipped = FOLDER / f"{name}.safetensors"
    if name in names():
        return shipped
    return Path(name)


def names() -> list[str]:
    """Generators that ship, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def sampled(
    generator: Generator, count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` images (count, 1, 28, 28) uint8, and labels (count,): classes take turns.

    The first images of a seed are the same whatever the count.
    """
    labels = torch.arange(count) % generator.classes
    parts = []
    with torch.inference_mode():
        for number, told in enumerate(labels.split(BATCH)):
            random = torch.Generator().manual_seed(seed * 1_000_003 + number)
            # Always a whole batch of noise, so that a shorter one begins with the same values.
            noise = torch.randn(BATCH, generator.latent, generator=random, dtype=torch.float32)
            made = generator.eval()(noise[: len(told)], told)
            parts.append((made * 255).round().to(torch.uint8).numpy())
    if not parts:
        raise InputError("give at least 1 image to be generated")
    return np.concatenate(parts), labels.numpy()
