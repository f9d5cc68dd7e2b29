"""A trained generator as one file: its weights and, in the same file, where they come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from hwsim.errors import InputError
from hwsim.files.content import canonical
from hwsim.models import checkpoint
from hwsim.models.datasets.known import CATALOG
from hwsim.models.gan.networks import Generator
from hwsim.models.gan.recipe import DATASETS, GanRecipe
from hwsim.models.specs import STUDY_DISTRIBUTION
from hwsim.models.zoo import STUDY_PACKAGE

#: The generators of a checkout; only studies need them, so that wheels have them apart.
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


class _Quality(BaseModel):
    """See hwsim.models.gan.quality."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    spread: float
    nearest: float
    judge: str | None
    read: float | None
    read_real: float | None


class _Facts(BaseModel):
    """What a file must say of itself; it may come from anywhere."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: str
    dataset: str
    dataset_digest: str
    images: Annotated[int, Field(ge=1)]
    recipe: GanRecipe
    quality: _Quality
    note: str | None


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
    whole = {"kind": KIND, **facts}
    _told(path, whole)  # what could not be read again is not written
    kept = rounded(generator)
    checkpoint.save(path, kept, whole)
    return GeneratorFile(generator.eval(), whole, checkpoint.content_digest(kept, whole))


def load(path: Path) -> GeneratorFile:
    """A generator that ``save`` wrote.

    Raises InputError, one line, for a file that is missing, damaged, edited or something else.
    """
    # A user's file, which nobody should be told to delete: it may be something else.
    found = checkpoint.load(path, LIMIT, f"or no generator: {advice(path.stem)}")
    if found is None:
        raise InputError(f"{path}: there is no such generator: {advice(str(path))}")
    tensors, facts = found
    if facts.get("kind") != KIND:
        raise InputError(f"{path}: not the file of a generator, which hwsim gan train writes")
    told = _told(path, facts)
    if told.dataset not in DATASETS:
        raise InputError(f"{path}: of a data set that hwsim has no generators for")
    classes = len(CATALOG[told.dataset].classes)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    try:
        # Without memory: a file may say that it is larger than it is.
        with torch.device("meta"):
            generator = Generator(classes, told.recipe.latent, told.recipe.channels)
        generator.load_state_dict(weights, assign=True)
    except RuntimeError:
        raise InputError(f"{path}: its weights do not fit what it says of itself") from None
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise InputError(f"{path}: its weights are no finite numbers")
    return GeneratorFile(generator.eval(), facts, checkpoint.content_digest(tensors, facts))


def _told(path: Path, facts: Mapping[str, Any]) -> _Facts:
    try:
        # As JSON, whose objects are fields of the recipe.
        return _Facts.model_validate_json(canonical(dict(facts)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "facts"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: says of itself, {where}: {reason}") from None


def place(name: str) -> Path:
    """The file that a user names: one that is known, by its name, or a path."""
    return next((path for path in _known() if path.stem == name), Path(name))


def names() -> list[str]:
    """Generators that are there, by name."""
    return sorted(path.stem for path in _known())


def _known() -> list[Path]:
    """Those of a checkout, or of the distribution that brings what only studies need."""
    spec = find_spec(STUDY_PACKAGE)
    apart = [] if spec is None or not spec.origin else [Path(spec.origin).parent / "gan"]
    found = {path.stem: path for f in (*apart, FOLDER) for path in f.glob("*.safetensors")}
    return list(found.values())


def advice(name: str) -> str:
    """How to come by a generator that is not there: to be read in a sentence."""
    match = re.fullmatch(r"mnist-dcgan-s([0-2])", name)
    if match is None:
        return "make one with hwsim gan train"
    return (
        f"a clone has it, and so has {STUDY_DISTRIBUTION}; or make it with: hwsim gan train mnist "
        f"--samples 3000 --seed {match[1]}, and name its file"
    )


def sampled(
    generator: Generator, count: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` images (count, 1, 28, 28) uint8, and labels (count,): classes take turns.

    The first images of a seed are the same whatever the count. Raises InputError for none.
    """
    if count < 1:
        raise InputError(f"give at least 1 image to be generated, got {count}")
    labels = torch.arange(count) % generator.classes
    parts = []
    with torch.inference_mode():
        for number, told in enumerate(labels.split(BATCH)):
            random = torch.Generator().manual_seed(seed * 1_000_003 + number)
            # Always a whole batch of noise, so that a shorter one begins with the same values.
            noise = torch.randn(BATCH, generator.latent, generator=random, dtype=torch.float32)
            made = generator.eval()(noise[: len(told)], told)
            parts.append((made * 255).round().to(torch.uint8).numpy())
    return np.concatenate(parts), labels.numpy()
