"""The folders whose ``hwsim`` is forked, and whose ``c++`` compiles the same only once."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = Path(sys.executable).parent


@contextmanager
def commands(script: Path = INSTALLED / "hwsim") -> Iterator[Path]:
    """A folder for the head of PATH, or for BIN of the Makefile, while its server runs.

    Parameters
    ----------
    script
        What the forked ``hwsim`` runs.

    Yields
    ------
    Path
        Holds ``hwsim``, forked, and ``python``, which is the one of this process.
    """
    # Not pytest's: the path of a socket has about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="hwsim-") as name:
        folder = Path(name)
        (folder / "fresh").symlink_to(script)
        _python(folder / "hwsim", HERE / "client.py")
        # A link would leave the virtual environment, which Python finds beside its own path.
        python = shlex.quote(sys.executable)
        _script(folder / "python", f'#!/bin/sh\nexec {python} "$@"\n')
        server = subprocess.Popen(
            [sys.executable, HERE / "server.py", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, text=True,
        )  # fmt: skip
        with server:  # which closes its input and waits for it
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n", "the server did not start"
            yield folder


def compiler(folder: Path) -> Path:
    """``folder`` with a ``c++``, which may be there already; empty where this machine has none."""
    real = shutil.which("c++")
    if real and not (folder / "c++").exists():
        (folder / "kept").mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another worker was here
            (folder / "real").symlink_to(real)
        part = folder / f"c++{os.getpid()}"
        _python(part, HERE / "compiler.py")
        part.replace(folder / "c++")
    return folder


def _python(path: Path, source: Path) -> None:
    """A program of ``source`` that begins in milliseconds."""
    _script(path, f"#!{sys.executable} -IS\n{source.read_text(encoding='utf-8')}")


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
