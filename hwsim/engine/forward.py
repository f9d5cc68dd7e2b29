"""The units composed: a Program applied to a batch of integer images, exactly and fast.

Batches are cut into chunks that stay in cache; each worker thread takes whole chunks through all
layers, so that there is no barrier between layers and no thread pool inside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Barrier
from typing import Any, TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.kernel_proof import Checked
from hwsim.engine.kernels import Kernel
from hwsim.program.program import MacLayer, PoolLayer, Program
from hwsim.program.workspace import at_once, layer_bytes
from hwsim.units import pool as pool_unit
from hwsim.units import post as post_unit

#: Kernels whose sums take 8 bytes; those of the others take 4.
WIDE = ("float64", "int64")
#: Images per chunk: feature maps of the MNIST network then stay inside the L2/L3 caches.
CHUNK = 64

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

    @property
    def out_shape(self) -> tuple[int, int, int]:
        last = self.pool or self.layer
        assert last is not None
        return last.out_shape


class Datapath:
    """Runs a Program on batches. Thread-safe; holds packed weights, never changes the Program."""

    def __init__(self, program: Program, trusted: frozenset[Kernel]) -> None:
        self.program, self.config = program, program.config
        self.map_dtype = np.uint8 if self.config.act_w <= 8 else np.int32
        self.stages: list[Stage] = []
        self._constants: list[tuple[Any, ...]] = []
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
        pools = [layer_bytes(stage.pool, 4) for stage in self.stages if stage.pool]
        sums = [
            layer_bytes(stage.layer, 8 if stage.accumulate.way.kernel in WIDE else 4)
            for stage in self.stages
            if stage.layer and stage.accumulate
        ]
        return max(pools + sums)

    def grid(self, images: NDArray[np.floating]) -> NDArray[Any]:
        """Float images (N, C, H, W) in [0, 1] -> integers 0 … 2^A − 1, (N, H, W, C)."""
        count, channels, height, width = images.shape
        out = np.empty((count, height, width, channels), self.map_dtype)
        convert = _to_grid_double if images.dtype == np.float64 else _to_grid
        convert(images, self.config.act_max, out)
        return out

    def run(
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
        m, b = layer.multiplier.astype(np.int64), layer.bias
        s = layer.shift.astype(np.int64)
        limit = self.config.act_max
        if not keep:
            negative = bool((m < 0).any())
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


#: Whether this process was forked from one that may have had torch threads. They did not come
#: along, torch's OpenMP waits for them for ever, and so no product may be made where it would.
_FORKED = False


def _note_fork() -> None:
    global _FORKED
    _FORKED = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _single_threaded() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # torch's lazy set-up of this thread, before the default changes back


@lru_cache(maxsize=1)
def _workers(count: int, process: int) -> ThreadPoolExecutor:
    """Worker threads in which torch does not start threads of its own."""
    pool = ThreadPoolExecutor(count, "hwsim", initializer=_single_threaded)
    together = Barrier(count)  # all threads start now: a later one would change the default again
    list(pool.map(lambda _: together.wait(), range(count)))
    # The thread count is per thread, except for the default of threads yet to come: restore that.
    torch.set_num_threads(count)
    return pool


def in_chunks(
    total: int, task: Callable[[slice], Result], chunk: int = CHUNK, each: int = 0
) -> Sequence[Result]:
    """``task`` over slices of range(total), on as many threads as torch may use, in order.

    each: bytes that one of ``total`` needs; all at work together keep to ``workspace.BUDGET``.
    In a forked process even a single one runs in a worker of this process.
    """
    count = torch.get_num_threads()
    most, at_work = at_once(each, chunk, count)
    size = max(1, min(most, -(-total // count)))
    slices = [slice(start, min(start + size, total)) for start in range(0, total, size)]
    if count == 1 or at_work < count or (len(slices) <= 1 and not _FORKED):
        return [task(piece) for piece in slices]
    return list(_workers(count, os.getpid()).map(task, slices))
