"""Schedules: when each row-tile of a layer is where. No unit of its own, but how they take turns.

Whatever sums on the array (all but max-pools) runs row-tile by row-tile: the expander fills one
half of the tile buffer while the array reads the other. All times are cycle boundaries: boundary t
lies before cycle t, a unit that works from a to b is busy in the cycles a … b − 1.
docs/timing.md draws the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.units import expander, mac_array, post, sequencer


@dataclass(frozen=True)
class RowTile:
    """When one row-tile of a layer was where, in cycle boundaries.

    rows: array rows in use. expand: first column at the expander, last column granted. array: first
    and past the last issue cycle (of an fc layer: the earliest possible first). drain: first array
    row leaving the shadow bank, and past the last one; for a convolution all pixel tiles of the
    row-tile lie in between.
    """

    rows: int
    expand_start: int
    expand_end: int
    array_start: int
    array_end: int
    drain_start: int
    drain_end: int


@dataclass(frozen=True)
class Schedule:
    """The row-tiles of a layer and the boundary at which its last result is written.

    expander_wait: cycles in which a column waited for a free half of the tile buffer.
    post_hold: cycles in which an fc row-tile waited for the shadow bank.
    """

    tiles: tuple[RowTile, ...]
    end: int
    expander_wait: int
    post_hold: int


def conv_schedule(
    tile_rows: Sequence[int],
    tile_cycles: Sequence[int],
    *,
    index_latency: int,
    row_tile_cycles: Sequence[int],
    slot: int,
    pixel_tiles: int,
    start: int = 0,
) -> Schedule:
    """A convolution from boundary ``start``, where its first index may be read (DESIGN section 5).

    Average, affine, lut and add take the same way, with a row-tile for each channel.

    tile_rows, tile_cycles: rows in and Σ_j X_j of each row-tile. row_tile_cycles: its i-round.
    slot: T, cycles of a pixel tile. Per row-tile r:

    E(r) = max(E(r−1) + i-round(r), C(r−2)) + Σ_j X_j: the half that r fills is free once the array
    has left r − 2; C(r) = max(C(r−1), E(r) + expander.FILL) + pixel_tiles · T.
    """
    expanded = start + index_latency
    released = [start, start]  # C(r−2), C(r−1)
    wait = 0
    tiles: list[RowTile] = []
    for rows, cycles, i_round in zip(tile_rows, tile_cycles, row_tile_cycles, strict=True):
        arrived = expanded + i_round
        granted = max(arrived, released[-2])
        wait += granted - arrived
        expanded = granted + cycles
        begin = max(released[-1], expanded + expander.FILL)
        done = begin + pixel_tiles * slot
        released.append(done)
        drain = begin + slot + mac_array.FILL
        drained = done + mac_array.FILL + rows
        tiles.append(RowTile(rows, granted, expanded, begin, done, drain, drained))
    return Schedule(tuple(tiles), tiles[-1].drain_end + post.FILL, wait, 0)


def fc_schedule(
    tile_rows: Sequence[int],
    tile_cycles: Sequence[int],
    *,
    index_latency: int,
    row_tile_cycles: Sequence[int],
    start: int = 0,
    first: tuple[int, int] | None = None,
) -> Schedule:
    """A fully connected layer: columns stream through the tile buffer into one array column.

    The array never lags, so the expander sets the pace. The last column of a row-tile is held
    until the shadow bank is certain to be free: row-tile ends lie at least a full drain apart,
    E(r) = max(E(r−1) + i-round(r) + Σ_j X_j, E(r−1) + min(ROWS, outputs)).

    first: of a layer that skips, when the first row-tile's columns begin and end to be served,
    which follows from the scan (units/skip.py); tile_cycles are Σ X_j of the listed columns then.
    """
    expanded, last_end = start + index_latency, start
    shortest = max(tile_rows)
    hold = 0
    tiles: list[RowTile] = []
    delay = expander.FILL + sequencer.ISSUE
    for rows, cycles, i_round in zip(tile_rows, tile_cycles, row_tile_cycles, strict=True):
        granted = expanded + i_round
        served = granted + cycles
        if first is not None and not tiles:
            granted, served = first
        expanded = max(served, last_end + shortest)
        last_end = expanded
        hold += expanded - served
        done = expanded + delay
        begin = granted + delay
        drain = done + mac_array.FILL
        tiles.append(RowTile(rows, granted, expanded, begin, done, drain, drain + rows))
    return Schedule(tuple(tiles), tiles[-1].drain_end + post.FILL, 0, hold)
