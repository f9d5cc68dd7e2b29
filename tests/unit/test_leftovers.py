"""What a killed process left is cleaned up by the next, and nothing of a living one is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.errors import InputError
from hwsim.files import leftovers
from hwsim.files.file import replacing
from hwsim.files.output import probe, write_together
from hwsim.report.pages import write_json
from hwsim.rom import image as rom
from tests.images import equal, small_program

ROOT = Path(__file__).parents[2]
KILLED = (
    "import os, signal, sys; from pathlib import Path; from hwsim.files.file import replacing\n"
    "with replacing(Path(sys.argv[1])) as part:\n"
    "    part.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
)


def dead() -> int:
    """The number of a process that is no more."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def left_by(process: int, path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: process)
        return leftovers.beside(path, suffix)


def test_the_part_of_a_killed_run_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert [one.suffix for one in tmp_path.iterdir()] == [".part"]
    write_json({"a": 1}, path)
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]


def test_a_process_killed_as_it_tries_a_folder_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from hwsim.files import output\n"
        "Path.unlink = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "output.probe(Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert [one.suffix for one in tmp_path.iterdir()] == [".part"]
    probe(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_living_processes_and_of_other_machines_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    living = left_by(os.getppid(), path, ".part", monkeypatch)
    elsewhere = tmp_path / ".a.00000000-1-aaaaaaaa.part"
    another = left_by(dead(), tmp_path / "b", ".part", monkeypatch)
    for one in (living, elsewhere, another):
        one.touch()
    with replacing(path) as part:
        part.write_text("x")
    assert all(one.exists() for one in (living, elsewhere, another))


def test_an_image_of_which_a_killed_run_had_moved_the_old_one_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.hne"
    rom.save(small_program(), path)
    process = dead()
    os.rename(path, left_by(process, path, ".old", monkeypatch))
    left_by(process, path, ".new", monkeypatch).mkdir()
    with pytest.raises(ValueError, match="already exists"):
        rom.save(small_program(), path)
    assert equal(rom.load(path), small_program())
    assert [one.name for one in tmp_path.iterdir()] == ["a.hne"]


def test_a_run_folder_is_replaced_whole_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: tmp_path / name for name in ("png", "html", "json")}
    write_together(paths, dict.fromkeys(paths, b"old"))
    real = Path.write_bytes
    for fails in range(3):
        calls = []

        def write(self: Path, data: bytes, fails: int = fails, calls: list = calls) -> int:
            calls.append(self)
            if len(calls) == fails + 1:
                raise OSError(28, "No space left on device")
            return real(self, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", write)
            with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
                write_together(paths, dict.fromkeys(paths, b"new"))
        assert sorted(one.name for one in tmp_path.iterdir()) == sorted(paths)
        assert {one.read_bytes() for one in paths.values()} == {b"old"}


def test_the_numbers_take_their_place_after_all_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = os.replace

    def noted(source: object, target: object) -> None:
        order.append(Path(str(target)).name)
        real(str(source), str(target))

    monkeypatch.setattr(os, "replace", noted)
    paths = {name: tmp_path / name for name in ("json", "png", "html")}
    write_together(paths, {"png": b"", "html": b"", "json": b""})
    assert order == ["png", "html", "json"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error, replacing(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert error.value.filename == str(tmp_path / "a")
