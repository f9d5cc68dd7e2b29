"""Activation buffer, reader and lanes alone: windows of an image, as the array sees them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock

from hwsim.units import act_buffer
from tests.rtl.units.bench import UNITS, Unit, pack, unpack

COLS, ACT_W = UNITS["act"][1]["COLS"], UNITS["act"][1]["ACT_W"]
LANES = act_buffer.FILL + 1


def columns(image: Any, kind: str, kernel: int, stride: int, padding: int, out: Any) -> Any:
    """Every column of a layer in the order of the reader: COLS activations."""
    channels, height, width = image.shape
    _, out_h, out_w = out
    windows = (kernel, kernel) if kind != "fc" else (height, width)

    def at(c: int, y: int, x: int) -> int:
        return int(image[c, y, x]) if 0 <= y < height and 0 <= x < width else 0

    maps = [[c] for c in range(channels)] if kind == "pool" else [list(range(channels))]
    for inside in maps:
        for oy in range(out_h):
            for tile in range(-(-out_w // COLS)):
                for c in inside:
                    for ky in range(windows[0]):
                        for kx in range(windows[1]):
                            xs = [(tile * COLS + lane) * stride - padding + kx
                                  for lane in range(COLS)]  # fmt: skip
                            y = oy * stride - padding + ky
                            if kind == "fc":
                                xs = [kx] + [width] * (COLS - 1)
                                y = ky
                            yield [at(c, y, x) for x in xs]


@cocotb.test()
@cocotb.parametrize(kind=["conv", "fc", "pool", "again"], stride=[1, 2])
async def the_reader_walks_every_window(dut: Any, kind: str, stride: int) -> None:
    """``again``: what one layer wrote is what the next one reads."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one, rng = Unit(dut, "act"), random.Random(kind + str(stride))
    await one.reset()
    quiet = dict(load_i=0, step_i=0, write_i=0, layer_end_i=0, input_load_i=0, in_valid_i=0,
                 run_i=0)  # fmt: skip
    await one.cycle(**quiet)
    for _ in range(5):
        c, h, w = rng.randint(1, 3), rng.randint(3, 6), rng.randint(3, 11)
        image = np.array([rng.randrange(32) for _ in range(c * h * w)]).reshape(c, h, w)
        if kind == "again":
            await written(one, image, quiet)
        else:
            await streamed(one, image, quiet, rng)
        layer = "conv" if kind == "again" else kind
        kernel = 1 if layer == "fc" else rng.randint(1, 3)
        padding = rng.randrange(kernel) if layer == "conv" else 0
        side = 1 if layer == "fc" else stride
        out = (c, (h + 2 * padding - kernel) // side + 1, (w + 2 * padding - kernel) // side + 1)
        if layer == "fc":
            out = (c, 1, 1)
        row = -(-w // COLS)
        groups = 1 if layer == "fc" else math.gcd(side, COLS)
        shape = dict(
            pool_i=int(layer == "pool"), fc_i=int(layer == "fc"), stride_i=side, padding_i=padding,
            in_c_i=c, in_h_i=h, in_w_i=w, out_h_i=out[1],
            window_w_i=w if layer == "fc" else kernel, window_h_i=h if layer == "fc" else kernel,
            x_tiles_i=-(-out[2] // COLS), log2_groups_i=groups.bit_length() - 1, in_row_i=row,
            in_plane_i=row * h, out_step_i=row * side, first_line_i=-padding * row,
        )  # fmt: skip
        for _ in range(6):
            await one.cycle(**{**quiet, **shape})
        await one.cycle(load_i=1)
        await walk(one, list(columns(image, layer, kernel, side, padding, out)), groups, rng)
        await one.cycle(**{**quiet, "run_i": 1, "layer_end_i": int(kind == "again")})
        await one.cycle(**quiet)


async def walk(one: Unit, expected: list[list[int]], groups: int, rng: random.Random) -> None:
    """Steps at any time; the lanes of a column stand LANES cycles after its last group."""
    due: dict[int, list[int]] = {}
    taken = time = 0
    while taken < len(expected) * groups or due:
        step = taken < len(expected) * groups and rng.random() < 0.7
        await one.cycle(load_i=0, run_i=1, step_i=int(step))
        if time in due:
            assert unpack(one["lane_o"], ACT_W, COLS) == due.pop(time)
        if step:
            column, group = divmod(taken, groups)
            assert one["group_first_o"] == (group == 0)
            assert one["group_last_o"] == (group == groups - 1)
            if group == groups - 1:
                due[time + LANES] = expected[column]
            taken += 1
        time += 1
    await one.cycle(step_i=0)


async def streamed(one: Unit, image: Any, quiet: dict[str, int], rng: random.Random) -> None:
    c, h, w = image.shape
    await one.cycle(**{**quiet, "input_load_i": 1, "in_c_i": c, "in_h_i": h, "in_w_i": w})
    beats: Iterator[int] = iter(image.reshape(-1).tolist())
    for number, act in enumerate(beats):
        while rng.random() < 0.3:
            await one.cycle(input_load_i=0, in_valid_i=0)
        final = int(number == image.size - 1)
        await one.cycle(input_load_i=0, in_valid_i=1, in_data_i=act, in_last_i=final)
        assert one["in_ready_o"]
        assert one["input_done_o"] == final


async def written(one: Unit, image: Any, quiet: dict[str, int]) -> None:
    """Into the other map, as post and pool write; then the maps change places."""
    _, _, w = image.shape
    row, line = -(-w // COLS), 0
    for plane in image:
        for values in plane:
            padded = values.tolist() + [31] * (row * COLS - w)
            for tile in range(row):
                act = pack(padded[tile * COLS : (tile + 1) * COLS], ACT_W)
                await one.cycle(**{**quiet, "run_i": 1, "write_i": 1, "line_i": line, "act_i": act})
                line += 1
    await one.cycle(**{**quiet, "run_i": 1, "layer_end_i": 1})
    await one.cycle(**quiet)
