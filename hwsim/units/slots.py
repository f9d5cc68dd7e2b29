"""Slots of an engine that skips (twin: rtl/units/hne_slots.v): which columns a pixel tile issues.

Of a convolution whose groups have several row-tiles, the first of them issues every column and
remembers, pixel tile by pixel tile, which were 0 in all lanes; the others issue the rest. All
layers of the array but fc choose a column SELECT cycles before it is issued.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: A column is looked up; its place is read; where it stands is added.
SELECT = 3
#: Cycles between the first row-tile of a group and the second: what the last column was is seen
#: (SELECT, five stages to the lanes, one to compare, one to write), then two words are read.
GAP = 12
#: Columns of a word of the memory of what was 0: looked at together.
WINDOW = 16


@njit(nogil=True, cache=True)
def _row_bits(maps, left, fill, bits):  # type: ignore[no-untyped-def]
    """Which codes of a map (H, W, C) are not 0, as bits from the left padding on.

    Into bits (words, C, H); what lies outside the row is padding.
    """
    height, width, channels = maps.shape
    one = np.uint64(1)
    bits[:] = ~np.uint64(0) if fill else np.uint64(0)
    for y in range(height):
        for x in range(width):
            word = (x + left) >> 6
            bit = one << np.uint64((x + left) & 63)
            for c in range(channels):
                if maps[y, x, c] != 0:
                    bits[word, c, y] |= bit
                else:
                    bits[word, c, y] &= ~bit


@njit(nogil=True, cache=True, inline="always")
def _any_lane(bits, c, y, first, lanes, stride):  # type: ignore[no-untyped-def]
    """Whether one of the lanes of a row, from bit ``first`` on, is set."""
    for lane in range(lanes):
        at = first + lane * stride
        if bits[at >> 6, c, y] >> np.uint64(at & 63) & np.uint64(1):
            return True
    return False


@njit(nogil=True, cache=True)
def _replays(  # type: ignore[no-untyped-def]
    maps, fill, kernel, stride, padding, out_h, out_w, cols, groups, group, rows, found
):
    """See ``replays``; of maps (N, H, W, C), into found (N, groups, 5)."""
    images, height, width, channels = maps.shape
    kernel_h, kernel_w = kernel
    stride_h, stride_w = stride
    top, left = padding
    each = channels // groups
    reach = max((out_w - 1) * stride_w + kernel_w, left + width)
    one, none = np.uint64(1), np.uint64(0)
    outside = ~none if fill else none
    bits = np.empty(((reach + 63) >> 6, channels, height), np.uint64)
    narrow = reach <= 64
    for image in range(images):
        _row_bits(maps[image], left, fill, bits)
        for g in range(groups):
            issued, zeros, cycles, idle, macs = 0, 0, 0, 0, 0
            for oy in range(out_h):
                for ox in range(0, out_w, cols):
                    lanes = min(cols, out_w - ox)
                    first = ox * stride_w
                    mask = none
                    if narrow:
                        for lane in range(lanes):
                            mask |= one << np.uint64(first + lane * stride_w)
                    slot, blank, some, count, room = 0, 0, 0, 0, WINDOW
                    for c in range(g * each, g * each + each):
                        for ky in range(kernel_h):
                            y = oy * stride_h - top + ky
                            inside = 0 <= y < height
                            row = outside
                            if inside and narrow:
                                row = bits[0, c, y]
                            for kx in range(kernel_w):
                                if narrow or not inside:
                                    hit = (row >> np.uint64(kx)) & mask != none
                                    if not narrow:
                                        hit = fill
                                else:
                                    hit = _any_lane(bits, c, y, first + kx, lanes, stride_w)
                                count += hit
                                room -= 1
                                if room == 0:
                                    blank += count == 0
                                    slot += max(1, group * count)
                                    some += count
                                    count, room = 0, WINDOW
                    if room < WINDOW:
                        blank += count == 0
                        slot += max(1, group * count)
                        some += count
                    if some == 0:  # the last column stays, so that there is a sum
                        some = 1
                        blank -= 1
                        slot += group - 1
                    length = max(slot, rows)
                    issued += some
                    zeros += blank
                    cycles += length
                    idle += length - slot
                    macs += some * lanes
            found[image, g, 0] = issued
            found[image, g, 1] = zeros
            found[image, g, 2] = cycles
            found[image, g, 3] = idle
            found[image, g, 4] = macs


def replays(
    maps: NDArray[np.integer],
    *,
    fill: bool,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    out_sides: tuple[int, int],
    cols: int,
    groups: int,
    group: int,
    rows: int,
) -> NDArray[np.int64]:
    """What a row-tile costs that leaves out columns of zeros, image by image.

    Parameters
    ----------
    maps : integers (N, H, W, C)
        Codes that the convolution reads.
    fill : bool
        Whether padding reads another code than 0.
    kernel, stride, padding, out_sides : pair
        (vertical, horizontal); padding at top and left.
    cols, groups : int
        Array columns; groups of channels.
    group : int
        Cycles of a column, see act_buffer.cycles_column.
    rows : int
        Most rows of a row-tile: the least that a slot takes.

    Returns
    -------
    int64 (N, groups, 5)
        Over all pixel tiles: columns issued, windows of zeros, cycles, those of them that a slot
        idles for its drain, products of one array row.
    """
    found = np.empty((len(maps), groups, 5), np.int64)
    _replays(
        np.ascontiguousarray(maps), fill, kernel, stride, padding, *out_sides, cols, groups,
        group, rows, found,
    )  # fmt: skip
    return found
