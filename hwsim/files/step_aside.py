"""The folders attacks/ and models/ of a checkout do not stand in front of a user's own.

They are ``hwsim.attacks`` and ``hwsim.models``. With the checkout itself on ``sys.path`` they could
also be imported as ``attacks`` and ``models``, names that many projects use: whoever asks for those
is given what comes next on the path, as if hwsim were not there.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def step_aside(name: str, file: str) -> None:
    """Put the ``name`` that a path without this checkout would give in the place of ``file``'s.

    Raises ModuleNotFoundError if there is none.
    """
    checkout = Path(file).resolve().parents[1]
    others = [entry for entry in sys.path if Path(entry or ".").resolve() != checkout]
    spec = PathFinder.find_spec(name, others)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = sys.modules[name] = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
