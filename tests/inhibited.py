"""A network whose gradient is inhibited: large logits, the same answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hwsim.program import Program


def inhibited(program: Program, tau: float) -> Program:
    """Liu et al. 2018 eq. 12, w ← w + τ·sign(w), on the real weights of the last layer's ROM.

    Where words leave their range, the layer's binary point moves until all fit, and the bias with
    it, so that the logits keep their size in real units.
    """
    layer = program.output
    words = layer.weights.astype(np.int64)
    wanted = words + round(tau * 2.0**layer.fw) * np.sign(words)
    places = max(0, math.ceil(math.log2(int(np.abs(wanted).max()) / program.config.wgt_max)))
    half = 1 << places
    weights = np.sign(wanted) * ((2 * np.abs(wanted) + half) >> (places + 1))
    last = replace(
        layer,
        weights=weights.astype(np.int32),
        bias=(2 * layer.bias + half) >> (places + 1),
        fw=layer.fw - places,
        fa_out=layer.fa_out - places,
    )
    step = {"rewrite": "inhibition", "tau": tau, "layers": [layer.name]}
    return program.replace(layers=(*program.layers[:-1], last), history=(*program.history, step))
