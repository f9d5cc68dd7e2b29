"""Which kernel may compute a layer: one whose sums were proved on this CPU, for this very shape.

Libraries choose blockings by the shape of a layer and the size of a batch, and a fault may sit in
one of them alone. So all sums of the first batch of every size are proved as they pass by, and
those of a batch of extreme activations with them, which saturating arithmetic gets wrong; what
fails is computed again by the next slower way, and the way that failed is never asked again.

The proof is Freivalds' (1977): with random integers r, Σ_o r_o·sums_o must equal the same
combination of the weights applied to the window, modulo 2^64. It reads every sum, costs fan-in +
n_out products a pixel instead of their product, never fails where the sums are right, and misses a
wrong sum below 2^31 with probability below 2^-32. It shares no code with the kernels.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.forms import sides
from hwsim.engine.kernels import Accumulate, Kernel, Route, candidates, window_weights
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer

#: What a library raises for an operator or a shape that it does not have.
ABSENT = (RuntimeError, AttributeError, NotImplementedError, TypeError)


class Proof:
    """Proves the sums of one layer, whoever computed them."""

    def __init__(self, layer: MacLayer) -> None:
        noise = np.random.default_rng(layer.n_out)
        self._layer = layer
        self._mix = noise.integers(-(2**63), 2**63 - 1, layer.n_out, np.int64) | 1
        weight = window_weights(layer)
        self._mixed = np.zeros(weight.shape[1:], np.int64)
        _mix(np.ascontiguousarray(weight), self._mix, self._mixed)

    def holds(self, maps: Tensor, sums: NDArray[Any]) -> bool:
        """Whether every sum (N, OH, OW, n_out) of maps (N, C, H, W) is right."""
        layer = self._layer
        shape = (len(maps), *layer.out_shape[1:], layer.n_out)
        if sums.shape != shape:
            return False
        _, stride, padding = sides(layer)
        nhwc = maps.permute(0, 2, 3, 1).contiguous().numpy()
        return bool(_all_equal(nhwc, self._mixed, sums, self._mix, stride, padding))


@njit(nogil=True, cache=True)
def _mix(weight, mix, out):  # type: ignore[no-untyped-def]
    neurons, rows, columns, channels = weight.shape
    for o in range(neurons):
        for y in range(rows):
            for x in range(columns):
                for c in range(channels):
                    out[y, x, c] += mix[o] * np.int64(weight[o, y, x, c])


@njit(nogil=True, cache=True)
def _all_equal(maps, mixed, sums, mix, stride, padding):  # type: ignore[no-untyped-def]
    count, height, width, channels = maps.shape
    _, out_h, out_w, neurons = sums.shape
    rows, columns, _ = mixed.shape
    for n in range(count):
        for y in range(out_h):
            for x in range(out_w):
                found = np.int64(0)
                for o in range(neurons):
                    value = sums[n, y, x, o]
                    # Beyond 2^62, not a number, or no integer: not a sum of products.
                    if not (-4.6e18 < value < 4.6e18) or np.int64(value) != value:
                        return False
                    found += mix[o] * np.int64(value)
                wanted = np.int64(0)
                for dy in range(rows):
                    row = y * stride[0] + dy - padding[0]
                    if row < 0 or row >= height:
                        continue
                    for dx in range(columns):
                        column = x * stride[1] + dx - padding[1]
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            wanted += mixed[dy, dx, c] * np.int64(maps[n, row, column, c])
                if found != wanted:
                    return False
    return True


def poison(size: int) -> None:
    """Leave not-a-number in freed memory of about ``size`` floats: what reads it will show."""
    stale = [
        torch.full((max(1, size // part),), torch.nan, dtype=torch.float32) for part in (1, 1, 2, 8)
    ]
    del stale


def _extremes(maps: Tensor, act_max: int) -> list[Tensor]:
    """Batches of the same shape and layout: activations full or 0 by chance, one image all full.

    A batch of one image cannot hold both and comes twice.
    """
    some = np.random.default_rng(maps.numel()).integers(0, 2, maps.numel(), np.uint8)
    # Stored as the maps are: channels last.
    count, channels, height, width = maps.shape
    chosen = torch.from_numpy(some).view(count, height, width, channels).permute(0, 3, 1, 2)
    mixed = chosen.to(maps.dtype) * act_max
    full = mixed.clone(memory_format=torch.preserve_format)
    full[:1] = act_max
    return [full, mixed] if count == 1 else [full]


def geometry(layer: MacLayer) -> str:
    """What a library sees of a layer: ``conv 64x14x14 -> 128x14x14 kernel 3 stride 1 …``."""
    source, target = ("x".join(map(str, shape)) for shape in (layer.in_shape, layer.out_shape))
    text = f"{layer.kind} {source} -> {target}"
    if layer.window is not None:
        (rows, columns), (down, right), (top, left) = sides(layer)
        text += f" kernel {rows}x{columns} stride {down}x{right} padding {top}x{left}"
    return text


class Checked:
    """The accumulators of one layer, exactly: ``Accumulate`` by the fastest way that proves itself.

    Thread-safe. Warns, once a layer and way, where a way is wrong on this CPU.
    """

    def __init__(self, layer: MacLayer, config: EngineConfig, trusted: frozenset[Kernel]) -> None:
        self.layer, self._act_max = layer, config.act_max
        self._ways = candidates(layer, config, trusted)
        self._lock = threading.Lock()
        self._proof: Proof | None = None
        #: Whether a way was given up.
        self.fallen = False
        self._build()

    def _build(self) -> None:
        while True:
            kernel, route = self._ways[0]
            try:
                self.way = Accumulate(self.layer, self._act_max, kernel, route)
            except ABSENT:
                self._give_up(kernel, route)
                continue
            self._proved: set[int] = set()
            return

    def __call__(self, maps: Tensor) -> NDArray[Any]:
        """As ``Accumulate``: maps (N, C, H, W) -> exact sums (N, OH, OW, n_out)."""
        while True:
            way, proved = self.way, self._proved
            if maps.shape[0] in proved:  # many times faster than len()
                return way(maps)
            sums = self._prove(way, maps)
            if sums is not None:
                proved.add(len(maps))
                return sums
            with self._lock:
                if way is self.way:  # else another thread has found the same
                    self._give_up(way.kernel, way.route)
                    self._build()

    def _prove(self, way: Accumulate, maps: Tensor) -> NDArray[Any] | None:
        """The sums of ``maps`` if the way is right for batches of this size, else None."""
        if way.kernel == "int64":
            return way(maps)
        if self._proof is None:
            self._proof = Proof(self.layer)
        answer: NDArray[Any] | None = None
        try:
            for operands in [maps, *_extremes(maps, self._act_max)]:
                poison(len(maps) * self.layer.n_out * self.layer.pixels)
                sums = way(operands)
                if not self._proof.holds(operands, sums):
                    return None
                answer = sums if answer is None else answer
        except ABSENT:
            return None
        return answer

    def _give_up(self, kernel: Kernel, route: Route) -> None:
        warnings.warn(
            f"{self.layer.name}: the {kernel} kernel ({route}) is not exact on this CPU for "
            f"{geometry(self.layer)}: a slower exact one is used",
            RuntimeWarning,
            stacklevel=2,
        )
        self.fallen = True
        del self._ways[0]
