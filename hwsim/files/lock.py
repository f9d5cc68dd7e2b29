"""One process at a time: a lock that goes with whoever held it, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: What a file system says that knows no locks.
_UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within it no other block of any process or thread on ``path`` runs; it waits for its turn.

    The file is made, and gone when nobody holds it. The system frees the lock of a killed process.
    Where the file system knows no locks nobody waits: what is done within must be right then,
    too, if twice the work. Raises OSError where the file cannot be made.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            known = _wait(file)
            # Whoever held it has removed the file: whoever comes now makes another.
            if known and not _is(path, file):
                continue
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()
            return
        finally:
            os.close(file)


def _wait(file: int) -> bool:
    """Wait for the lock of an open file; False where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        return False
    return True


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
