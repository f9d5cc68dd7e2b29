"""Weight-ROM rewrites: a defense is Program -> Program, and says so in the history."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.program import MacLayer, Program

Overflow = Literal["saturate", "rescale", "error"]


def inhibit_gradient(
    program: Program,
    tau: float,
    *,
    layers: tuple[str, ...] | None = None,
    on_overflow: Overflow = "rescale",
) -> Program:
    """Liu et al. 2018 eq. 12, w ← w + τ·sign(w), on the real weights of some layers' ROM.

    tau: > 0, in real units; round(τ·2^fw) LSB are added. layers: names; default the last layer.
    Zero words stay zero, and are counted in the history. Words that leave ±(2^(WGT_W−1) − 1):
    ``saturate`` cuts them there and counts them, ``rescale`` moves the layer's binary point until
    all fit (scales and biases follow, words lose their lowest bits), ``error`` refuses.
    Raises InputError.
    """
    if not 0.0 < tau < math.inf:
        raise InputError(f"tau must be a finite number above 0, got {tau}")
    names = (program.output.name,) if layers is None else layers
    known = [layer.name for layer in program.mac_layers]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"no layer {unknown[0]!r} with weights: choose from {', '.join(known)}")
    limit, rewritten = program.config.wgt_max, []
    saturated = zeros = moved = 0
    for layer in program.layers:
        if isinstance(layer, MacLayer) and layer.name in names:
            words = layer.weights.astype(np.int64)
            wanted = words + round(tau * 2.0**layer.fw) * np.sign(words)
            beyond = int((np.abs(wanted) > limit).sum())
            if beyond and on_overflow == "error":
                raise InputError(
                    f"layer {layer.name}: tau = {tau:g} takes {beyond:,} of {len(words):,} words "
                    f"beyond ±{limit}: choose a smaller tau, saturate or rescale"
                )
            zeros += int((words == 0).sum())
            if on_overflow == "rescale":
                places = max(0, math.ceil(math.log2(max(int(np.abs(wanted).max()), 1) / limit)))
                moved, layer = max(moved, places), _rescaled(layer, wanted, places)
            else:
                saturated += beyond
                layer = replace(layer, weights=np.clip(wanted, -limit, limit).astype(np.int32))
        rewritten.append(layer)
    step = {
        "rewrite": "gradient-inhibition", "tau": float(tau), "layers": list(names),
        "on_overflow": on_overflow, "saturated_words": saturated, "zero_words": zeros,
        "moved_points": moved,
    }  # fmt: skip
    return program.replace(layers=tuple(rewritten), history=(*program.history, step))


def _rescaled(layer: MacLayer, words: NDArray[np.int64], places: int) -> MacLayer:
    """The layer with ``words`` · 2^-places, and everything that depends on their binary point."""
    weights = (np.sign(words) * ((2 * np.abs(words) + (1 << places)) >> (places + 1))).astype(
        np.int32
    )
    if layer.last:
        bias = (2 * layer.bias + (1 << places)) >> (places + 1)
        return replace(
            layer, weights=weights, fw=layer.fw - places, fa_out=layer.fa_out - places, bias=bias
        )
    if int(layer.shift.min()) < places:
        raise InputError(
            f"layer {layer.name}: its binary point cannot move by {places}: choose a smaller tau, "
            "or saturate"
        )
    # p = acc·m + b shrinks as acc does, the rounding term 2^(s−1) in b included.
    return replace(
        layer,
        weights=weights,
        fw=layer.fw - places,
        shift=(layer.shift - places).astype(np.int32),
        bias=layer.bias >> places,
    )
