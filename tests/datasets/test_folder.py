"""The data folder of a user: what is read there, and what is refused by name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.models.datasets import formats
from hwsim.models.datasets.dataset import (
    load_dataset,
)
from tests.datasets.files import (
    NAMES,
    NAMES_TEST,
    declare_canonical,
    digits,
    idx,
    sha256,
    write,
)


@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("zipped", [False, True])
def test_data_folder_is_read_flat_or_by_name_plain_or_gzipped(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    canonical: dict[str, bytes],
    sub: str,
    zipped: bool,
) -> None:
    files = {f"{k}.gz": gzip.compress(v) for k, v in canonical.items()} if zipped else canonical
    write(tmp_path / "data" / sub, files)
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path / "data"))
    found = load_dataset("mnist", "train")
    assert found.images.shape == (20, 1, 28, 28)
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [*range(10), *range(10)]
    assert found.images.tobytes() == canonical[NAMES[0]][16:]
    assert found.canonical
    assert found.note is None
    assert not (tmp_path / "cache").exists()


def test_digest_is_what_sha256sum_of_the_files_prints(
    tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    found = load_dataset("mnist", "test", data_dir=write(tmp_path / "d", canonical))
    lines = "".join(f"{sha256(canonical[name])}  {name}\n" for name in NAMES_TEST)
    assert found.digest == sha256(lines.encode())
    assert dict(found.files) == {name: sha256(canonical[name]) for name in NAMES_TEST}


def test_well_formed_file_with_another_digest_is_accepted_and_named(
    tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    own = {**canonical, NAMES[0]: idx(np.zeros((20, 28, 28)))}
    found = load_dataset("mnist", "train", data_dir=write(tmp_path / "d", own))
    assert not found.canonical
    assert found.note is not None
    assert NAMES[0] in found.note
    assert sha256(own[NAMES[0]]) in found.note
    assert NAMES[1] not in found.note


def test_debian_folder_of_fashion_mnist_is_understood(tmp_path: Path) -> None:
    files = {f"{k}.gz": gzip.compress(v) for k, v in digits(10).items()}
    write(tmp_path / "share" / "datasets" / "fashion-mnist", files)
    for root in ("share", "share/datasets", "share/datasets/fashion-mnist"):
        found = load_dataset("fashion-mnist", "test", data_dir=tmp_path / root)
        assert len(found) == 10
        assert found.class_names[9] == "ankle boot"


def test_files_of_another_data_set_with_the_same_names_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    fashion = digits(20, seed=1)
    declare_canonical(monkeypatch, "fashion-mnist", fashion)
    folder = write(tmp_path / "d", fashion)
    with pytest.raises(InputError, match="holds Fashion-MNIST"):
        load_dataset("mnist", "train", data_dir=folder, offline=True)
    write(tmp_path / "cache" / "mnist", canonical)
    assert load_dataset("mnist", "train", data_dir=folder).canonical
    assert load_dataset("fashion-mnist", "train", data_dir=folder).canonical


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: raw[:9], "truncated"),
        (lambda raw: b"", "truncated"),
        (lambda raw: raw + b"\0", "too long"),
        (lambda raw: b"\0\0\x08\x01" + raw[4:], "wrong magic number 0x00000801"),
    ],
)
def test_damaged_images_are_refused_by_name_in_one_line(
    tmp_path: Path,
    canonical: dict[str, bytes],
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    own = {**canonical, NAMES[0]: damage(canonical[NAMES[0]])}
    folder = write(tmp_path / "d", own)
    with pytest.raises(InputError, match=said) as caught:
        load_dataset("mnist", "train", data_dir=folder)
    assert str(folder / NAMES[0]) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.full(20, 10), "label 10 is outside 0 … 9"),
        (np.zeros(19), "19 labels for 20 images"),
        (np.zeros((20, 1, 1)), "wrong magic"),
    ],
)
def test_labels_must_fit_the_classes_and_the_images(
    tmp_path: Path, canonical: dict[str, bytes], labels: np.ndarray, said: str
) -> None:
    folder = write(tmp_path / "d", {**canonical, NAMES[1]: idx(labels)})
    with pytest.raises(InputError, match=said) as caught:
        load_dataset("mnist", "train", data_dir=folder)
    assert str(folder / NAMES[1]) in str(caught.value)


def test_images_of_another_size_are_refused(tmp_path: Path, canonical: dict[str, bytes]) -> None:
    folder = write(tmp_path / "d", {**canonical, NAMES[0]: idx(np.zeros((20, 32, 32)))})
    with pytest.raises(InputError, match=r"expected \(N, 28, 28\)"):
        load_dataset("mnist", "train", data_dir=folder)


def test_truncated_gzip_is_refused_by_name(tmp_path: Path, canonical: dict[str, bytes]) -> None:
    files = {f"{k}.gz": gzip.compress(v) for k, v in canonical.items()}
    files[f"{NAMES[0]}.gz"] = files[f"{NAMES[0]}.gz"][:-20]
    with pytest.raises(InputError, match=rf"{NAMES[0]}\.gz: damaged or truncated gzip"):
        load_dataset("mnist", "train", data_dir=write(tmp_path / "d", files))


def test_gzip_that_unpacks_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="more than 1000 bytes"):
        formats.gunzip(gzip.compress(bytes(100_000)), "bomb.gz", limit=1000)


def test_half_a_split_is_an_error_and_not_completed_from_elsewhere(
    tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    write(tmp_path / "cache" / "mnist", canonical)
    folder = write(tmp_path / "d", {NAMES[0]: canonical[NAMES[0]]})
    with pytest.raises(InputError, match=f"{NAMES[1]} is missing"):
        load_dataset("mnist", "train", data_dir=folder)


def test_data_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        load_dataset("mnist", "test", data_dir=tmp_path / "absent")


def test_data_folder_comes_before_the_cache(tmp_path: Path, canonical: dict[str, bytes]) -> None:
    write(tmp_path / "cache" / "mnist", canonical)
    own = load_dataset("mnist", "test", data_dir=write(tmp_path / "d", digits(30)))
    assert len(own) == 30
    assert len(load_dataset("mnist", "test")) == 20
