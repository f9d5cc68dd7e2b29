"""Cycles of instructions that no compiler would write, by the schedules of docs/timing.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.faults.instructions import Row, fan_in_of, kind_of
from hwsim.faults.sharing import addresses, source_of, tiles_of
from hwsim.faults.words import MemoryWords
from hwsim.program.proof import MOST_FLOOR
from hwsim.units import act_buffer, expander, index, pool, schedule, sequencer, skip, slots


def cycles(words: MemoryWords, rows: tuple[Row, ...]) -> int:
    """From the last pixel to the end of the last instruction of ``rows``.

    Where the engine skips zeros, of an image without any, the slowest.
    """
    time = sequencer.START
    for row in rows:
        begun, time = time, _end(words, row, time)
        if words.config.skip and kind_of(row) in ("conv", "fc"):
            time = max(time, begun + row["in2_line"] % MOST_FLOOR)
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
        index_latency=index.latency(source, config.skip) + expander.TURNS,
        row_tile_cycles=[index.cycles_row_tile(source, used) for used in tiles],
        start=start,
    )
    work = [fan_in] * len(tiles)
    cost: NDArray[np.int32] = np.ones(fan_in, np.int32)
    if source != "counter":
        address, first = addresses(words, row)[0].astype(np.uint32), 0
        for number, used in enumerate(tiles):
            columns = address[first : first + used].T
            found = expander.cycles_columns(columns, config.banks)[0]
            cost = found if number == 0 else cost
            work[number] = int(found.sum())
            first += used
    if kind == "fc":
        if config.skip and fan_in <= config.skip_columns:
            begun = skip.first_tile(
                np.ones((1, fan_in), np.bool_), cost, width=row["in_w"], cols=config.cols,
                depth=given["index_latency"], bubbles=given["row_tile_cycles"][0],
            )  # fmt: skip
            given["first"] = start + int(begun.start[0]), start + int(begun.end[0])
        return schedule.fc_schedule(tiles, work, **given).end
    slot = max(fan_in * act_buffer.cycles_column(stride, config.cols), max(tiles))
    pixels = row["out_h"] * math.ceil(row["out_w"] / config.cols)
    if config.skip:
        given["select"] = slots.SELECT
        given["finding"] = len(tiles) // row["groups"] if kind == "conv" else 0
    return schedule.conv_schedule(tiles, work, slot=slot, pixel_tiles=pixels, **given).end
