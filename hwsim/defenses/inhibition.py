"""Gradient inhibition, w + τ·sign(w): Liu et al. 2018, eq. 12."""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import torch
from torch import nn

from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.defenses.layer_choice import choose
from hwsim.defenses.rewriting import HALF, OnOverflow, Scaling, rewrite
from hwsim.errors import InputError
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program


def inhibit(
    program: Program, tau: float, layers: str = "last", on_overflow: OnOverflow = "error"
) -> Program:
    """Every weight word of the chosen layers moves away from 0 by τ̂ = round(τ / step) LSBs.

    A layer whose rows have steps of their own takes τ̂ row by row: the same τ in real units.

    tau: in the units of the weights, > 0. Zero words stay zero, since sign(0) = 0; the history
    says how many. Biases stay. A τ below half an LSB of a layer is refused: it would do nothing.
    All others are within one LSB of the float network's rewrite, quantized, but for those that the
    compiler clipped: what it took from them is not given back where ``rescale`` makes room.
    """
    _check(tau)
    names = choose([(layer.name, layer.kind) for layer in program.mac_layers], layers)

    def scaling(layer: MacLayer) -> Scaling:
        if not felt(layer, tau):
            raise InputError(
                f"{layer.name}: tau {tau:g} is below half a step of its weights, "
                f"{layer.weight_scale.min():g}: raise it or use wider words"
            )
        return Scaling(
            lambda word, step: Fraction(word + _steps_of(tau, step) * ((word > 0) - (word < 0)))
        )

    return rewrite(program, names, scaling, {"rewrite": "inhibition", "tau": tau}, on_overflow)


def felt(layer: MacLayer, tau: float) -> bool:
    """Whether τ is at least half a step of the layer's words, of any row's."""
    return _steps_of(tau, Fraction(float(layer.weight_scale.min()))) > 0


def _steps_of(tau: float, step: Fraction) -> int:
    """τ in LSBs that are worth ``step`` each, rounded half up."""
    return math.floor(Fraction(tau) / step + HALF)


def inhibit_module(module: nn.Module, tau: float, layers: str = "last") -> nn.Module:
    """A copy of a float module (hashed or plain layers) with w + τ·sign(w) in the chosen layers."""
    _check(tau)
    module = copy.deepcopy(module)
    with torch.no_grad():
        for weight in weights_of(module, choose(layers_of(module), layers)):
            weight.add_(weight.sign(), alpha=tau)
    return module


def _check(tau: float) -> None:
    if not (math.isfinite(tau) and tau > 0):
        raise InputError(f"tau must be a positive number, got {tau}")
