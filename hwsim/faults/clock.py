"""Cycles of instructions that no compiler would write, by the schedules of docs/timing.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwsim.faults.instructions import Row, fan_in_of, kind_of
from hwsim.faults.sharing import addresses, source_of, tiles_of
from hwsim.faults.words import MemoryWords
from hwsim.units import act_buffer, expander, index, pool, schedule, sequencer


def cycles(words: MemoryWords, rows: tuple[Row, ...]) -> int:
    """From the last pixel to the end of the last instruction of ``rows``."""
    time = sequencer.START
    for row in rows:
        time = _end(words, row, time)
    return time


def _end(words: MemoryWords, row: Row, start: int) -> int:
    config, kind = words.config, kind_of(row)
    start += sequencer.INSTRUCTION
    stride = row["stride_w"] if kind in ("conv", "pool", "average") else 1
    if kind == "pool":
        shape = row["out_c"], row["out_h"], row["out_w"]
        elements = row["kernel_h"] * row["kernel_w"]
        return start + pool.cycles_pool(shape, elements, stride, config.cols)
    tiles, fan_in = tiles_of(config, row), fan_in_of(row)
    source = source_of(config, row)
    given: dict[str, Any] = dict(
        index_latency=index.LATENCY[source] + expander.TURNS,
        row_tile_cycles=[index.cycles_row_tile(source, used) for used in tiles],
        start=start,
    )
    work = [fan_in] * len(tiles)
    if source != "counter":
        address, first = addresses(words, row)[0].astype(np.uint32), 0
        for number, used in enumerate(tiles):
            columns = address[first : first + used].T
            work[number] = int(expander.cycles_columns(columns, config.banks)[0].sum())
            first += used
    if kind == "fc":
        return schedule.fc_schedule(tiles, work, **given).end
    slot = max(fan_in * act_buffer.cycles_column(stride, config.cols), max(tiles))
    pixels = row["out_h"] * math.ceil(row["out_w"] / config.cols)
    return schedule.conv_schedule(tiles, work, slot=slot, pixel_tiles=pixels, **given).end
