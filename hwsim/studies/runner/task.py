"""One row to be computed: a function by its path, plain parameters, digests of what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar

from hwsim.files.content import canonical, digest

#: What a function answers: JSON values by name.
Row = dict[str, Any]
_F = TypeVar("_F", bound=Callable[..., Row])


def version(number: int) -> Callable[[_F], _F]:
    """Marks a function of rows; raise ``number`` whenever it would answer otherwise."""

    def mark(function: _F) -> _F:
        function.version = number  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Task:
    """``function(**parameters)``, a pure function of them and of ``inputs``.

    function: ``package.module:name``, carrying a version (see ``version``). parameters: JSON
    values. inputs: what it reads beside them, by name -> digest (code, networks, data sets, engine
    configurations). cost: of the order of inferences, for the estimate only.
    """

    function: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    cost: float = 1.0

    @cached_property
    def version(self) -> int:
        return int(resolve(self.function).version)  # type: ignore[attr-defined]

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that the row depends on.

        Of the function only its name: where it stands does not change what it answers.
        """
        facts = [
            self.function.rpartition(":")[2],
            self.version,
            dict(self.parameters),
            dict(self.inputs),
        ]
        return digest(facts)

    def text(self) -> str:
        """The whole task as JSON, as it travels to whoever computes it."""
        parts = {
            "function": self.function,
            "version": self.version,
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
        }
        return canonical(parts)


def resolve(path: str) -> Callable[..., Row]:
    """The function behind ``package.module:name``."""
    module, _, name = path.partition(":")
    found: Callable[..., Row] = getattr(import_module(module), name)
    return found
