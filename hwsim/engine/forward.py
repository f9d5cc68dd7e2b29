"""The units composed: a Program applied to a batch of integer images, exactly and fast.

Batches are cut into chunks (see ``chunks``); each goes through all layers on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.chunks import in_chunks
from hwsim.engine.kernel_proof import Checked
from hwsim.engine.kernels import Kernel
from hwsim.engine.precision import no_autocast
from hwsim.program.program import MacLayer, PoolLayer, Program
from hwsim.program.workspace import layer_bytes
from hwsim.units import pool as pool_unit
from hwsim.units import post as post_unit

#: Kernels whose sums take 8 bytes; those of the others take 4.
WIDE = ("float64", "int64")

Result = TypeVar("Result")


@njit(nogil=True, cache=True)
def _to_grid(images, act_max, out):  # type: ignore[no-untyped-def]
    """⌊x·(2^A − 1) + ½⌋ of NCHW float32 images into NHWC integers, in float64: exactly."""
    count, channels, height, width = images.shape
    for n in range(count):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    value = np.floor(np.float64(images[n, c, y, x]) * act_max + 0.5)
                    out[n, y, x, c] = min(max(value, 0), act_max)


@njit(nogil=True, cache=True)
def _to_grid_double(images, act_max, out):  # type: ignore[no-untyped-def]
    """The same of float64 images, whose products with 2^A − 1 do not fit float64.

    A pixel is split in two (Veltkamp 1968) whose products do: the upper one names the level, the
    lower one may move it by one. Every other step is exact too.
    """
    count, channels, height, width = images.shape
    for n in range(count):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    pixel = images[n, c, y, x]
                    scaled = pixel * 134217729.0  # 2^27 + 1
                    upper = scaled - (scaled - pixel)
                    product = upper * act_max
                    rest = (pixel - upper) * act_max
                    value = np.floor(product + 0.5)
                    above = product - (value - 0.5)
                    if above < -rest:
                        value -= 1
                    elif rest >= 1.0 - above:
                        value += 1
                    out[n, y, x, c] = min(max(value, 0), act_max)


@dataclass
class Stage:
    """A MAC layer with the pool that directly follows it, or a pool on its own.

    states of a run: for a MAC stage one byte per output (see units/post.py), for a pool stage the
    winners, for the output stage None.
    """

    layer: MacLayer | None
    pool: PoolLayer | None
    accumulate: Checked | None

    @cached_property
    def out_shape(self) -> tuple[int, int, int]:
        return self._end.out_shape

    @cached_property
    def requantizer(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], bool]:
        """(m_c, b_c, s_c) of the MAC layer as post wants them, and whether an m_c is negative."""
        assert self.layer is not None
        m, s = self.layer.multiplier.astype(np.int64), self.layer.shift.astype(np.int64)
        return m, self.layer.bias, s, bool((m < 0).any())

    @property
    def name(self) -> str:
        """Of the layer or pool that ends the stage."""
        return self._end.name

    @property
    def _end(self) -> MacLayer | PoolLayer:
        last = self.pool or self.layer
        assert last is not None
        return last


@dataclass(frozen=True, eq=False)
class Chunk:
    """Images that went through the datapath together, and what they left there.

    piece: which images of the batch. logits: int64 (n, classes). states: one entry a stage, as of
    ``Stage``. maps: integers (n, H, W, C), the images and the output of every stage but the last.
    Both lists are empty where nobody asked for them.
    """

    piece: slice
    logits: NDArray[np.int64]
    states: list[Any]
    maps: list[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Tape:
    """What a batch left behind in ``datapath``, for its backward passes and for who looks inside.

    logits: int64 (N, classes), each worth v · 2^-logit_frac.
    """

    datapath: Datapath
    chunks: Sequence[Chunk]
    logits: NDArray[np.int64]

    def each(self, task: Callable[[Chunk], Result]) -> Sequence[Result]:
        """``task`` of every chunk in order, on as many threads as torch may use."""
        longest = max((len(chunk.logits) for chunk in self.chunks), default=0)
        with no_autocast():
            return in_chunks(
                len(self.chunks),
                lambda one: task(self.chunks[one.start]),
                1,
                self.datapath.image_bytes * longest,
            )


class Datapath:
    """Runs a Program on batches. Thread-safe; holds packed weights, never changes the Program."""

    def __init__(self, program: Program, trusted: frozenset[Kernel]) -> None:
        self.program, self.config = program, program.config
        self.map_dtype = np.uint8 if self.config.act_w <= 8 else np.int32
        self.stages: list[Stage] = []
        for layer in program.layers:
            previous = self.stages[-1] if self.stages else None
            if isinstance(layer, PoolLayer):
                if previous is not None and previous.layer is not None and previous.pool is None:
                    previous.pool = layer
                else:
                    self.stages.append(Stage(None, layer, None))
                continue
            self.stages.append(Stage(layer, None, Checked(layer, self.config, trusted)))

    @property
    def image_bytes(self) -> int:
        """Working memory of one image with the kernels that are in use now."""
        sums = [
            wide if accumulate.way.kernel in WIDE else narrow
            for accumulate, narrow, wide in self._sum_bytes
        ]
        return max(self._pool_bytes, *sums)

    @cached_property
    def _pool_bytes(self) -> int:
        """The most that a pool needs."""
        return max((layer_bytes(stage.pool, 4) for stage in self.stages if stage.pool), default=0)

    @cached_property
    def _sum_bytes(self) -> list[tuple[Checked, int, int]]:
        """Of each MAC layer, what it needs with sums of 4 and of 8 bytes."""
        return [
            (stage.accumulate, layer_bytes(stage.layer, 4), layer_bytes(stage.layer, 8))
            for stage in self.stages
            if stage.layer and stage.accumulate
        ]

    def grid(self, images: NDArray[np.floating]) -> NDArray[Any]:
        """Float images (N, C, H, W) in [0, 1] -> integers 0 … 2^A − 1, (N, H, W, C)."""
        count, channels, height, width = images.shape
        out = np.empty((count, height, width, channels), self.map_dtype)
        convert = _to_grid_double if images.dtype == np.float64 else _to_grid
        convert(images, self.config.act_max, out)
        return out

    def run(self, maps: NDArray[Any], *, states: bool = False, kept_maps: bool = False) -> Tape:
        """A batch of gridded images through all layers, chunk by chunk, in integers.

        Parameters
        ----------
        maps : array (N, H, W, C) of ``map_dtype``
            Integers 0 … 2^A − 1, as of ``grid``. N may be 0.
        states, kept_maps : bool
            Whether the tape holds what ``Backward`` needs, and the feature maps.

        Returns
        -------
        Tape
            With integer logits (N, classes); whatever the caller's autocast asks for.
        """

        def task(piece: slice) -> Chunk:
            found: list[Any] = []
            seen = [maps[piece]] if kept_maps else []
            logits = self.chunk(
                maps[piece],
                found if states else None,
                (lambda _, out: seen.append(out)) if kept_maps else None,
            )
            return Chunk(piece, logits, found, seen)

        with no_autocast():
            chunks = in_chunks(len(maps), task, each=self.image_bytes)
        none = np.zeros((0, self.program.classes), np.int64)
        return Tape(self, chunks, np.concatenate([none, *(chunk.logits for chunk in chunks)]))

    def feature_maps(self, maps: NDArray[Any]) -> list[NDArray[Any]]:
        """Output (N, H, W, C) of every stage but the last; pools are fused with their layer."""
        chunks = self.run(maps, kept_maps=True).chunks
        found = []
        for index, stage in enumerate(self.stages[:-1]):
            channels, height, width = stage.out_shape
            none = np.zeros((0, height, width, channels), self.map_dtype)
            found.append(np.concatenate([none, *(chunk.maps[index + 1] for chunk in chunks)]))
        return found

    def chunk(
        self,
        maps: NDArray[Any],
        states: list[Any] | None = None,
        on_map: Callable[[Stage, NDArray[Any]], None] | None = None,
    ) -> NDArray[np.int64]:
        """One chunk (N, H, W, C) of gridded images -> integer logits (N, classes).

        ``states``, if given, receives one entry per stage for the backward pass; ``on_map`` sees
        every stage's output feature map.
        """
        for stage in self.stages:
            if stage.layer is None:
                maps, state = self._pool(stage, maps)
            elif stage.layer.last:
                assert stage.accumulate is not None
                sums = stage.accumulate(_as_nchw(maps)).reshape(len(maps), -1)
                if states is not None:
                    states.append(None)
                return sums.astype(np.int64) + stage.layer.bias
            else:
                maps, state = self._mac(stage, maps, states is not None)
            if states is not None:
                states.append(state)
            if on_map is not None:
                on_map(stage, maps)
        raise AssertionError("a checked program ends in its output layer")

    def _mac(self, stage: Stage, maps: NDArray[Any], keep: bool) -> tuple[NDArray[Any], Any]:
        layer, pool = stage.layer, stage.pool
        assert layer is not None
        assert stage.accumulate is not None
        sums = stage.accumulate(_as_nchw(maps))
        channels, height, width = stage.out_shape
        out = np.empty((len(maps), height, width, channels), self.map_dtype)
        kernel, stride = (pool.kernel, pool.stride) if pool else (1, 1)
        m, b, s, negative = stage.requantizer
        limit = self.config.act_max
        if not keep:
            post_unit.requantize_pool(sums, m, b, s, limit, kernel, stride, negative, out)
            return out, None
        state = np.empty(out.shape, np.uint8)
        post_unit.requantize_pool_state(
            sums, m, b, s, layer.rounding, limit, kernel, stride, out, state
        )
        return out, state

    def _pool(self, stage: Stage, maps: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        assert stage.pool is not None
        channels, height, width = stage.out_shape
        out = np.empty((len(maps), height, width, channels), self.map_dtype)
        winner = np.empty(out.shape, np.uint8)
        pool_unit.max_pool(maps, stage.pool.kernel, stage.pool.stride, out, winner)
        return out, winner


def _as_nchw(maps: NDArray[Any]) -> Tensor:
    """A channels-last torch view of an (N, H, W, C) array; no copy."""
    return torch.from_numpy(maps).permute(0, 3, 1, 2)
