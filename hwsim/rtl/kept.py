"""Binaries in the cache: each beside the digest of what was built, checked before it is started."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.files.reading import read_regular

#: Bytes of a simulation, which has some millions; and of its digest, in the form of sha256sum.
_MAX_BINARY, _MAX_DIGEST = 1 << 30, 1 << 10


def digest_file(binary: Path) -> Path:
    """Where the digest of ``binary`` stands."""
    return binary.with_name(f"{binary.name}.sha256")


def _line(name: str, data: bytes) -> bytes:
    """Its name is part of it: another simulation with its own digest does not pass for this one."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()


def keep(built: Path, binary: Path) -> None:
    """Put what was built, and then its digest, into the cache. Raises OSError."""
    with replacing(binary) as part:
        shutil.copy(built, part)
        part.chmod(0o755)
    with replacing(digest_file(binary)) as part:
        part.write_bytes(_line(binary.name, built.read_bytes()))


def fault(binary: Path) -> str | None:
    """Why ``binary`` is not what was built, None if it is. Raises FileNotFoundError without one."""
    try:
        data = read_regular(binary, _MAX_BINARY)
    except FileNotFoundError:
        raise
    except (InputError, OSError) as error:
        return str(error)
    try:
        said = read_regular(digest_file(binary), _MAX_DIGEST)
    except (InputError, OSError):
        return f"{binary}: has no digest beside it"
    if said != _line(binary.name, data):
        return f"{binary}: is not what was built under this name"
    if not os.access(binary, os.X_OK):
        return f"{binary}: may not be executed"
    return None
