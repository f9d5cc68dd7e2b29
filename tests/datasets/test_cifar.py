"""CIFAR-10: binary files and the archive that holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.models.datasets.dataset import (
    load_dataset,
)
from hwsim.models.datasets.known import CATALOG, Archive
from tests import shared_files
from tests.datasets.files import (
    serve,
    sha256,
    tarball,
    write,
)


def cifar_file(label: int = 3) -> bytes:
    """10,000 records whose red, green and blue planes are 1, 2, 3."""
    record = bytes([label]) + b"\1" * 1024 + b"\2" * 1024 + b"\3" * 1024
    return record * 10_000


@pytest.mark.parametrize("sub", ["", "cifar10", "cifar-10-batches-bin"])
def test_cifar_binary_files_are_read_in_channel_planes(tmp_path: Path, sub: str) -> None:
    write(tmp_path / "d" / sub, {"test_batch.bin": cifar_file()})
    found = load_dataset("cifar10", "test", data_dir=tmp_path / "d")
    assert found.images.shape == (10_000, 3, 32, 32)
    assert [int(found.images[5, c].max()) for c in range(3)] == [1, 2, 3]
    assert found.class_names[int(found.labels[0])] == "cat"
    assert found.note is not None
    assert sha256(cifar_file()) in found.note


@pytest.mark.slow
def test_cifar_training_files_follow_each_other(tmp_path: Path) -> None:
    write(tmp_path, {f"data_batch_{k}.bin": cifar_file(k) for k in range(1, 6)})
    found = load_dataset("cifar10", "train", data_dir=tmp_path)
    assert found.labels[::10_000].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("payload", "said"),
    [(cifar_file()[:-3073], "truncated"), (cifar_file() + b"\0", "too long"), (b"", "truncated")],
)
def test_cifar_file_of_another_length_is_refused(tmp_path: Path, payload: bytes, said: str) -> None:
    write(tmp_path, {"test_batch.bin": payload})
    with pytest.raises(InputError, match=rf"test_batch\.bin: {said}"):
        load_dataset("cifar10", "test", data_dir=tmp_path)


def test_cifar_archive_is_verified_kept_and_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packed = tarball(
        tmp_path / "a.tar.gz", "cifar-10-batches-bin", {"test_batch.bin": cifar_file()}
    ).read_bytes()
    name = "cifar-10-binary.tar.gz"
    archive = Archive(
        name, sha256(packed), len(packed), (f"https://h/{name}",), "cifar-10-batches-bin"
    )
    monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], archive=archive))
    serve(monkeypatch, {name: packed[:-1] + b"x"})
    with pytest.raises(InputError, match=f"{name}: wrong SHA-256"):
        load_dataset("cifar10", "test")
    assert not (tmp_path / "cache").exists()
    asked = serve(monkeypatch, {name: packed})
    assert len(load_dataset("cifar10", "test")) == 10_000
    assert len(load_dataset("cifar10", "test")) == 10_000
    assert len(asked) == 1
    write(tmp_path / "own", {name: packed})
    assert len(load_dataset("cifar10", "test", data_dir=tmp_path / "own")) == 10_000
    (tmp_path / "cache" / "cifar10" / name).write_bytes(packed[:100])
    with pytest.raises(InputError, match="wrong SHA-256 and was removed"):
        load_dataset("cifar10", "test", offline=True)


@pytest.mark.slow
def test_recompressed_cifar_loads_and_says_so(tmp_path: Path) -> None:
    shared_files.photographs(tmp_path)
    found = load_dataset("cifar10", "test", data_dir=tmp_path)
    assert np.bincount(found.labels).tolist() == [1000] * 10
    assert not found.canonical
    assert np.bincount(found.take(100).labels).tolist() == [10] * 10
