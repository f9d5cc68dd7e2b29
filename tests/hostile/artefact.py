"""One kind of files that are damaged: how it is made, read, and read again with new digests.

``read`` answers what the files mean, as a value that can be compared; ``forge`` makes the digests
right again after an edit, as somebody would who means harm; what such files may mean then is
``check``'s business.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hostile.mutations import Files, mutated


class Artefact(ABC):
    """One kind of files."""

    name: str
    #: Whether digests vouch for the content: what is accepted is then what was written.
    signed = True
    #: Cases of a round.
    cases = 500
    #: Bytes that reading may take, and that a round may not ask for at all, so that a machine
    #: survives what it finds; processor time, in seconds, of a case.
    memory, address_space, seconds = 64 << 20, 4 << 30, 60.0
    #: Content that means nothing else is still this: white space in a JSON text, say.
    files: Files
    #: The files of another of the same kind.
    others: Files

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        scratch.mkdir(exist_ok=True)
        self.files, self.others = self.make(scratch / "a", 1), self.make(scratch / "b", 2)
        self.place(self.files)
        self.expected = self.read(self.folder)

    @property
    def folder(self) -> Path:
        """Where the files of a case stand."""
        return self.scratch / "case"

    def place(self, files: Mapping[str, bytes]) -> None:
        """Put ``files`` there, and nothing else."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def mutate(self, draw: random.Random) -> tuple[str, Files]:
        """(what was done, the files after it)."""
        return mutated(draw, self.files, self.others)

    @abstractmethod
    def make(self, folder: Path, seed: int) -> Files:
        """The files of the kind's example ``seed``."""

    @abstractmethod
    def read(self, folder: Path) -> Any:
        """What the files in ``folder`` mean. Raises HwsimError where they are refused."""

    def same(self, found: Any, files: Files) -> bool:
        """Whether what was read is what was written, or, where it may be, nothing."""
        return bool(found == self.expected)

    def forge(self, files: Files) -> Files | None:
        """``files`` with digests that fit, or None where they have none to make right."""
        return None

    def check(self, found: Any, files: Files) -> bool:
        """Whether what was read from forged files is what stands in them."""
        return True
