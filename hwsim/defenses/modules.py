"""The layers with weights of a float module, hashed or plain."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from models.layers import HashConv2d, HashLinear

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


def biases_of(module: nn.Module, names: list[str]) -> Iterator[nn.Parameter]:
    """Their biases, where they have any."""
    for name in names:
        bias = module.get_submodule(name).bias
        if bias is not None:
            yield bias  # type: ignore[misc]
