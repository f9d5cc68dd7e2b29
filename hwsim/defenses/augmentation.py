"""Logits augmentation: the last layer times τ, bias included ("Defend NN against adversarial
attacks" slides)."""

from __future__ import annotations

import copy
import dataclasses
import math
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from hwsim.defenses.float_layers import layers_of, outputs_of
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.rewriting import (
    OnOverflow,
    Scaling,
    check_policy,
    counts,
    finish,
    rewrite,
)
from hwsim.errors import InputError
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer, PoolLayer
from hwsim.program.program import Program


def augment(
    program: Program, tau: float, layers: str = "last", on_overflow: OnOverflow = "rescale"
) -> Program:
    """Weights and biases of the chosen layers times τ > 0; with ``last``, all logits times τ.

    The argmax cannot change but by rounding. Where τ is a power of two, ``rescale`` changes no
    word of the weight ROM at all: the whole defense is another binary point of the logits, a field
    of the softmax unit that the argmax never reads. Nor does it for any τ where a pool or another
    layer without weights hands out the logits: then the last layer with weights, and all behind
    it, hand on the same codes, which are worth τ times as much.
    """
    check_tau(tau)
    check_policy(on_overflow)
    names = choose([(layer.name, layer.kind) for layer in program.mac_layers], layers)
    record = {"rewrite": "augmentation", "tau": tau}
    if layers == "last" and not isinstance(program.output, MacLayer):
        return _worth_more(program, tau, names[0], record | {"on_overflow": on_overflow})
    factor = Fraction(tau)

    def scaling(layer: MacLayer) -> Scaling:
        return Scaling(lambda word, step: word * factor, factor, math.frexp(tau)[1] - 1)

    return rewrite(program, names, scaling, record, on_overflow)


def _worth_more(program: Program, tau: float, name: str, record: dict[str, Any]) -> Program:
    """Layer ``name``, the last with weights, and what follows with steps worth τ times as much."""
    first = next(number for number, layer in enumerate(program.layers) if layer.name == name)
    new: list[Layer] = list(program.layers[: first + 1])
    start = new[first]
    assert isinstance(start, MacLayer)
    new[first] = dataclasses.replace(
        start, scale=start.scale * tau, weight_scale=start.weight_scale * tau
    )
    for layer in program.layers[first + 1 :]:
        if isinstance(layer, AddLayer | LutLayer):
            raise InputError(
                f"augmentation cannot be applied: {layer.name} ({layer.kind}) stands between the "
                "last layer with weights and the logits, which are then not tau times as large: "
                f"choose the layer by its name, {name}, for its own output times tau"
            )
        if not isinstance(layer, PoolLayer):
            layer = dataclasses.replace(layer, scale=layer.scale * tau)
        new.append(layer)
    row = counts(start, start)
    return finish(program, tuple(new), record | {"layers": {name: row}})


def augment_module(module: nn.Module, tau: float, layers: str = "last") -> nn.Module:
    """A copy of a float module whose chosen layers hand on τ times as much.

    Weights and biases times τ; where a batch norm follows, those of the batch norm.
    """
    check_tau(tau)
    module = copy.deepcopy(module)
    names = choose(layers_of(module), layers)
    with torch.no_grad():
        for parameter in outputs_of(module, names):
            parameter.mul_(tau)
    return module


def check_tau(tau: float) -> None:
    """Raises InputError for a factor that no augmentation takes."""
    if not (math.isfinite(tau) and tau > 0):
        raise InputError(f"tau must be a positive number, got {tau}")
    if not 2.0**-32 <= tau <= 2.0**32:
        raise InputError(f"tau must lie between 2^-32 and 2^32, got {tau}")
