"""However a command ends, it is an exit code and one line, never a traceback."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.commands.group import COMMANDS

ROOT = Path(__file__).parents[2]
ENTRY = "import sys; sys.argv[0] = 'hwsim'; from hwsim.cli import main; main()"
FULL = "hwsim: standard output: No space left on device\n"
CLOSED = "hwsim: standard output was closed before all was written\n"
INTERRUPTED = "hwsim: interrupted: nothing is half-written; run the same command to go on\n"

SAYING = {name: (name, "--help") for name in COMMANDS} | {
    "help": ("--help",),
    "version": ("--version",),
    "zoo list": ("zoo", "list"),
    "zoo show": ("zoo", "show", "mnist-cnn-h16"),
    "study list": ("study", "list"),
    "attack's help": ("attack", "pgd", "--help"),
}


def ended(*command: str, code: str = ENTRY, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *command],
        check=False, text=True, stderr=subprocess.PIPE, env=environment, **options,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", SAYING)
def test_a_full_standard_output_is_one_line_and_code_2(command: str) -> None:
    with open("/dev/full", "w") as full:
        done = ended(*SAYING[command], stdout=full)
    assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.slow
@pytest.mark.parametrize("command", SAYING)
def test_a_closed_pipe_is_one_line_and_code_2(command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = ended(*SAYING[command], stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (2, CLOSED)


def test_a_standard_output_that_is_not_open_is_one_line_and_code_2() -> None:
    done = ended("zoo", "list", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output is closed" in done.stderr


@pytest.mark.slow
def test_closed_input_and_messages_do_no_harm() -> None:
    done = ended("zoo", "list", stdout=subprocess.PIPE, preexec_fn=lambda: os.closerange(2, 3))
    assert done.returncode == 0
    assert "mnist-cnn-h16" in done.stdout
    done = ended("zoo", "list", stdout=subprocess.PIPE, preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", ["0", "1", "none"])
def test_columns_that_are_no_width_hide_no_table(columns: str) -> None:
    done = ended("zoo", "list", stdout=subprocess.PIPE, env={"COLUMNS": columns})
    assert "mnist-cnn-h16-banked" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "module", ["click", "hwsim.commands.ending", "hwsim.commands.group", "gettext"]
)
def test_an_interruption_while_modules_load_is_one_line_and_code_130(module: str) -> None:
    """SIGINT is sent by an import hook, at the moment when ``module`` is asked for."""
    code = (
        "import os, signal, sys\n"
        "class Hook:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Hook())\n" + ENTRY
    )
    done = ended("zoo", "list", code=code, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGINT, 130, INTERRUPTED),
        (signal.SIGTERM, 143, "hwsim: terminated: what was finished is kept; run the same "
         "command to go on\n"),
    ],
)  # fmt: skip
def test_a_signal_during_a_command_is_one_line_with_its_code(
    number: int, code: int, says: str
) -> None:
    script = (
        "import os, signal, hwsim.commands.zoo as z\n"
        f"def signalled(): os.kill(os.getpid(), {int(number)}); signal.pause()\n"
        "z.zoo.names = signalled\n" + ENTRY
    )
    done = ended("zoo", "list", code=script, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", says)


def test_a_full_disk_without_a_file_name_is_one_line() -> None:
    script = (
        "import hwsim.commands.zoo as z\n"
        "def full(): raise OSError(28, 'No space left on device')\n"
        "z.zoo.names = full\n" + ENTRY
    )
    done = ended("zoo", "list", code=script, stdout=subprocess.PIPE)
    expected = "hwsim: No space left on device: what was finished is kept\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.slow
def test_a_disk_that_fills_during_training_is_one_line_and_keeps_the_last_epoch(
    place: Path, few_digits: None
) -> None:
    """A file may have 100,000 bytes: the checkpoint does not fit."""

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    words = ("train", "mnist-cnn-h64", "--epochs", "1", "--samples", "8", "--batch", "8")
    done = ended(*words, stdout=subprocess.PIPE, cwd=place, preexec_fn=small)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "cannot write the checkpoint: File too large" in done.stderr
    assert [path for path in (place / "runs").rglob("*") if path.is_file()] == []


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [0, 2])
def test_processes_that_are_interrupted_add_no_line(tmp_path: Path, rows: int) -> None:
    """rows: 0 is while the processes start."""
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from hwsim.studies.runner.executors import chosen\n"
        "from hwsim.studies.runner.runner import run\n"
        "from hwsim.studies.runner.store import Store\nfrom tests.study_rows import squares\n"
        "folder = Path(sys.argv[1])\n"
        "def go():\n"
        "    with Store(folder / 'rows') as store, chosen(2, None) as (executor, width):\n"
        "        (folder / 'begun').touch()\n"
        "        run(squares(99, folder / 'log', 0.1), store, executor, width=width)\n"
        "if __name__ == '__main__':\n"
        "    try: go()\n"
        "    except KeyboardInterrupt: sys.exit('stopped')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    going = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = tmp_path / "log"
    until((tmp_path / "begun").exists)
    until(lambda: not rows or (log.exists() and len(log.read_text().splitlines()) >= rows))
    time.sleep(0 if rows else 0.2)
    os.killpg(going.pid, signal.SIGINT)
    assert (going.communicate(timeout=60)[1], going.returncode) == ("stopped\n", 1)
