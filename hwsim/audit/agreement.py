"""Does the gradient predict what the datapath really does, and where along it does it stop?

A network cut behind a layer is a network again (hwsim/audit/tails.py): its input is that layer's
integer feature map a. So the same question is put at every depth. The scalar is the lead of the
answered class over the runner-up, linear in the logits, so that no softmax has a say. g is its
gradient by a, from the backward pass of the cut network; a is moved to a ± h·u, u a random ±1 for
every value, cut at 0 and 2^A − 1, and the integer datapath is run on both. Over many draws the
products of the difference seen with the difference predicted, g·(a₊ − a₋), give

    cosine = Σ seen·predicted / sqrt(Σ seen² · Σ predicted²),

which for independent ±1 is the cosine between g and the gradient that the datapath follows over
±h. Moving all values at once is what an L∞ attack does, costs two inferences a draw whatever the
size of the map, and lifts the sums above the rounding of the layers behind: one coordinate moved by
one LSB mostly shows that rounding (``coordinates``, the Engine's finite-difference mode,
shows it for comparison).

A narrow step sees rounding, a wide one sees curvature. An honest gradient agrees at some width;
one that leads nowhere agrees at none. So a depth is judged by its best width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.audit.evidence import Agreement, Probe
from hwsim.engine.backward import GradientMode
from hwsim.engine.module import Engine
from hwsim.program.program import Program
from hwsim.program.wires import Input

#: The gradients that an attacker can take; finite differences are what they are held against.
MODES: tuple[GradientMode, ...] = ("ste", "ste-unclamped")


def widths(act_max: int) -> tuple[int, ...]:
    """Steps h in LSB: 1, 4, 16, … up to a sixteenth of the range, and at least 1 and 2."""
    return (1, 2) if act_max < 64 else tuple(4**k for k in range(8) if 4**k <= (act_max + 1) // 16)


def lead(logits: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, classes) weights of the lead: +1 at the label, −1 at the best other class."""
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    others[rows, labels] = -np.inf
    weights = np.zeros(logits.shape)
    weights[rows, labels] = 1.0
    weights[rows, others.argmax(1)] = -1.0
    return weights


def directions(
    program: Program,
    maps: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    depth: str,
    step: int,
    draws: int,
    seed: int = 0,
) -> Agreement:
    """All values of (N, C, H, W) ``maps`` moved at once, ``draws`` times."""
    top, engine = program.input.last(program.config.act_max), Engine(program)
    weights = lead(engine.integer_logits(_images(maps, program.input)).numpy(), labels)
    slopes = {mode: _slope(program, mode, maps, weights) for mode in MODES}
    noise = np.random.default_rng(seed)
    seen = np.empty((draws, len(maps)))
    predicted = {mode: np.empty((draws, len(maps))) for mode in MODES}
    for draw in range(draws):
        way = step * noise.choice(np.array([-1, 1]), maps.shape)
        ends = [np.clip(maps + way, 0, top), np.clip(maps - way, 0, top)]
        up, down = (
            engine.integer_logits(_images(np.concatenate(ends), program.input))
            .numpy()
            .reshape(2, len(maps), -1)
        )
        seen[draw] = (weights * (up - down)).sum(1)
        moved = (ends[0] - ends[1]).reshape(len(maps), -1)
        for mode, slope in slopes.items():
            predicted[mode][draw] = (slope * moved).sum(1)
    pairs = {mode: _cosine(seen, predicted[mode]) for mode in MODES}
    return _row(depth, "directions", step, pairs)


def coordinates(
    program: Program, maps: NDArray[np.int64], labels: NDArray[np.int64], *, step: int
) -> Agreement:
    """Every input value alone: gradients against the Engine's finite-difference mode."""
    weights = lead(Engine(program).integer_logits(_images(maps, program.input)).numpy(), labels)
    truth = _slope(program, "finite-difference", maps, weights, step).T
    pairs = {mode: _cosine(truth, _slope(program, mode, maps, weights).T) for mode in MODES}
    return _row("input", "coordinates", step, pairs)


def _images(maps: NDArray[np.int64], image: Input) -> Tensor:
    return torch.from_numpy(((maps - image.zero) * float(image.scale)).astype(np.float32))


def _slope(
    program: Program,
    mode: GradientMode,
    maps: NDArray[np.int64],
    weights: NDArray[np.float64],
    step: int = 1,
) -> NDArray[np.float64]:
    """(N, C·H·W) gradient of the lead, up to a factor that all values share."""
    engine = Engine(program, mode, difference_step=step)
    x = _images(maps, program.input).requires_grad_()
    with torch.enable_grad():
        value = (engine(x) * torch.from_numpy(weights).float()).sum()
        (slope,) = torch.autograd.grad(value, x)
    found: NDArray[np.float64] = slope.flatten(1).double().numpy()
    return found


def _cosine(seen: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) from (K, N); 0 where one says nothing, NaN where both do and so agree."""
    flat_seen, flat_predicted = ~seen.any(0), ~predicted.any(0)
    size = np.sqrt((seen**2).sum(0)) * np.sqrt((predicted**2).sum(0))
    found = (seen * predicted).sum(0) / np.where(size > 0, size, 1.0)
    cosine: NDArray[np.float64] = np.where(flat_seen & flat_predicted, np.nan, found)
    return cosine


def _row(
    depth: str, probe: Probe, step: int, pairs: Mapping[GradientMode, NDArray[np.float64]]
) -> Agreement:
    known = {str(mode): values[~np.isnan(values)] for mode, values in pairs.items()}
    mean = {mode: float(v.mean()) if len(v) else None for mode, v in known.items()}
    lowest = {mode: float(v.min()) if len(v) else None for mode, v in known.items()}
    return Agreement(depth, probe, step, mean, lowest)
