"""How many real weights each hashed layer has, and the same network with others.

xxh32 takes the word ⌊u·K / 2³²⌋ for the hash u of a virtual weight, so another
K keeps the order: a new word serves virtual weights that lay in one or two old words beside each
other (in K/K' of them, where K' is smaller), and little is lost in their average.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from hwsim.errors import InputError
from hwsim.models.copying import copied
from hwsim.models.layers import HashConv2d, Hashed, HashLinear


def allocation(module: nn.Module) -> dict[str, int]:
    """Real weights of each hashed layer, by its path."""
    return {name: layer.spec.real_weights for name, layer in hashed_layers(module).items()}


def capacities(module: nn.Module) -> dict[str, int]:
    """Virtual weights of each hashed layer: more words would never be read."""
    return {name: layer.spec.virtual_weights for name, layer in hashed_layers(module).items()}


def hashed_layers(module: nn.Module) -> dict[str, Hashed]:
    """The hashed layers by path."""
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, HashLinear | HashConv2d)
    }


def reallocated(module: nn.Module, counts: Mapping[str, int]) -> nn.Module:
    """A copy with other numbers of real weights, each the average of what it takes the place of.

    counts: of the layers that change, or of all. A new word is the mean over its virtual weights
    of their old value with the new sign; one that serves none is 0. Layers whose number stays keep
    their words exactly. Raises InputError for layers that are not there, numbers outside 1 …
    virtual weights, and another scheme than xxh32.
    """
    result = copied(module)
    layers = hashed_layers(result)
    for name, count in counts.items():
        if name not in layers or not 1 <= count <= layers[name].spec.virtual_weights:
            raise InputError(f"{name}: no hashed layer that could have {count} real weights")
        if layers[name].spec.scheme != "xxh32":
            raise InputError(f"{name}: words can be moved between layers of xxh32 only")
    for name, layer in layers.items():
        count = counts.get(name, layer.spec.real_weights)
        if count == layer.spec.real_weights:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(result.get_submodule(parent), leaf, _resized(layer, count))
    return result


def _resized(layer: Hashed, count: int) -> Hashed:
    spec, bias = layer.spec, layer.bias is not None
    rate = count / spec.virtual_weights
    new: Hashed
    with torch.random.fork_rng(devices=[]):
        if isinstance(layer, HashLinear):
            new = HashLinear(layer.in_features, layer.out_features, bias, rate=rate, seed=spec.seed)
        else:
            new = HashConv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                layer.padding, bias, groups=layer.groups, rate=rate, seed=spec.seed,
            )  # fmt: skip
    with torch.no_grad():
        slot = new.slot.long()
        sign = torch.where(slot >= count, -1.0, 1.0).double()
        signed = layer.virtual_weight().reshape(-1).double() * sign
        total = torch.zeros(count, dtype=torch.float64).index_add_(0, slot % count, signed)
        served = torch.bincount(slot % count, minlength=count).clamp(min=1)
        new.weight.copy_(total / served)
        if new.bias is not None and layer.bias is not None:
            new.bias.copy_(layer.bias)
    return new.train(layer.training)
