"""What the engine did: RtlRun of an image, RtlBatch of several, from the answer of a simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import ALL_IMAGES, COUNTERS
from hwsim.program.layers import Shape
from hwsim.program.program import Program
from hwsim.rtl.answer import SimulationAnswer


@dataclass(frozen=True)
class RtlRun:
    """What the engine did with one image.

    status: 0, a key of CAUSES, or OUT_OF_CYCLES. logits: int64 (classes,), raw integers.
    probabilities: int64 (classes,), UQ1.16; empty without the probability unit. layers: COUNTERS of
    each layer; ``total`` there is the layer's cycles. counters: COUNTERS of the whole image. total:
    cycles from the last pixel to the last logit. simulated: cycles of the simulation, streams
    included. feature_maps: int64 (C, H, W) per layer but the last, if asked for; places that were
    not written hold −1.
    """

    status: int
    logits: NDArray[np.int64]
    probabilities: NDArray[np.int64]
    argmax: int
    layers: tuple[dict[str, int], ...]
    counters: dict[str, int]
    total: int
    simulated: int
    feature_maps: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class RtlBatch:
    """What the engine did with the images of a batch.

    status: as of an RtlRun; one of the packets that is wrong is that of the batch. logits: int64
    (images, classes); no rows where the status is not 0. probabilities: the same, no columns
    without the probability unit. argmax: int64 (images,). layers, counters, total, simulated: as of
    an RtlRun, of all images together. feature_maps: for each image those of an RtlRun.
    """

    status: int
    logits: NDArray[np.int64]
    probabilities: NDArray[np.int64]
    argmax: NDArray[np.int64]
    layers: tuple[dict[str, int], ...]
    counters: dict[str, int]
    total: int
    simulated: int
    feature_maps: tuple[tuple[NDArray[np.int64], ...], ...] = ()


def run_of(said: SimulationAnswer, maps: tuple[NDArray[np.int64], ...]) -> RtlRun:
    """The answer to an image."""
    layers, counters, total = _totals(said)
    return RtlRun(
        status=said.status,
        logits=said.logits,
        probabilities=said.probabilities,
        argmax=int(said.argmax[0]),
        layers=layers,
        counters=counters,
        total=total,
        simulated=said.cycles,
        feature_maps=maps,
    )


def batch_of(said: SimulationAnswer, maps: tuple[tuple[NDArray[np.int64], ...], ...]) -> RtlBatch:
    """The answer to a batch; of one that was refused no logits, whatever left before."""
    rows = 0 if said.status else len(said.argmax)
    layers, counters, total = _totals(said)
    return RtlBatch(
        status=said.status,
        logits=said.logits[: len(said.logits) if rows else 0].reshape(rows, -1 if rows else 0),
        probabilities=said.probabilities.reshape(rows, -1 if rows else 0),
        argmax=said.argmax,
        layers=layers,
        counters=counters,
        total=total,
        simulated=said.cycles,
        feature_maps=maps,
    )


def feature_maps(
    program: Program, written: NDArray[np.int64], image: int
) -> Iterator[NDArray[np.int64]]:
    """Maps (C, H, W) of one image of the batch, from what was written: see SimulationAnswer."""
    for number, (layer, wire) in enumerate(zip(program.layers, program.wires, strict=True)):
        if wire.target is None:
            return
        mine = written[written[:, 0] == number]
        together = mine[:, 1] == ALL_IMAGES
        mine[together, 3] = mine[together, 3 + image]
        mine = mine[together | (mine[:, 1] == image), 2:]
        mine[:, 0] -= program.first_line(wire.target)
        yield _map(mine, layer.out_shape)


def _totals(
    said: SimulationAnswer,
) -> tuple[tuple[dict[str, int], ...], dict[str, int], int]:
    """COUNTERS of each layer, of all, and the cycles of the inference."""
    *ends, end = said.counters
    # The cycle before the first instruction belongs to no layer.
    before = np.zeros((1, len(COUNTERS)), np.int64)
    before[0, COUNTERS.index("total")] = 1
    layers = tuple(_named(row) for row in np.diff([*before, *ends], axis=0))
    return layers, _named(end), int(end[0]) if ends else 0


def _named(row: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(COUNTERS, map(int, row), strict=True))


def _map(writes: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Writes (line of it, COLS codes) as a map (C, H, W); lanes beyond the width are dropped."""
    channels, height, width = shape
    cols = writes.shape[1] - 1
    lines = np.full((channels * height * -(-width // cols), cols), -1, np.int64)
    lines[writes[:, 0]] = writes[:, 1:]
    return lines.reshape(channels, height, -1)[:, :, :width]
