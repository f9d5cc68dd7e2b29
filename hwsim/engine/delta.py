"""What some changed weights add to sums that are known: the sums of a batch, without a library.

Exact, at the price of those few weights; the loops go line by line through planes of one channel.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.program.layers import MacLayer

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
            # Of its own each: views would have the loops compiled once more.
            c, self._down, self._right = map(
                np.ascontiguousarray, np.unravel_index(inside, (layer.fan_in, *kernel))
            )
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
        planes = np.empty((len(self.rows), *sums.shape[1:3]), sums.dtype)
        given = (*self._walked(maps, planes), self.rows if at is None else at, sums)
        _add(*given)

    def _walked(self, maps: NDArray[Any], planes: NDArray[Any]) -> tuple[Any, ...]:
        """What the loops take before ``at``; planes: room for the sums of an image."""
        if self.layer.window is None:
            maps = maps.reshape(len(maps), 1, 1, self.layer.fan_in)
        stride, before, behind = self._walk
        sides = np.array(maps.shape[1:3]) + before + behind
        around = np.full((len(self._used), *sides), self.layer.fill, planes.dtype)
        return (
            maps, self._used, self._seen, self._down, self._right, self._row,
            self._change.astype(planes.dtype), stride, before, around, planes,
        )  # fmt: skip

    def of_planes(
        self, maps: NDArray[Any], clean: NDArray[Any], images: I64, channels: I64, act_max: int
    ) -> NDArray[Any]:
        """The sums (k, OH, OW, channels) of some images and outputs, from planes (C, N, OH, OW).

        maps: (k, H, W, C') of ``images``. channels: outputs, rising, ``rows`` among them.
        """
        kind = self.kind(act_max)
        out = np.empty((len(images), *clean.shape[2:], len(channels)), kind)
        at = np.asarray(np.searchsorted(channels, self.rows), np.int64)
        planes = np.empty((len(channels), *clean.shape[2:]), kind)
        given = (*self._walked(maps, planes), at, clean, images, channels, out)
        _correct(*given)
        return out

    def added(self, maps: NDArray[Any], sums: NDArray[Any], act_max: int) -> NDArray[Any]:
        """The sums (N, OH, OW, n_out) of all outputs, from those of the weights as they were."""
        fits = int(self.bound(act_max).max()) < 1 << 31
        out = sums.astype(np.int32 if fits else np.int64)
        self.add(maps, out)
        return out


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
        places, sources = at[row], used[seen]
        for n in range(count):
            pixel, target = maps[n, 0, 0], sums[n, 0, 0]
            for k in range(len(row)):
                target[places[k]] += moves[k] * pixel[sources[k]]
        return
    for n in range(count):
        planes[:] = 0
        _add_lines(maps[n], used, seen, down, right, row, moves, stride, before, around, planes)
        for y in range(out_h):
            for x in range(out_w):
                target = sums[n, y, x]
                for r in range(rows):
                    target[at[r]] += planes[r, y, x]


@njit(nogil=True, cache=True)
def _correct(  # type: ignore[no-untyped-def]
    maps, used, seen, down, right, row, moves, stride, before, around, planes, at, clean, images,
    channels, out,
):  # fmt: skip
    """As ``_add``, to sums that are copied from planes: out (k, OH, OW, channels).

    clean: (C, N, OH, OW). at: which of ``channels`` each row is. planes: (channels, OH, OW).
    """
    outputs, count, out_h, out_w = clean.shape
    places = at[row]
    # Flat: lines are short, and a loop over each costs more than what is in it.
    flat = clean.reshape(outputs, count, out_h * out_w)
    flat_planes = planes.reshape(len(channels), out_h * out_w)
    for n in range(len(images)):
        for c in range(len(channels)):
            source, target = flat[channels[c], images[n]], flat_planes[c]
            for i in range(out_h * out_w):
                target[i] = source[i]
        _add_lines(maps[n], used, seen, down, right, places, moves, stride, before, around, planes)
        for y in range(out_h):
            for x in range(out_w):
                target = out[n, y, x]
                for c in range(len(channels)):
                    target[c] = planes[c, y, x]


@njit(nogil=True, cache=True)
def _add_lines(  # type: ignore[no-untyped-def]
    image, used, seen, down, right, row, moves, stride, before, around, planes
):
    """planes[row[k]] += moves[k] · what weight k reads of an image (H, W, C), line by line."""
    height, width, _ = image.shape
    _, out_h, out_w = planes.shape
    for u in range(len(used)):
        c = used[u]
        for y in range(height):
            line = around[u, before[0] + y, before[1] :]
            for x in range(width):
                line[x] = image[y, x, c]
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
