"""What a killed process left half-written: whose it was, and how the next one cleans up."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
from functools import lru_cache
from pathlib import Path


@lru_cache
def _here() -> str:
    """Where process numbers mean the same: this machine, or this container on it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def beside(path: Path, suffix: str) -> Path:
    """A new hidden name beside ``path`` that says which process owns it."""
    return path.with_name(f".{path.name}.{_here()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def sweep(path: Path, suffix: str) -> list[Path]:
    """What dead processes of this machine left under ``beside(path, suffix)``, oldest first.

    Another machine's, and those whose process number lives (again), are left alone.
    """
    found = []
    start = f".{path.name}.{_here()}-"
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return []
    for name in names:
        if name.startswith(start) and name.endswith(suffix):
            owner = name[len(start) :].split("-")[0]
            if owner.isdecimal() and not _lives(int(owner)):
                found.append(path.with_name(name))
    return found


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def remove(paths: list[Path]) -> None:
    """Delete files and folders; what cannot be deleted stays."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue
