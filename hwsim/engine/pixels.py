"""Images on the input grid: real values to codes, exactly, as the pins carry them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.program.wires import Input


class ToCodes:
    """⌊x / scale + ½⌋ + zero, saturated to 0 … act_max, of NCHW floats into NHWC integers.

    Exact for the real number that each float32 or float64 is. Called with images and where their
    codes go.
    """

    def __init__(self, image: Input, act_max: int) -> None:
        self._zero, self._act_max = image.zero, image.last(act_max)
        self._steps = 1 / image.scale
        self._per_unit = float(self._steps)
        self._pixels = self._steps == self._act_max and image.zero == 0

    def __call__(self, images: NDArray[np.floating], out: NDArray[Any]) -> None:
        act_max = self._act_max
        if self._pixels:
            convert = _to_grid_double if images.dtype == np.float64 else _to_grid
            convert(images, act_max, out)
            return
        near = _to_grid_any(images, self._per_unit, self._zero, act_max, out)
        # Products in float64 name the level but next to a tie, which fractions settle.
        for n, c, y, x in near:
            value = Fraction(float(images[n, c, y, x])) * self._steps + Fraction(1, 2)
            out[n, y, x, c] = min(max(math.floor(value) + self._zero, 0), act_max)


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
    lower one may move it by one. Every other step is exact too. What is far outside is cut first:
    2^27 times it may be beyond float64.
    """
    count, channels, height, width = images.shape
    for n in range(count):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    pixel = min(max(images[n, c, y, x], -1.0), 2.0)
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


@njit(nogil=True, cache=True)
def _to_grid_any(images, steps, zero, act_max, out):  # type: ignore[no-untyped-def]
    """⌊x·steps + ½⌋ + zero in float64, and the places (n, c, y, x) where a tie may be near."""
    count, channels, height, width = images.shape
    near = []
    for n in range(count):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    value = np.float64(images[n, c, y, x]) * steps + 0.5 + zero
                    # Far outside: saturated, a number that fits, and no tie.
                    if value < -1.0:
                        value = -1.5
                    elif value > act_max + 2.0:
                        value = act_max + 2.5
                    level = np.floor(value)
                    # A product is wrong by less than 2^-35 below 2^17.
                    if min(value - level, level + 1.0 - value) < 1e-9:
                        near.append((n, c, y, x))
                    out[n, y, x, c] = min(max(level, 0.0), act_max)
    return near
