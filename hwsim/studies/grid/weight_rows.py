"""Rows about a network that need no image: its weights, its memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hwsim.cost.timing import analyze
from hwsim.program.program import Program
from hwsim.studies.grid.attack_rows import QUANTILES
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version

#: Of the histogram of weights: bins of this width over ±half of them; the outer ones are open.
BIN, BINS = 0.01, 120


@version(1)
def weights(subject: Mapping[str, Any]) -> Row:
    """The virtual weights of each layer, and of ``all`` together.

    {layers: [{name, kind, count, zero, std, quantiles, histogram}]}: quantiles of |w| as
    QUANTILES; histogram: shares of w in BINS bins of BIN around 0. Fixed: words times their binary
    point. Sharing repeats a weight and changes its sign, so these are the real ones, as often as
    they are used.
    """
    one = Subject.of(subject)
    layers = _weights(one)
    layers.append(("all", "all", np.concatenate([values for _, _, values in layers])))
    rows = []
    for name, kind, values in layers:
        bins = np.clip(np.floor(values / BIN).astype(np.int64) + BINS // 2, 0, BINS - 1)
        rows.append(
            {
                "name": name,
                "kind": kind,
                "count": int(values.size),
                "zero": int((values == 0).sum()),
                "std": float(values.std()),
                "quantiles": [float(q) for q in np.quantile(np.abs(values), QUANTILES)],
                "histogram": (np.bincount(bins, minlength=BINS) / values.size).tolist(),
            }
        )
    return {"layers": rows}


def _weights(one: Subject) -> list[tuple[str, str, NDArray[np.float64]]]:
    if one.side == "fixed":
        return [
            (
                layer.name,
                layer.kind,
                (layer.virtual_weights * layer.weight_scale[:, None]).ravel(),
            )
            for layer in subjects.program(one).mac_layers
        ]
    return [
        (
            name,
            "fc" if isinstance(part, nn.Linear) else "conv",
            part.weight.detach().double().numpy().ravel(),
        )
        for name, part in subjects.module(one).named_modules()
        if isinstance(part, (nn.Linear, nn.Conv2d))
    ]


@version(1)
def storage(subject: Mapping[str, Any]) -> Row:
    """Bits for weights and index: dense, index SRAM, hash; allocated, and as the paper counts.

    Row: bits (words of the engine's width), allocated, cycles, energy_nj; layers: {name, virtual,
    real, index, scheme}, index in bits a virtual weight (⌈log2 K⌉ + 1, 0 for a dense layer).
    """
    made: Program = subjects.program(Subject.of(subject))
    report = analyze(made)
    return {
        "bits": dict(report.memory_bits),
        "allocated": dict(report.allocated_bits),
        "cycles": report.cycles,
        "energy_nj": report.energy.nj,
        "layers": [
            {
                "name": layer.name,
                "scheme": layer.spec.scheme,
                "virtual": layer.spec.virtual_weights,
                "real": layer.spec.real_weights,
                "index": 0
                if layer.spec.scheme == "dense"
                else math.ceil(math.log2(layer.spec.real_weights)) + 1,
            }
            for layer in made.mac_layers
        ],
    }
