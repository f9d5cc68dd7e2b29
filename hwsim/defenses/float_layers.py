"""The layers with weights of a float module, hashed or plain."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwsim.errors import InputError
from hwsim.models.layers import HashConv2d, HashLinear

_FC, _CONV = (nn.Linear, HashLinear), (nn.Conv2d, HashConv2d)


def layers_of(module: nn.Module) -> list[tuple[str, str]]:
    """(path, ``conv`` or ``fc``) of each layer with weights, in the order of registration.

    That is the execution order of every network here, and these are the names of the compiled
    Program's layers.
    """
    return [
        (name, "fc" if isinstance(part, _FC) else "conv")
        for name, part in module.named_modules()
        if isinstance(part, (*_FC, *_CONV))
    ]


def weights_of(module: nn.Module, names: list[str]) -> Iterator[nn.Parameter]:
    """Their weight parameters: the real weights (K,) of a hashed layer, the matrix of another."""
    for name in names:
        yield module.get_submodule(name).weight  # type: ignore[misc]


def outputs_of(module: nn.Module, names: list[str]) -> Iterator[nn.Parameter]:
    """The parameters that scale what each layer hands on: its own, or those of the batch norm
    behind it, as the engine's requantizer has them.

    Raises InputError for a batch norm without such parameters.
    """
    leaves = [(n, part) for n, part in module.named_modules() if not [*part.children()]]
    behind = dict(zip([n for n, _ in leaves], [part for _, part in leaves[1:]], strict=False))
    for name in names:
        part = behind.get(name)
        if not isinstance(part, _BatchNorm):
            part = module.get_submodule(name)
        elif not part.affine:
            raise InputError(f"{name}: its batch norm has no weight and bias that could be scaled")
        yield part.weight  # type: ignore[misc]
        if part.bias is not None:
            yield part.bias  # type: ignore[misc]
