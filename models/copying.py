"""Copies of modules, those included that hold results of a computation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from hwsim.errors import InputError


class UncopyableError(InputError):
    """A module with an attribute that has no copy."""


def copied(module: nn.Module, instead: Mapping[nn.Module, nn.Module] | None = None) -> nn.Module:
    """A deep copy of ``module``.

    torch refuses to copy a tensor with a graph behind it, as ``weight`` of a pruned or
    weight-normed layer is after it was computed: such tensors are copied by value.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it was.
    instead : mapping, optional
        Parts of ``module`` and what stands in their place in the copy.

    Returns
    -------
    torch.nn.Module
        Shares no tensor with ``module``.

    Raises
    ------
    UncopyableError
        Naming the attribute.
    """
    # What the memo has for an object, deepcopy takes for its copy.
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in _computed(module)}
    try:
        # Inner ones first, for wrappers of wrappers.
        for part, other in reversed(list((instead or {}).items())):
            memo[id(part)] = copy.deepcopy(other, memo)
        found: nn.Module = copy.deepcopy(module, memo)
    except Exception as error:
        where = _uncopyable(module) or type(module).__name__
        raise UncopyableError(
            f"{where}: cannot be copied ({line(error)}): remove it from the module"
        ) from None
    return found


def line(error: Exception) -> str:
    """The first line of what an error says."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _computed(root: Any) -> Iterator[Tensor]:
    """Tensors with a graph behind them, wherever ``root`` keeps them."""
    stack: list[Any] = [root]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            if not value.is_leaf:
                yield value
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            stack += value
        elif isinstance(value, MethodType):
            stack.append(value.__self__)
        elif not isinstance(value, type | ModuleType | FunctionType):
            stack += getattr(value, "__dict__", {}).values()


def _uncopyable(module: nn.Module) -> str:
    """Where the attribute stands that cannot be copied; empty if each can by itself."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_modules", "_parameters", "_buffers"):
                continue
            try:
                copy.deepcopy(value, {id(t): t for t in _computed(value)})
            except Exception:
                return f"{path}.{name}" if path else name
    return ""
