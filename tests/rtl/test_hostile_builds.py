"""Builds that are killed, interrupted or run twice; binaries that are not what was built."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.files.leftovers import beside
from hwsim.files.lock import locked
from hwsim.rtl import build as builds
from hwsim.rtl.build import build
from hwsim.rtl.children import run_group
from hwsim.rtl.errors import RtlError
from hwsim.rtl.kept import digest_file
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.samples import gradient_image
from tests.rtl.scenes import PROGRAM, ends, truth

pytestmark = pytest.mark.rtl


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which nothing is compiled: what has been built elsewhere is copied."""
    built = build(PROGRAM.config)
    compiled: list[Path] = []

    def copies(_: object, place: Path) -> Path:
        compiled.append(place)
        (place / "obj").mkdir()
        return Path(shutil.copy(built, place / "obj" / "hne"))

    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builds._Recipe, "compile", copies)
    monkeypatch.setattr(builds, "compiled", compiled, raising=False)
    return tmp_path / "cache" / "rtl"


def compiled() -> int:
    return len(builds.compiled)  # type: ignore[attr-defined]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def answers() -> None:
    with RtlEngine(PROGRAM) as engine:
        assert engine.run(gradient_image()).logits.tolist() == truth().logits.tolist()


def test_a_build_is_kept_beside_its_digest_and_nothing_else(cache: Path) -> None:
    binary = build(PROGRAM.config)
    assert names(cache) == [binary.name, f"{binary.name}.sha256"]
    checked = subprocess.run(["sha256sum", "-c", digest_file(binary).name], cwd=cache)
    assert checked.returncode == 0
    for _ in range(3):
        assert build(PROGRAM.config) == binary
    assert compiled() == 1


def cut(binary: Path) -> None:
    os.truncate(binary, binary.stat().st_size // 2)


def empty(binary: Path) -> None:
    os.truncate(binary, 0)


def flipped(binary: Path) -> None:
    data = bytearray(binary.read_bytes())
    data[len(data) // 2] ^= 1
    binary.write_bytes(data)


def swapped(binary: Path) -> None:
    """Another simulation with its own digest under this name."""
    shutil.copy("/bin/true", binary)
    line = subprocess.run(["sha256sum", "/bin/true"], capture_output=True, text=True).stdout
    digest_file(binary).write_text(line)


def without_digest(binary: Path) -> None:
    digest_file(binary).unlink()


def digest_of_nothing(binary: Path) -> None:
    digest_file(binary).write_bytes(b"")


def not_executable(binary: Path) -> None:
    binary.chmod(0o644)


def pipe(binary: Path) -> None:
    binary.unlink()
    os.mkfifo(binary)


def pipe_for_digest(binary: Path) -> None:
    digest_file(binary).unlink()
    os.mkfifo(digest_file(binary))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        empty,
        flipped,
        swapped,
        without_digest,
        digest_of_nothing,
        not_executable,
        pipe,
        pipe_for_digest,
    ],
)
def test_a_binary_that_is_not_what_was_built_is_named_and_built_again(
    cache: Path, damage: Callable[[Path], None]
) -> None:
    binary = build(PROGRAM.config)
    damage(binary)
    with pytest.warns(RuntimeWarning, match=f"{binary.name}.*: it is built again") as said:
        assert build(PROGRAM.config) == binary
    assert len(said) == 1
    assert compiled() == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers()
    assert compiled() == 2


def test_a_folder_in_its_place_is_one_line(cache: Path) -> None:
    binary = build(PROGRAM.config)
    binary.unlink()
    binary.mkdir()
    with pytest.warns(RuntimeWarning, match="is a folder"), pytest.raises(OSError, match="rectory"):
        build(PROGRAM.config)
    assert [name for name in names(cache) if name.startswith(".")] == []


def test_what_a_build_that_is_not_right_says_is_one_line_and_nothing_is_left(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Path:
        raise RtlError("the RTL does not build: no reason given")

    monkeypatch.setattr(builds._Recipe, "compile", fails)
    with pytest.raises(RtlError, match="no reason given"):
        build(PROGRAM.config)
    assert names(cache) == []


def test_the_next_build_removes_what_killed_ones_left(cache: Path) -> None:
    cache.mkdir(parents=True)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True).stdout.strip()  # fmt: skip
    mine = beside(cache / "hwsim-build", ".tmp")
    theirs = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{gone}-"))
    for one in (mine, theirs):
        (one / "obj").mkdir(parents=True)
        (one / "obj" / "Vhne.o").write_bytes(b"half")
    build(PROGRAM.config)
    assert mine.exists()
    assert not theirs.exists()


def test_many_threads_that_need_one_simulation_build_it_once(cache: Path) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(build(PROGRAM.config))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert compiled() == 1


def test_a_lock_is_for_one_at_a_time_and_leaves_no_file(tmp_path: Path) -> None:
    path, inside, most = tmp_path / ".lock", [0], [0]

    def work() -> None:
        for _ in range(50):
            with locked(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert names(tmp_path) == []


CHILD = """
import sys
from hwsim.rtl.build import build
from hwsim.numbers.config import load_config
print(build(load_config("tiny")), flush=True)
"""


def child(cache: Path) -> subprocess.Popen[str]:
    """A process that builds, and says what."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD], env={**os.environ, "HWSIM_CACHE": str(cache)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_that_come_behind_a_killed_build_wait_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really compiled: once begun and killed, then once to the end for both."""
    cache = tmp_path / "rtl"
    first = child(tmp_path)
    while not list(cache.glob(".hwsim-build.*.tmp/obj/*.cpp")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    left = list(cache.glob(".hwsim-build.*"))
    assert len(left) == 1

    both = [child(tmp_path) for _ in range(2)]
    most = 0
    while any(one.poll() is None for one in both):
        most = max(most, len(set(cache.glob(".hwsim-build.*")) - set(left)))
        time.sleep(0.02)
    said = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert most == 1
    assert {out for out, _ in said} == {f"{cache / next(iter(names(cache)))}\n"}
    assert [err for _, err in said] == ["", ""]
    assert len(names(cache)) == 2
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    answers()


def test_an_interrupted_build_ends_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; kill -INT {os.getpid()}; wait"
    with pytest.raises(KeyboardInterrupt):
        run_group(["sh", "-c", script], os.environ)
    ends(int((tmp_path / "pid").read_text()))
