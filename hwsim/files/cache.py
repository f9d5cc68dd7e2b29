"""The folder of what can be made again: downloads, compiled simulations, verdicts about kernels.

HWSIM_CACHE names it; else it is hwsim's folder in the user's cache. Machines may share it, so
what was compiled for one processor is kept under a name that holds the processor.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_dir

#: Lines of /proc/cpuinfo that say what a processor can do; on Arm it is Features.
_TELLING = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


def cache_folder() -> Path:
    """HWSIM_CACHE, else hwsim's folder in the user's cache; it need not exist."""
    if chosen := os.environ.get("HWSIM_CACHE"):
        return Path(chosen).expanduser()
    return Path(user_cache_dir("hwsim"))


def writable_folder(name: str) -> Path:
    """``name`` in the cache, made if it is missing.

    Where nothing can be written there (a read-only home, or none), a folder of this process that
    goes when it ends: its work is done again next time.
    """
    folder = cache_folder() / name
    return folder if can_write(folder) else _passing_folder(name)


def processor() -> str:
    """What code compiled for this very processor depends on."""
    facts = [platform.machine()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        return "\n".join([*facts, *sorted({line for line in lines if line.startswith(_TELLING)})])
    return "\n".join([*facts, platform.processor()])


def can_write(folder: Path) -> bool:
    """Whether files can be made in ``folder``, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@lru_cache
def _passing_folder(name: str) -> Path:
    folder = tempfile.mkdtemp(prefix=f"hwsim-{name}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
