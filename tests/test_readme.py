"""Every command and example in the README runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: `make test` runs this file; `make bench` and `make paper` compute for minutes.
NOT_HERE = ("make test", "make bench", "make paper QUICK=1")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and line not in NOT_HERE]


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make_command_runs(command: str) -> None:
    done = run(command, ROOT)
    assert done.returncode == 0, done.stderr
    assert "one inference" in done.stdout


@pytest.mark.slow
def test_hwsim_commands_run_one_after_the_other(tmp_path: Path) -> None:
    lines = [c for c in commands() if c.startswith("hwsim")]
    assert len(lines) >= 6
    for line in lines:
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout.strip(), line


@pytest.mark.slow
@pytest.mark.clients
def test_python_example_runs(tmp_path: Path) -> None:
    (example,) = blocks("python")
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    done = run([sys.executable, str(script)], tmp_path)
    assert done.returncode == 0, done.stderr
    clean, fooled = (float(value) for value in re.findall(r"([\d.]+)%", done.stdout))
    assert clean > 70
    assert fooled > 100 - clean


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_every_folder_in_the_map_exists() -> None:
    for folder in re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
