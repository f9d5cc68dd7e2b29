"""Where numba keeps what it compiled, when neither the installation nor the home can be written.

numba looks for a folder beside each source file, then in the user's cache, and where it finds none
refuses to define the function at all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from platformdirs import user_cache_dir

from hwsim.files.cache import can_write, writable_folder


def ensure_kernel_cache(package: str) -> None:
    """See to it that the functions of the folder of ``package`` (its ``__file__``) can be kept.

    Nothing is done where numba helps itself. Else its folder is in hwsim's cache, which HWSIM_CACHE
    may name, or goes with this process.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    # numba asks appdirs for its own folder, which stands in the same place as ours.
    users = Path(user_cache_dir("numba"))
    if can_write(Path(package).parent / "__pycache__") or can_write(users):
        return
    chosen = str(writable_folder("numba"))
    os.environ["NUMBA_CACHE_DIR"] = chosen  # for numba as it loads, and for processes from here
    if (loaded := sys.modules.get("numba")) is not None:
        loaded.config.CACHE_DIR = chosen
