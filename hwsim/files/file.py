"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwsim.files.leftovers import beside, remove, sweep


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    Whatever else ends the block, Ctrl-C included, the temporary file is removed and ``path`` is as
    it was; where the process is killed, the next one that writes ``path`` removes it. A symbolic
    link keeps pointing where it points. Makes the folder if it is missing. Raises OSError, with a
    file name, where the folder cannot be written or the disk is full.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(sweep(path, ".part"))
    temporary = beside(path, ".part")
    temporary.touch(mode=0o600, exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(
            temporary, temporary.stat().st_mode | 0o044
        )  # 0600 would lock other users out of a shared folder
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:  # write() does not say which file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
