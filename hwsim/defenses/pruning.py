"""Pruning as a rewrite: words of small magnitude become 0, nothing is retrained.

Zero words keep their place in the ROM and in the index; they cost cycles and energy as before and
are counted, since a zero-skipping engine would be another machine.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.pruning_rounds import rounds
from hwsim.defenses.rewriting import counts, finish, with_weights
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program


def prune(program: Program, compression: float, layers: str = "all") -> Program:
    """Zero the smallest words, round by round, until all words / nonzero words >= compression."""
    kinds = {layer.name: layer.kind for layer in program.mac_layers}
    names = choose(list(kinds.items()), layers)
    values = {layer.name: layer.weights for layer in program.mac_layers if layer.name in names}
    for state, keep in rounds(values, kinds, compression):  # noqa: B007 - the last one counts
        pass
    new: list[Layer] = []
    rows: dict[str, Any] = {}
    for layer, sources in zip(program.layers, program.numbers, strict=True):
        if isinstance(layer, MacLayer) and layer.name in names:
            words = np.where(keep[layer.name], layer.weights, 0).astype(np.int32)
            pruned = with_weights(layer, words, sources[0].zero)
            rows[layer.name] = counts(layer, pruned)
            layer = pruned
        new.append(layer)
    entry = {
        "rewrite": "pruning",
        "compression": compression,
        "reached": state.compression,
        "rounds": state.number,
        "layers": rows,
    }
    return finish(program, tuple(new), entry)


def prune_module(module: nn.Module, compression: float, layers: str = "all") -> nn.Module:
    """A copy of a float module with its smallest (real) weights zeroed, without retraining."""
    module = copy.deepcopy(module)
    kinds = dict(layers_of(module))
    names = choose(list(kinds.items()), layers)
    weights = dict(zip(names, weights_of(module, names), strict=True))
    values = {name: weight.detach().cpu().numpy() for name, weight in weights.items()}
    for _, keep in rounds(values, kinds, compression):  # noqa: B007 - the last one counts
        pass
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_(torch.from_numpy(keep[name]).view_as(weight))
    return module
