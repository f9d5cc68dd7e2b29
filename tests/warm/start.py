"""The folder whose ``hwsim`` is forked."""

from __future__ import annotations

import shlex
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
        client = (HERE / "client.py").read_text(encoding="utf-8")
        _script(folder / "hwsim", f"#!{sys.executable} -IS\n{client}")
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


def _script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
