"""A digest of what a Program computes, for the state of an Engine.

Covered are the engine's configuration and every number of every layer; provenance and history tell
where a program comes from and change no answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwsim.errors import InputError
from hwsim.program.program import Program
from hwsim.program.wires import Input

#: Name of the buffer that holds it.
NAME = "program_digest"


def program_digest(program: Program) -> Tensor:
    """SHA-256 as (32,) uint8; equal for programs that compute the same with the same numbers."""
    found = hashlib.sha256()
    config = json.dumps(program.config.model_dump(mode="json"), sort_keys=True)
    _add(found, (config, program.layers, program.input, program.wires))
    return torch.tensor(list(found.digest()), dtype=torch.uint8)


def check_digest(state: Mapping[str, Any], prefix: str, program: Program) -> None:
    """InputError unless ``state``, under ``prefix``, is of an engine with this very program.

    A state without anything under ``prefix`` is torch's to complain about.
    """
    if not any(key.startswith(prefix) for key in state):
        return
    held = state.get(prefix + NAME)
    if not isinstance(held, Tensor):
        raise InputError(
            "this state names no program, so it is no engine's: an engine gets its weights from "
            "Engine(program)"
        )
    if not torch.equal(held.cpu(), program_digest(program)):
        raise InputError(
            "this is the state of an engine with another program, and loading would change "
            "nothing: build Engine(program) from that program"
        )


def _add(found: Any, value: Any) -> None:
    """Feed a value with its type and size, so that no two values read the same."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            _add(found, value.tolist())
            return
        number = np.ascontiguousarray(value, np.int64)
        found.update(f"array{number.shape}".encode() + number.astype("<i8").tobytes())
    elif dataclasses.is_dataclass(value):
        found.update(type(value).__name__.encode())
        for field in dataclasses.fields(value):
            if field.name == "top" and isinstance(value, Input) and value.top is None:
                continue  # as before there was one: states of engines without it still fit
            if field.name == "floor" and getattr(value, field.name) == 0:
                continue  # the same
            found.update(f"|{field.name}=".encode())
            _add(found, getattr(value, field.name))
    elif isinstance(value, tuple | list):
        found.update(f"list{len(value)}".encode())
        for item in value:
            _add(found, item)
    elif value is None or isinstance(value, str | bool):
        found.update(repr(value).encode())
    elif isinstance(value, int | np.integer):
        found.update(f"int{int(value)}".encode())
    elif isinstance(value, Fraction):
        found.update(f"fraction{value}".encode())
    elif isinstance(value, float | np.floating):
        found.update(f"float{float(value).hex()}".encode())
    else:
        raise TypeError(f"a program holds no {type(value).__name__}")
