"""Where the RTL is compiled: make cuts paths at spaces, so nothing it sees may have one."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwsim.errors import HwsimError
from hwsim.files.leftovers import beside, remove, sweep

#: Looked through for a place to compile in where the cache or the temporary folder have spaces.
_PLAIN = ("/tmp", "/var/tmp", "/dev/shm")
#: Of folders that are compiled in.
_SUFFIX = ".tmp"


class NoWorkplaceError(HwsimError):
    """Every folder that could be compiled in has a space in its path."""


def awkward(path: Path | str) -> bool:
    """Whether make or the shell would take the path apart."""
    return re.search(r"[^\w./+=@,:~-]", str(path), re.ASCII) is not None


@contextmanager
def scratch(near: Path) -> Iterator[Path]:
    """A folder that goes when the block ends, in ``near`` if make can live with its path.

    What killed builds left in the same place goes first. Raises NoWorkplaceError where there is no
    such place.
    """
    for candidate in (str(near), tempfile.gettempdir(), *_PLAIN):
        if awkward(candidate):
            continue
        folder = Path(candidate) / "hwsim-build"
        remove(sweep(folder, _SUFFIX))
        made = beside(folder, _SUFFIX)
        try:
            made.mkdir(mode=0o700)
        except OSError:
            continue
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    raise NoWorkplaceError(
        f"compiling the RTL needs a folder whose path has no spaces: {near} and "
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
