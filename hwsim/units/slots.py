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
def _replays(  # type: ignore[no-untyped-def]
    maps, fill, kernel, stride, padding, out_h, out_w, cols, groups, group, rows, found
):
    """See ``replays``; of maps (N, H, W, C), into found (N, groups, 5)."""
    images, height, width, channels = maps.shape
    kernel_h, kernel_w = kernel
    stride_h, stride_w = stride
    top, left = padding
    each = channels // groups
    fan_in = each * kernel_h * kernel_w
    # A row of flags as bits, padding among them: what a lane reads beyond the row is padding, too.
    reach = (out_w - 1) * stride_w + kernel_w
    words = (max(reach, left + width) + 63) // 64 + 1
    one = np.uint64(1)
    outside = np.zeros(words, np.uint64)
    if fill:
        outside[:] = ~np.uint64(0)
    bits = np.empty((channels, height, words), np.uint64)
    for image in range(images):
        for c in range(channels):
            for y in range(height):
                row = bits[c, y]
                row[:] = outside
                for x in range(width):
                    place = np.uint64(x + left)
                    word, bit = place >> np.uint64(6), one << (place & np.uint64(63))
                    if maps[image, y, x, c] != 0:
                        row[word] |= bit
                    else:
                        row[word] &= ~bit
        for g in range(groups):
            issued, zeros, cycles, idle, macs = 0, 0, 0, 0, 0
            for oy in range(out_h):
                for ox in range(0, out_w, cols):
                    lanes = min(cols, out_w - ox)
                    slot, blank, some, count, j = 0, 0, 0, 0, 0
                    for c in range(g * each, g * each + each):
                        for ky in range(kernel_h):
                            y = oy * stride_h - top + ky
                            row = bits[c, y] if 0 <= y < height else outside
                            for kx in range(kernel_w):
                                hit = False
                                place = ox * stride_w + kx
                                if stride_w == 1 and lanes < 64:
                                    word, bit = place >> 6, np.uint64(place & 63)
                                    seen = row[word] >> bit
                                    if bit:
                                        seen |= row[word + 1] << (np.uint64(64) - bit)
                                    hit = seen & ((one << np.uint64(lanes)) - one) != 0
                                else:
                                    for lane in range(lanes):
                                        at = np.uint64(place + lane * stride_w)
                                        word = row[at >> np.uint64(6)]
                                        if word >> (at & np.uint64(63)) & one:
                                            hit = True
                                            break
                                j += 1
                                if hit or (j == fan_in and some == 0):
                                    count += 1
                                    some += 1
                                if j % WINDOW == 0 or j == fan_in:
                                    blank += count == 0
                                    slot += max(1, group * count)
                                    count = 0
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
