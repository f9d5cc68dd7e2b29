"""Zero skipping (twin: rtl/units/hne_skip.v): which columns of an fc layer are expanded, and when.

The array sums w · a over unsigned codes (zero points stand in the bias), so a column whose code is
0 adds nothing, whatever the code means. A scanner looks at the input map a line of COLS codes at a
time and lists the columns that are not 0. The first row-tile takes them as they come, the others
from the full list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Cycles from the start of the unit to the cycle that enters the first code of the first line.
SCAN = 2 + 1 + 1  # read; which codes are not 0; the first of them


@njit(nogil=True, cache=True)
def _scan(wanted, width, cols, column, known):  # type: ignore[no-untyped-def]
    """List the columns of one image: fill both arrays; returns how many, and when it is over.

    A line takes a cycle for each of its columns, and at least one. known: the boundary from which
    on an entry of the list can be seen, the unit starting at boundary 0.
    """
    count, begin = 0, SCAN
    for row in range(0, len(wanted), width):
        for left in range(row, row + width, cols):
            before = count
            for j in range(left, min(left + cols, row + width)):
                # Written without a branch, and again where the code was 0: nobody can foresee it.
                column[count] = j
                known[count] = begin + count - before + 1
                count += wanted[j]
            begin += max(1, count - before)
    if count:
        return count, begin + 1
    column[0], known[0] = 0, begin + 1  # with its code of 0, so that there is a sum
    return 1, begin + 2


@njit(nogil=True, cache=True)
def _first_tile(  # type: ignore[no-untyped-def]
    wanted, cost, width, cols, depth, bubbles, entries, start, end
):
    """See ``first_tile``; per image: how many columns, first one at the expander, last served."""
    images, fan_in = wanted.shape
    column = np.empty(fan_in + 1, np.int64)
    known = np.empty(fan_in + 1, np.int64)
    stands = np.empty(depth, np.int64)  # cycles at the expander, of what entered with a move
    for image in range(images):
        count, over = _scan(wanted[image], width, cols, column, known)
        now, move, taken, first, last = -1, 0, 0, -1, -1
        stands[:] = 1  # until the first item is at the expander, a move takes a cycle
        slot = 0  # move modulo depth
        while taken < count or move <= last + depth:
            now += stands[slot]
            stands[slot] = 1
            # It must be known whether a column is the last one.
            if (
                move >= bubbles
                and taken < count
                and (over <= now or (taken + 1 < count and known[taken + 1] <= now))
            ):
                stands[slot] = cost[column[taken]]
                first = move if taken == 0 else first
                last = move
                taken += 1
            if first >= 0 and move == first + depth - 1:
                start[image] = now + 1
            move += 1
            slot = slot + 1 if slot + 1 < depth else 0
        entries[image] = count
        end[image] = now + 1


@njit(nogil=True, cache=True)
def _first_level_tile(  # type: ignore[no-untyped-def]
    wanted, width, cols, depth, bubbles, entries, start, end
):
    """The same where every column takes one cycle, so that move m happens in cycle m.

    An entry is then taken in the cycle behind the one before it, or when the next one is known: of
    a line only its first entry can have to wait.
    """
    images, fan_in = wanted.shape
    for image in range(images):
        count, begin, first, taken = 0, SCAN, -1, bubbles - 1
        for row in range(0, fan_in, width):
            for left in range(row, row + width, cols):
                listed = 0
                for j in range(left, min(left + cols, row + width)):
                    listed += wanted[image, j]
                # Each entry behind another one lets that be taken.
                behind = listed if count else listed - 1
                if behind > 0:
                    turn = max(taken + 1, begin + 1 + listed - behind)
                    first = turn if first < 0 else first
                    taken = turn + behind - 1
                count += listed
                begin += max(1, listed)
        taken = max(taken + 1, begin + 1 if count else begin + 2)
        entries[image] = max(1, count)
        start[image] = (taken if first < 0 else first) + depth
        end[image] = taken + depth + 1


@dataclass(frozen=True)
class FirstTile:
    """How the first row-tile went, image by image; int64 (N,) each, times from the unit's start on.

    entries: columns in the list, at least 1. start: the boundary at which the first one stands at
    the expander. end: the boundary behind the cycle that serves the last one.
    """

    entries: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def first_tile(
    wanted: NDArray[np.bool_],
    cost: NDArray[np.int32],
    *,
    width: int,
    cols: int,
    depth: int,
    bubbles: int,
) -> FirstTile:
    """Scan the input of each image and step the pipeline, which is rigid, move by move.

    Parameters
    ----------
    wanted : bool (N, fan_in)
        Which codes are not 0, in (c, y, x) order.
    cost : int32 (fan_in,)
        X_j of the first row-tile.
    width, cols : int
        Of the input map and of the array: lines are COLS codes of a row, the last one the rest.
    depth : int
        Stages from the list to the column register of the expander, index.latency + TURNS.
    bubbles : int
        Cycles of the i-round, which go before the first column.
    """
    found = FirstTile(*(np.empty(len(wanted), np.int64) for _ in range(3)))
    codes, out = np.ascontiguousarray(wanted), (found.entries, found.start, found.end)
    if cost.max() == 1:
        _first_level_tile(codes, width, cols, depth, bubbles, *out)
    else:
        _first_tile(codes, cost, width, cols, depth, bubbles, *out)
    return found
