"""Depthwise convolutions of whole vectors of channels, requantized before they leave the registers.

Sums are float32 of integers below 2^24 and so exact. Lines of the map that windows reach are kept
as floats with their padding around them, as many as a window is high. Nothing to be proved on the
CPU at hand: one code for every shape, of operations that IEEE 754 fixes (docs/architecture.md, 6).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from hwsim.numbers.vectors import LANES, as_floats, fma, load, store, zeros
from hwsim.program.layers import MacLayer
from hwsim.units.post import Words
from hwsim.units.post_vectors import codes

#: Float32 holds every integer up to here.
EXACT = 1 << 24


def fills_vectors(layer: MacLayer, act_max: int) -> bool:
    """Whether this kernel is exact for a depthwise layer, and its channels are whole vectors."""
    return (
        layer.group_out == 1
        and act_max <= 255
        and layer.n_out % LANES == 0
        and int(layer.accumulator_bound(act_max).max()) < EXACT
    )


class DepthwiseLanes:
    """A depthwise layer that ``fills_vectors``, with the padding that it was given."""

    def __init__(self, layer: MacLayer) -> None:
        assert layer.window is not None
        rows, columns = layer.window.kernel
        weight = layer.virtual_weights.reshape(layer.n_out, rows, columns).transpose(1, 2, 0)
        self._weight = np.ascontiguousarray(weight, np.float32).reshape(-1)
        self._window = (rows, columns), layer.window.stride, layer.window.padding[:2]
        self._fill, self._shape = np.float32(layer.fill), layer.out_shape

    def sums(self, maps: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Maps (N, H, W, C) -> exact accumulators (N, OH, OW, C)."""
        channels, height, width = self._shape
        out = np.empty((len(maps), height, width, channels), np.float32)
        _pass(np.ascontiguousarray(maps), self._weight, *self._window, self._fill, (), 0, 0, out)
        return out

    def codes(
        self, maps: NDArray[np.uint8], words: Words, lo: int, hi: int, out: NDArray[np.uint8]
    ) -> None:
        """The same requantized to ``out``."""
        source = np.ascontiguousarray(maps)
        _pass(source, self._weight, *self._window, self._fill, words, lo, hi, out)


def _put(out: Any, at: Any, acc: Any, c: Any, words: Any, lo: Any, hi: Any) -> None:
    """A vector of accumulators of channels from c on, or their codes, as ``out`` takes them."""
    raise NotImplementedError  # compiled only


@overload(_put, inline="always")
def _put_compiled(out, at, acc, c, words, lo, hi):  # type: ignore[no-untyped-def]
    if out.dtype == types.float32:
        return lambda out, at, acc, c, words, lo, hi: store(out, at, acc)

    def requantized(out, at, acc, c, words, lo, hi):  # type: ignore[no-untyped-def]
        m, b, s, _, factor, low, high = words
        code = codes(
            acc, load(m, c), load(b, c), load(s, c), load(factor, c), load(low, c), load(high, c),
            lo, hi, np.float32(lo), np.float32(hi),
        )  # fmt: skip
        store(out, at, code)

    return requantized


@njit(nogil=True, cache=True)
def _pass(  # type: ignore[no-untyped-def]
    maps, weight, kernel, stride, corner, fill, words, lo, hi, out
):
    """maps (N, H, W, C), weight (k·k'·C,), out (N, OH, OW, C): float32 sums or, by words, bytes."""
    count, height, width, channels = maps.shape
    _, out_h, out_w, _ = out.shape
    rows, columns = kernel
    down, right = stride
    top, left = corner
    line = max(width + left, (out_w - 1) * right + columns) * channels
    inside = width * channels
    step = right * channels
    lines = np.full(rows * line, fill)
    for n in range(count):
        source, target = maps[n].reshape(-1), out[n].reshape(-1)
        ready = 0
        for y in range(out_h):
            # Lines by their number in the padded map.
            for row in range(max(ready, y * down), y * down + rows):
                to = row % rows * line + left * channels
                if top <= row < top + height:
                    begin = (row - top) * inside
                    for i in range(0, inside, LANES):
                        store(lines, to + i, as_floats(load(source, begin + i)))
                else:
                    lines[to : to + inside] = fill
            ready = y * down + rows
            for x in range(0, out_w - 3, 4):
                for c in range(0, channels, LANES):
                    one, two, three, four = zeros(), zeros(), zeros(), zeros()
                    for dy in range(rows):
                        at = (y * down + dy) % rows * line + x * step + c
                        factor = dy * columns * channels + c
                        for dx in range(columns):
                            w = load(weight, factor + dx * channels)
                            place = at + dx * channels
                            one = fma(load(lines, place), w, one)
                            two = fma(load(lines, place + step), w, two)
                            three = fma(load(lines, place + 2 * step), w, three)
                            four = fma(load(lines, place + 3 * step), w, four)
                    at = (y * out_w + x) * channels + c
                    _put(target, at, one, c, words, lo, hi)
                    _put(target, at + channels, two, c, words, lo, hi)
                    _put(target, at + 2 * channels, three, c, words, lo, hi)
                    _put(target, at + 3 * channels, four, c, words, lo, hi)
            for x in range(out_w // 4 * 4, out_w):
                for c in range(0, channels, LANES):
                    one = zeros()
                    for dy in range(rows):
                        at = (y * down + dy) % rows * line + x * step + c
                        factor = dy * columns * channels + c
                        for dx in range(columns):
                            w = load(weight, factor + dx * channels)
                            one = fma(load(lines, at + dx * channels), w, one)
                    _put(target, (y * out_w + x) * channels + c, one, c, words, lo, hi)
