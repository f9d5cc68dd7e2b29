"""What a file of a stranger may ask for, and the one way in which too much is refused."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hwsim.errors import CompileError, InputError
from hwsim.files.reading import check_regular, read_regular
from hwsim.files.shown import shown

#: Bytes of a model file, and of all its external data together.
MAX_FILE = 1 << 28
#: Values of one tensor, declared or there.
MAX_ELEMENTS = 1 << 26
#: Operators, tensors and axes.
MAX_NODES, MAX_TENSORS, MAX_AXES = 4096, 1 << 16, 6
#: Bytes of the arrays of a data file.
MAX_DATA = 1 << 29

#: What pip calls the extra with the readers.
EXTRA = "pip install 'hwsim[import]'"


def library(name: str, what: str) -> ModuleType:
    """An optional library. Raises InputError with the remedy where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{what} needs the package {name.split('.')[0]}: {EXTRA}") from None


def text(value: Any) -> str:
    """A name of a file as one line. Raises InputError for bytes that are no text."""
    if not isinstance(value, str):
        raise InputError(f"the name {value!r} is no text: export the network again")
    return shown(value).replace("\n", "\\n")


def size_of(path: Path | str, limit: int) -> int:
    """``check_regular`` of a stranger's file. Raises InputError also where there is none."""
    try:
        return check_regular(path, limit)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def content(path: Path | str, limit: int) -> bytes:
    """``read_regular`` of a stranger's file. Raises InputError also where there is none."""
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def elements(name: str, shape: Sequence[int]) -> int:
    """The number of values of a shape.

    Raises
    ------
    CompileError
        For negative sides, too many axes, and more than ``MAX_ELEMENTS`` values.
    """
    if len(shape) > MAX_AXES:
        raise CompileError(f"{name}: has {len(shape)} axes, hwsim reads at most {MAX_AXES}")
    if any(side < 0 for side in shape):
        raise CompileError(f"{name}: has a negative side in its shape {tuple(shape)}")
    count = math.prod(int(side) for side in shape)
    if count > MAX_ELEMENTS:
        raise CompileError(
            f"{name}: its shape {tuple(shape)} has {count} values, hwsim reads at most "
            f"{MAX_ELEMENTS}: use a smaller network"
        )
    return count


#: What a node is met with whose attributes or constants do not fit each other.
MISFITS = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError,
)  # fmt: skip


#: Why, and the remedy.
DAMAGED = "has attributes or constants that do not fit", "export the network again"


def refuse(name: str, operator: str, why: str, remedy: str) -> CompileError:
    """The one line about a node that cannot run: its name, its operator, why, the remedy."""
    return CompileError(f"{name or '(unnamed)'}: {operator} {why}: {remedy}")


def within(name: str, operator: str, axis: int, axes: int) -> int:
    """An axis of ``axes``, from 0 on. Raises CompileError for one that there is not."""
    if not -axes <= axis < axes:
        raise refuse(name, operator, f"works along axis {axis} of {axes}", "export it again")
    return axis % axes


def all_within(name: str, operator: str, chosen: Sequence[int], axes: int) -> list[int]:
    """Several of them. Raises CompileError as ``within``, and for one that is named twice."""
    found = [within(name, operator, axis, axes) for axis in chosen]
    if len(set(found)) != len(found):
        raise refuse(name, operator, f"names an axis twice: {list(chosen)}", "export it again")
    return found


def check_ends(inputs: int, outputs: int) -> None:
    """Raises CompileError for a network that has not one input and one output."""
    if (inputs, outputs) != (1, 1):
        raise CompileError(
            f"the network has {inputs} inputs and {outputs} outputs: the engine runs networks with "
            "one of each: export the part between two"
        )
