"""A forked ``hwsim`` does what a fresh one does; where it cannot, it is a fresh one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import start

FRESH = Path(sys.executable).parent / "hwsim"


def both(
    forked: Path, *command: str, fresh: Path = FRESH, **options: object
) -> subprocess.CompletedProcess[bytes]:
    """What each of the two does; fails unless it is the same."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    one, other = (
        subprocess.run([script, *command], check=False, **options)
        for script in (forked / "hwsim", fresh)
    )
    assert (one.returncode, one.stdout, one.stderr) == (
        other.returncode, other.stdout, other.stderr,
    )  # fmt: skip
    return one


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("zoo", "list"), 0),
        (("rom", "verify", "absent.hne"), 2),
        (("attack", "no-such"), 2),
        ((), 2),
    ],
)
def test_codes_and_words_are_those_of_a_fresh_process(
    forked: Path, tmp_path: Path, command: tuple[str, ...], code: int
) -> None:
    done = both(forked, *command, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout + done.stderr


@pytest.mark.slow
def test_its_streams_are_those_it_was_given(forked: Path) -> None:
    with open("/dev/full", "w") as full:
        assert both(forked, "zoo", "list", stdout=full).returncode == 2
    read, write = os.pipe()
    os.close(read)
    try:
        assert both(forked, "zoo", "list", stdout=write).returncode == 2
    finally:
        os.close(write)
    assert both(forked, "zoo", "list", preexec_fn=lambda: os.close(1)).returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("COLUMNS", "60"), ("PYTHONIOENCODING", "utf-16-le")])
def test_it_sees_the_variables_of_the_caller(forked: Path, name: str, value: str) -> None:
    """Those that Python reads as it starts, too."""
    changed = both(forked, "zoo", "list", env={**os.environ, name: value})
    usual = subprocess.run([forked / "hwsim", "zoo", "list"], stdout=subprocess.PIPE, check=True)
    assert changed.stdout != usual.stdout


SCRIPT = f"""#!{sys.executable}
import atexit, multiprocessing, os, signal, sys

atexit.register(print, "left")
print(__name__, sys.argv[1:], os.getcwd(), sys.path[0], __file__ == sys.argv[0])


def spawned(number):
    print("spawned", number, flush=True)


if __name__ == "__main__" and len(sys.argv) > 1:
    if sys.argv[1] == "raise":
        raise ValueError("wrong")
    if sys.argv[1] == "interrupt":
        signal.raise_signal(signal.SIGINT)
    if sys.argv[1] == "terminate":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)
    if sys.argv[1] == "spawn":
        sys.stdout.flush()
        process = multiprocessing.get_context("spawn").Process(target=spawned, args=(3,))
        process.start()
        process.join()
    if sys.argv[1] == "modules":
        print([name for name in ("torch", "numba", "hwsim", "tests") if name in sys.modules])
    sys.exit({{"text": "words", "wide": 259}}.get(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A program of a few endings: forked and fresh."""
    path = tmp_path_factory.mktemp("script") / "program"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    with start.commands(path) as folder:
        yield folder, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("nothing", 0), ("text", 1), ("wide", 3), ("raise", 1), ("spawn", 0),
        ("interrupt", -signal.SIGINT), ("terminate", -signal.SIGTERM),
    ],
)  # fmt: skip
def test_a_program_is_run_and_ended_as_python_does(
    script: tuple[Path, Path], tmp_path: Path, ending: str, code: int
) -> None:
    assert both(script[0], ending, "a b", cwd=tmp_path, fresh=script[1]).returncode == code


@pytest.mark.slow
def test_what_is_ours_is_imported_by_each_command(script: tuple[Path, Path]) -> None:
    done = subprocess.run([script[0] / "hwsim", "modules"], stdout=subprocess.PIPE, check=True)
    assert done.stdout.splitlines()[1] == b"['torch', 'numba']"
