"""Some channels of some images: fetched from sums that are known, compared and put back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]


def picked(planes: NDArray[Any], channels: I64, images: I64, kind: Any) -> NDArray[Any]:
    """Some sums of planes (C, N, OH, OW), as (images, OH, OW, channels) of type ``kind``."""
    out = np.empty((len(images), *planes.shape[2:], len(channels)), kind)
    _pick(planes, channels, images, out)
    return out


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


@njit(nogil=True, cache=True)
def fetch(sums, channels, out):  # type: ignore[no-untyped-def]
    """out (N, H, W, c), integers, = exact sums (N, H, W, C)[..., channels], in whatever type."""
    count, height, width, some = out.shape
    for n in range(count):
        for y in range(height):
            for x in range(width):
                source, target = sums[n, y, x], out[n, y, x]
                for c in range(some):
                    target[c] = np.int64(source[channels[c]])


@njit(nogil=True, cache=True)
def differing(maps, images, channels, codes):  # type: ignore[no-untyped-def]
    """Which of codes (k, H, W, c) are others than maps (N, H, W, C)[images, ..., channels]."""
    found = np.zeros(len(images), np.bool_)
    _, height, width, some = codes.shape
    for n in range(len(images)):
        one, other = maps[images[n]], codes[n]
        for y in range(height):
            for x in range(width):
                for c in range(some):
                    if one[y, x, channels[c]] != other[y, x, c]:
                        found[n] = True
            if found[n]:
                break
    return found


@njit(nogil=True, cache=True)
def place(maps, channels, codes, images):  # type: ignore[no-untyped-def]
    """maps (k, H, W, C)[..., channels] = codes (N, H, W, c)[images]."""
    _, height, width, some = codes.shape
    for n in range(len(images)):
        target, source = maps[n], codes[images[n]]
        for y in range(height):
            for x in range(width):
                for c in range(some):
                    target[y, x, channels[c]] = source[y, x, c]
