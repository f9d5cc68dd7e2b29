"""Some weights of a layer changed: what that adds to sums that are known, without a library.

A flipped bit moves few virtual weights, so that the sums of a batch follow from the old ones at the
price of those few, exactly, and no kernel has to be packed and proved for a layer that may be given
up again.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.engine.kernels import Kernel
from hwsim.engine.requantizing import requantize, requantize_wrapping
from hwsim.engine.stages import Stage
from hwsim.engine.sums import Sums
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer
from hwsim.program.sums_proof import cannot_wrap

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Delta:
    """What changed virtual weights add to the sums of a layer.

    layer: as it was. place: int64 (k,), of the weights in (n_out, fan_in), flat. change: int64
    (k,), what each is more than it was. rows: the outputs that they belong to, rising.
    """

    def __init__(self, layer: MacLayer, place: I64, change: I64) -> None:
        self.layer, self._place, self._change = layer, place, np.asarray(change, np.int64)
        row, inside = np.divmod(place, layer.fan_in)
        self.rows, self._row = np.unique(row, return_inverse=True)
        channels, _, width = layer.in_shape
        if layer.window is None:
            # One window that is the map: each input is a channel of its own, as maps hold them.
            c, y, x = np.unravel_index(inside, layer.in_shape)
            channel, self._down, self._right = (y * width + x) * channels + c, 0 * row, 0 * row
            self._walk = np.array([[1, 1], [0, 0], [0, 0]], np.int64)
        else:
            kernel = layer.window.kernel
            c, self._down, self._right = np.unravel_index(inside, (layer.fan_in, *kernel))
            channel = c + row // layer.group_out * (channels // layer.groups)
            top, left, bottom, right = layer.window.padding
            self._walk = np.array([layer.window.stride, (top, left), (bottom, right)], np.int64)
        self._used, self._seen = np.unique(channel, return_inverse=True)

    @property
    def count(self) -> int:
        """Weights that changed."""
        return len(self._place)

    @cached_property
    def moved(self) -> I64:
        """Σ |change| by row: how much more a sum can be, of each step of the activations."""
        found: I64 = np.zeros(len(self.rows), np.int64)
        np.add.at(found, self._row, np.abs(self._change))
        return found

    def bound(self, act_max: int) -> I64:
        """As ``accumulator_bound``, of the changed layer: never less than it is, (n_out,)."""
        found = self.layer.accumulator_bound(act_max).copy()
        found[self.rows] += act_max * self.moved
        return found

    def kind(self, act_max: int) -> Any:
        """The type that holds old and new sums of ``rows``, whatever the layer reads."""
        largest = int(self.bound(act_max)[self.rows].max(initial=0))
        return np.int32 if largest < 1 << 31 else np.int64

    def weights(self) -> I32:
        """All virtual weights as they are now."""
        found = self.layer.virtual_weights.copy()
        found.reshape(-1)[self._place] += self._change.astype(np.int32)
        return found

    def add(self, maps: NDArray[Any], sums: NDArray[Any], at: I64 | None = None) -> None:
        """To sums (N, OH, OW, C) of maps (N, H, W, C'), in integers of their type, modulo its size.

        at: which of the C each of ``rows`` is; they are ``rows`` themselves for None.
        """
        if self.layer.window is None:
            maps = maps.reshape(len(maps), 1, 1, self.layer.fan_in)
        stride, before, behind = self._walk
        sides = np.array(maps.shape[1:3]) + before + behind
        around = np.full((len(self._used), *sides), self.layer.fill, sums.dtype)
        planes = np.empty((len(self.rows), *sums.shape[1:3]), sums.dtype)
        _add(
            maps, self._used, self._seen, self._down, self._right, self._row,
            self._change.astype(sums.dtype), stride, before, around, planes,
            self.rows if at is None else at, sums,
        )  # fmt: skip

    def added(self, maps: NDArray[Any], sums: NDArray[Any], act_max: int) -> NDArray[Any]:
        """The sums (N, OH, OW, n_out) of all outputs, from those of the weights as they were."""
        fits = int(self.bound(act_max).max()) < 1 << 31
        out = sums.astype(np.int32 if fits else np.int64)
        self.add(maps, out)
        return out


def picked(planes: NDArray[Any], channels: I64, images: I64, kind: Any) -> NDArray[Any]:
    """Some sums of planes (C, N, OH, OW), as (images, OH, OW, channels) of type ``kind``."""
    out = np.empty((len(images), *planes.shape[2:], len(channels)), kind)
    _pick(planes, channels, images, out)
    return out


#: What a multiply-add of ``Delta`` takes, by kernels that compute all sums: so many of theirs. All
#: these numbers were measured on one CPU; where another one differs that costs time, never a sum.
THEIRS = {"int8": 60, "float32": 30, "float64": 12, "int64": 1}
#: The same of a depthwise layer, whose loops are our own.
DEPTHWISE = 4
#: Multiply-adds of ``Delta``: besides those of a line of a plane; of a sum of a changed row, which
#: is fetched, requantized and compared alone; to pack a weight of a kernel.
LINE, ROW, PACK = 3, 10, 34
#: Images whose sums take the time to prove a kernel.
PROVED = 128


def cheaper_again(stage: Stage, delta: Delta, images: int, moved: int) -> bool:
    """Whether to compute a layer with the changed weights is less work than to correct its sums.

    By counted multiply-adds. images: all of them; moved: those whose sums are not known, and have
    to be computed in any case.
    """
    layer, sums = delta.layer, stage.sums
    assert sums is not None
    theirs = THEIRS[sums.ways[0].way.kernel] if sums.ways else DEPTHWISE
    every = layer.macs / theirs
    _, height, width = layer.out_shape
    one = delta.count * height * (width + LINE) + ROW * len(delta.rows) * layer.pixels
    pack = PACK * layer.spec.virtual_weights
    return (images - moved + PROVED) * every + pack < images * one


class Changed:
    """A weighted stage with other virtual weights.

    clean: the stage that the sums are known of. weights: int32 (n_out, fan_in), those of the
    changed layer. at: int64 (k,), which of them, row by row, differ from the clean ones.

    A stage with a pool in it does not take sums that wrap: see ``possible``.
    """

    def __init__(self, clean: Stage, weights: I32, at: I64, config: EngineConfig) -> None:
        layer = clean.mac
        assert layer is not None
        self._config = config
        moved = weights.reshape(-1)[at].astype(np.int64)
        delta = Delta(layer, at, moved - layer.virtual_weights.reshape(-1)[at])
        self._delta, self._act_max = delta, config.act_max
        self._layer = with_weights(layer, weights)
        #: Whether sums may leave their widths now.
        self.wraps = not cannot_wrap(config, self._layer)
        self.stage = clean.with_layer(self._layer, config, self.wraps)
        assert self.stage.post is not None
        self._post = self.stage.post.of(delta.rows, self._layer.accumulator_bound(config.act_max))

    @property
    def possible(self) -> bool:
        """Whether ``stage`` computes what the engine does. What wraps around is not monotone."""
        return not self.wraps or self.stage.pool is None

    def sums(self, maps: NDArray[Any], clean: NDArray[Any]) -> NDArray[Any]:
        """Exact sums (N, OH, OW, n_out) of maps (N, H, W, C), from those of the clean weights."""
        return self._delta.added(maps, clean, self._act_max)

    def output(self, maps: NDArray[Any], clean: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
        """What a stage but the last writes, where sums and output before the change are known."""
        delta, config = self._delta, self._config
        kind = delta.kind(self._act_max)
        sums = np.ascontiguousarray(clean[..., delta.rows]).astype(kind)
        delta.add(maps, sums, np.arange(len(delta.rows)))
        codes = np.empty((*before.shape[:3], len(delta.rows)), before.dtype)
        if self.wraps:
            requantize_wrapping(config, self._post, [sums], codes, None)
        else:
            requantize(self.stage, self._post, sums, codes, None)
        out = before.copy()
        out[..., delta.rows] = codes
        return out

    def kept(self, trusted: frozenset[Kernel]) -> Stage:
        """The changed stage with kernels of its own, for whoever goes on with it."""
        return dataclasses.replace(self.stage, sums=Sums(self._layer, self._config, trusted))


def with_weights(layer: MacLayer, weights: I32) -> MacLayer:
    """A layer of the same shape with these virtual weights, whatever its hash says."""
    made = dataclasses.replace(layer)
    made.__dict__["virtual_weights"] = weights
    return made


@njit(nogil=True, cache=True)
def _add(  # type: ignore[no-untyped-def]
    maps, used, seen, down, right, row, moves, stride, before, around, planes, at, sums
):
    """sums[n, y, x, at[row[k]]] += moves[k] · what weight k reads there of maps (N, H, W, C).

    around: (channels of ``used``, H, W and padding), where there is padding already filled. planes:
    room for the sums of an image, (rows, OH, OW).
    """
    count, height, width, _ = maps.shape
    rows, out_h, out_w = planes.shape
    if height * width * around.shape[1] * around.shape[2] == 1:
        # Windows of one pixel that is the whole map: nothing is read twice.
        for n in range(count):
            pixel, target = maps[n, 0, 0], sums[n, 0, 0]
            for k in range(len(row)):
                target[at[row[k]]] += moves[k] * np.int64(pixel[used[seen[k]]])
        return
    for n in range(count):
        for y in range(height):
            for x in range(width):
                pixel, target_y, target_x = maps[n, y, x], before[0] + y, before[1] + x
                for u in range(len(used)):
                    around[u, target_y, target_x] = pixel[used[u]]
        planes[:] = 0
        for k in range(len(row)):
            move, plane, source = moves[k], planes[row[k]], around[seen[k]]
            for y in range(out_h):
                line, target = source[y * stride[0] + down[k], right[k] :], plane[y]
                if stride[1] == 1:
                    for x in range(out_w):
                        target[x] += move * line[x]
                else:
                    for x in range(out_w):
                        target[x] += move * line[x * stride[1]]
        for y in range(out_h):
            for x in range(out_w):
                target = sums[n, y, x]
                for r in range(rows):
                    target[at[r]] += planes[r, y, x]


@njit(nogil=True, cache=True)
def _pick(planes, channels, images, out):  # type: ignore[no-untyped-def]
    """out (N, OH, OW, k) = planes (C, N', OH, OW)[channels, images]."""
    _, _, height, width = planes.shape
    for n in range(len(images)):
        for c in range(len(channels)):
            plane = planes[channels[c], images[n]]
            for y in range(height):
                for x in range(width):
                    out[n, y, x, c] = plane[y, x]
