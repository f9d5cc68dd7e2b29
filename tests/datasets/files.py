"""Files of small data sets, as folders, mirrors and packages hold them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.models.datasets import fetch
from hwsim.models.datasets.known import CATALOG, FilePart

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


NAMES_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def digits(count: int, seed: int = 0) -> dict[str, bytes]:
    """Both splits of a small data set in MNIST's layout."""
    rng = np.random.default_rng(seed)
    files = {}
    for images, labels in (NAMES, NAMES_TEST):
        files[images] = idx(rng.integers(0, 256, (count, 28, 28)))
        files[labels] = idx(np.arange(count) % 10)
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in files.items():
        (folder / name).write_bytes(payload)
    return folder


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def declare_canonical(monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes]) -> None:
    """Let ``files`` be the published files of data set ``name``."""
    parts = {
        split: tuple(FilePart(part.name, f"sha256:{sha256(files[part.name])}") for part in old)
        for split, old in CATALOG[name].parts.items()
    }
    monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], parts=parts))


def serve(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> list[str]:
    """Every mirror serves ``files``, gzipped; returns the list of addresses asked."""
    asked: list[str] = []

    def https(url: str, limit: int, progress: object) -> bytes:
        asked.append(url)
        name = url.rpartition("/")[2]
        if name in files:
            return files[name]
        return gzip.compress(files[name.removesuffix(".gz")])

    monkeypatch.setattr(fetch, "https", https)
    return asked


def tarball(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, payload in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    return path
