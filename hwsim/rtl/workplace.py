"""Where the RTL is compiled: make cuts paths at spaces, so nothing it sees may have one."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwsim.errors import HwsimError

#: Looked through for a place to compile in where the cache or the temporary folder have spaces.
_PLAIN = ("/tmp", "/var/tmp", "/dev/shm")


class NoWorkplaceError(HwsimError):
    """Every folder that could be compiled in has a space in its path."""


def awkward(path: Path | str) -> bool:
    """Whether make or the shell would take the path apart."""
    return re.search(r"[^\w./+=@,:~-]", str(path), re.ASCII) is not None


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A folder that goes when the block ends, in ``beside`` if make can live with its path.

    Raises NoWorkplaceError where there is no such place.
    """
    for candidate in (str(beside), tempfile.gettempdir(), *_PLAIN):
        if awkward(candidate):
            continue
        try:
            made = tempfile.TemporaryDirectory(prefix="build-", dir=candidate)
        except OSError:
            continue
        with made as folder:
            yield Path(folder)
        return
    raise NoWorkplaceError(
        f"compiling the RTL needs a folder whose path has no spaces: {beside} and "
        f"{tempfile.gettempdir()} have: set TMPDIR to another"
    )


def plain_folder(folder: Path, place: Path) -> Path:
    """``folder`` itself, or a link to it in ``place`` where its own path is awkward."""
    if not awkward(folder):
        return folder
    link = place / "tree"
    link.symlink_to(folder)
    return link


def plain_verilator(script: str, place: Path) -> str:
    """The same for Verilator's script, which follows links back: it and its programs are copied."""
    if not awkward(script):
        return script
    root = Path(script).resolve().parents[1]
    copy = place / "verilator"
    shutil.copytree(root / "bin", copy / "bin")
    (copy / "include").symlink_to(root / "include")
    return str(copy / "bin" / Path(script).name)
