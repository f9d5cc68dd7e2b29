"""Logits augmentation: the last layer times τ, bias included ("Defend NN against adversarial
attacks" slides)."""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import torch
from torch import nn

from hwsim.defenses.float_layers import layers_of, outputs_of
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.rewriting import OnOverflow, Scaling, rewrite
from hwsim.errors import InputError
from hwsim.program.program import MacLayer, Program


def augment(
    program: Program, tau: float, layers: str = "last", on_overflow: OnOverflow = "rescale"
) -> Program:
    """Weights and biases of the chosen layers times τ > 0; with ``last``, all logits times τ.

    The argmax cannot change but by rounding. Where τ is a power of two, ``rescale`` changes no
    word of the weight ROM at all: the whole defense is another binary point of the logits, a field
    of the softmax unit that the argmax never reads.
    """
    check_tau(tau)
    names = choose([(layer.name, layer.kind) for layer in program.mac_layers], layers)
    factor = Fraction(tau)

    def scaling(layer: MacLayer) -> Scaling:
        return Scaling(lambda word: word * factor, factor, math.frexp(tau)[1] - 1)

    return rewrite(program, names, scaling, {"rewrite": "augmentation", "tau": tau}, on_overflow)


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
