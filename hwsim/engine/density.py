"""A smooth stand-in for the columns that a skipping engine takes, and its gradient by the image.

The engine counts codes that are not 0. Two smooth functions of what a layer reads stand for that
count: x²/(x² + σ) of its codes (Cinà et al. 2022, who take activations), whose gradient is the
engine's straight-through one and so is lost where a code is 0, that is where it is needed; and the
logistic function of p/τ, p the sums behind scale and bias, before the clamp makes a 0 of those that
are negative. The way back begins at these maps, not at the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.module import Engine
from hwsim.engine.pulls import counted
from hwsim.engine.stages import Stage
from hwsim.engine.tape import Chunk, Tape
from hwsim.errors import InputError
from hwsim.units.post import WINNER

F32 = NDArray[np.float32]
Smooth = Literal["sums", "codes"]
SMOOTHS: tuple[str, ...] = get_args(Smooth)


@dataclass(frozen=True, eq=False)
class Columns:
    """What the codes that a layer reads cost if they are not 0. layer: its number in the program.

    costs: float64 (C·H·W,) >= 0, in the order (c, y, x). lanes: neighbours of a row that are taken
    together, and cost what one of them does; from the left, the last ones of a row fewer.
    """

    layer: int
    costs: NDArray[np.float64]
    lanes: int = 1


@dataclass(frozen=True, eq=False)
class _Read:
    """A map that a layer reads. costs: float32 (H, W, C). lanes: as of Columns. writer: index of
    the stage whose sums decide which codes are 0; None where only the codes can be looked at.
    scale: of a code.
    """

    stage: Stage
    costs: F32
    lanes: int
    writer: int | None
    scale: float

    def weighed(self, filled: F32, slope: F32) -> tuple[F32, F32]:
        """(densities (N,), slopes) of how nearly each code (N, H, W, C) is none of 0.

        Lanes that are taken together are left out if all of them are 0: 1 − Π(1 − d).
        """
        if self.lanes == 1:
            return (self.costs * filled).sum((1, 2, 3)), self.costs * slope
        width = filled.shape[2]
        starts = np.arange(0, width, self.lanes)
        counts = np.diff(starts, append=width)
        cost = np.add.reduceat(self.costs, starts, 1) / counts[:, None].astype(np.float32)
        empty = np.maximum(1 - filled, np.float32(1e-6))
        blank = np.multiply.reduceat(empty, starts, 2)
        value: F32 = np.einsum("hbc,nhbc->n", cost, 1 - blank)
        return value, np.repeat(cost * blank, counts, 2) / empty * slope


class Density:
    """Called with images it gives (densities (N,), their gradients shaped as the images).

    Parameters
    ----------
    engine : Engine
        Its gradient mode decides what passes the gates.
    columns : sequence of Columns
        At least one.
    smooth : ``sums`` or ``codes``
        See above; maps that no weighted layer wrote alone are looked at in codes.
    width : float
        Above 0, in codes: τ of ``sums``, the square root of σ of ``codes``.

    Raises
    ------
    InputError
        For any other value.
    """

    def __init__(
        self,
        engine: Engine,
        columns: Sequence[Columns],
        smooth: Smooth = "sums",
        width: float = 8.0,
    ) -> None:
        if smooth not in SMOOTHS:
            raise InputError(f"unknown density {smooth!r}: choose from {', '.join(SMOOTHS)}")
        if not 0.0 < width < np.inf:
            raise InputError(f"the width of the density must be above 0 codes, got {width}")
        self._engine, self._width = engine, np.float32(width)
        self._reads = [self._read(one, smooth) for one in columns]
        self._sums = any(one.writer is not None for one in self._reads)

    def _read(self, columns: Columns, smooth: Smooth) -> _Read:
        datapath = self._engine.datapath
        (stage,) = [one for one in datapath.stages if one.number == columns.layer]
        channels, height, width = stage.layer.in_shape
        costs = columns.costs.reshape(channels, height, width).transpose(1, 2, 0)
        (place,) = stage.sources
        numbers = datapath.program.numbers[stage.number][0]
        writer = None
        if smooth == "sums":
            for index, one in enumerate(datapath.stages):
                if one.target == place and one.out_shape == stage.layer.in_shape and _clamps(one):
                    writer = index
        return _Read(
            stage,
            np.ascontiguousarray(costs, np.float32),
            columns.lanes,
            writer,
            counted(datapath.program, numbers.scale),
        )

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: as ``Engine.forward`` takes it. Both float32."""
        tape = self.tape(x)
        densities, gradient = self.of(tape)
        return torch.from_numpy(densities), torch.from_numpy(gradient.reshape(x.shape)).to(x)

    def tape(self, x: Tensor) -> Tape:
        """What a run leaves for ``of``; its logits are the answers to ``x``."""
        return self._engine.datapath.run(
            self._engine.grid(x), states=True, kept_maps=True, kept_sums=self._sums
        )

    def of(self, tape: Tape) -> tuple[F32, F32]:
        """Densities (N,) and gradients (N, C, H, W), x as the input, of a ``tape``."""
        parts = tape.each(self._chunk)
        none = np.zeros((0, *self._engine.program.input_shape), np.float32)
        values = [np.zeros(0, np.float32), *(value for value, _ in parts)]
        return np.concatenate(values), np.concatenate([none, *(one for _, one in parts)])

    def _chunk(self, chunk: Chunk) -> tuple[F32, F32]:
        total = np.zeros(len(chunk.logits), np.float32)
        seeds: dict[int, F32] = {}
        past: dict[int, tuple[F32, NDArray[np.uint8]]] = {}
        for read in self._reads:
            if read.writer is None:
                value, slope = self._of_codes(chunk, read)
                (place,) = read.stage.sources
                shape = self._engine.program.maps[place.map].shape
                whole = seeds.setdefault(
                    place.map, np.zeros((len(total), *shape[1:], shape[0]), np.float32)
                )
                whole[..., place.channel : place.channel + slope.shape[3]] += slope
            else:
                value, slope, state = self._of_sums(chunk, read, read.writer)
                if read.writer in past:
                    slope = slope + past[read.writer][0]
                past[read.writer] = slope, state
            total += value
        return total, self._engine.pullback.from_maps(seeds, chunk.states, past)

    def _of_codes(self, chunk: Chunk, read: _Read) -> tuple[F32, F32]:
        codes = chunk.source(read.stage).astype(np.float32)
        sigma = self._width * self._width
        below = codes * codes + sigma
        slope = codes / (below * below) * np.float32(2 * float(sigma) / read.scale)
        return read.weighed(codes * codes / below, slope.astype(np.float32))

    def _of_sums(
        self, chunk: Chunk, read: _Read, writer: int
    ) -> tuple[F32, F32, NDArray[np.uint8]]:
        stage = self._engine.datapath.stages[writer]
        assert stage.post is not None
        exponent = -stage.post.shift
        factor = np.ldexp(stage.post.multiplier.astype(np.float64), exponent).astype(np.float32)
        middle = np.ldexp(stage.post.bias.astype(np.float64), exponent).astype(np.float32)
        codes = chunk.sums[writer].astype(np.float32) * factor + middle
        codes, winner = _pooled(codes, stage)
        # Far below 0, where 1 − 1 would be left of it, the slope is still a number.
        fallen = np.exp(-np.abs(codes) / self._width)
        below = 1 + fallen
        slope = fallen / (below * below) / (self._width * np.float32(read.scale))
        value, slope = read.weighed(np.where(codes < 0, fallen, 1) / below, slope)
        return value, slope, winner


def _clamps(stage: Stage) -> bool:
    """Whether a stage makes its zeros of sums that are negative."""
    post = stage.post
    return stage.mac is not None and post is not None and not post.wraps and post.lo == 0


def _pooled(codes: F32, stage: Stage) -> tuple[F32, NDArray[np.uint8]]:
    """The largest of each window of a fused pool, and where it stands, as state bytes do."""
    if stage.pool is None:
        return codes, np.zeros(codes.shape, np.uint8)
    channels, height, width = stage.out_shape
    best = np.empty((len(codes), height, width, channels), np.float32)
    winner = np.empty(best.shape, np.uint8)
    _largest(codes, stage.kernel, stage.stride, best, winner)
    return best, winner


@njit(nogil=True, cache=True)
def _largest(codes, kernel, stride, best, winner):  # type: ignore[no-untyped-def]
    """See ``_pooled``."""
    images, height, width, channels = best.shape
    for n in range(images):
        for y in range(height):
            for x in range(width):
                for place in range(kernel[0] * kernel[1]):
                    row = y * stride[0] + place // kernel[1]
                    column = x * stride[1] + place % kernel[1]
                    for c in range(channels):
                        value = codes[n, row, column, c]
                        if place == 0 or value > best[n, y, x, c]:
                            best[n, y, x, c] = value
                            winner[n, y, x, c] = place & WINNER
