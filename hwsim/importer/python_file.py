"""``file.py:function``: the one way in which code of the user is run, because he asks for it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from torch import nn

from hwsim.compiler.preparing import line
from hwsim.errors import InputError


def called(name: str) -> nn.Module:
    """What the function of ``file.py:function`` returns, in eval().

    Executes the file. Raises InputError where there is none, where it raises, and where the
    function returns no module.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{file}: does not exist")
    spec = importlib.util.spec_from_file_location(f"hwsim_user_{path.stem}", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look there
    try:
        # Not by its loader: bytecode of a second ago would stand for what was written since, and
        # be left beside the user's file.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
        found = getattr(module, function, None)
        made = found() if callable(found) else None
    except Exception as error:
        raise InputError(f"{name}: raised {type(error).__name__}: {line(error)}") from None
    if not isinstance(made, nn.Module):
        what = "is no function of it" if found is None else f"returned {type(made).__name__}"
        raise InputError(f"{name}: {what}: it must return a torch.nn.Module")
    return made.eval()
