"""Activation buffer, reader and lanes alone: windows of an image, as the array sees them."""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass
class Shape:
    """A layer as the reader knows it: sides and strides as (vertical, horizontal)."""

    kind: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    out: tuple[int, int]
    groups: int = 1
    maps: int = 1
    fill: int = 0


def columns(image: Any, other: Any, shape: Shape) -> Iterator[list[int]]:
    """Every column of a layer in the order of the reader: COLS activations."""
    channels, height, width = image.shape
    out_h, out_w = shape.out
    single = shape.kind in ("pool", "average", "add")
    own = 1 if single else channels // shape.groups

    def at(source: Any, c: int, y: int, x: int) -> int:
        inside = 0 <= y < height and 0 <= x < width
        return int(source[c, y, x]) if inside else shape.fill

    for first in range(0, channels, own):
        seen = [(image, c) for c in range(first, first + own)]
        if shape.kind == "add":
            seen = [(image, first), (other, first)]
        for _ in range(shape.maps):
            for oy in range(out_h):
                for tile in range(-(-out_w // COLS)):
                    for source, c in seen:
                        for ky in range(shape.kernel[0]):
                            for kx in range(shape.kernel[1]):
                                xs = [(tile * COLS + lane) * shape.stride[1] - shape.padding[1] + kx
                                      for lane in range(COLS)]  # fmt: skip
                                if shape.kind == "fc":
                                    xs = [kx] + [width] * (COLS - 1)
                                y = oy * shape.stride[0] - shape.padding[0] + ky
                                yield [at(source, c, y, x) for x in xs]


def some_shape(rng: random.Random, kind: str, stride: int, image: Any) -> Shape:
    channels, *sides = image.shape
    if kind == "fc":
        return Shape(kind, tuple(sides), (1, 1), (0, 0), (1, 1), fill=rng.randrange(32))
    if kind == "add":
        return Shape(kind, (1, 1), (1, 1), (0, 0), tuple(sides))
    kernel = [rng.randint(1, min(3, side)) for side in sides]
    padding = [rng.randrange(k) if kind != "average" else 0 for k in kernel]
    strides = rng.randint(1, 3), stride
    out = tuple(
        (side + pad - k) // s + 1
        for side, pad, k, s in zip(sides, padding, kernel, strides, strict=True)
    )
    groups = rng.choice([n for n in range(1, channels + 1) if channels % n == 0])
    conv = kind == "conv"
    return Shape(
        kind, tuple(kernel), strides, tuple(padding), out, groups if conv else 1,
        rng.randint(1, 3) if conv else 1, rng.randrange(32) if conv else 0,
    )  # fmt: skip


@cocotb.test()
@cocotb.parametrize(kind=["conv", "fc", "pool", "average", "add", "again"], stride=[1, 2])
async def the_reader_walks_every_window(dut: Any, kind: str, stride: int) -> None:
    """``again``: what one layer wrote is what the next one reads. Row-tiles of a group of channels
    read the same ones, and the next group those behind them.
    """
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one, rng = Unit(dut, "act"), random.Random(kind + str(stride))
    await one.reset()
    quiet = dict(load_i=0, step_i=0, write_i=0, input_load_i=0, in_valid_i=0, run_i=0,
                 group_end_i=0)  # fmt: skip
    await one.cycle(**quiet)
    for _ in range(8):
        c, h, w = rng.randint(1, 4), rng.randint(3, 6), rng.randint(3, 11)
        image, other = (np.array([rng.randrange(32) for _ in range(c * h * w)]).reshape(c, h, w)
                        for _ in range(2))  # fmt: skip
        row = -(-w // COLS)
        line, second = rng.choice([(7, 200), (300, 3)])
        if kind == "again":
            await written(one, image, quiet, line)
        else:
            await streamed(one, image, quiet, rng, line)
        await written(one, other, quiet, second)
        shape = some_shape(rng, "conv" if kind == "again" else kind, stride, image)
        parts = 1 if kind == "fc" else math.gcd(shape.stride[1], COLS)
        apart = second - line
        inputs = dict(
            fc_i=int(kind == "fc"), stride_w_i=shape.stride[1], stride_h_i=shape.stride[0],
            pad_left_i=shape.padding[1], pad_top_i=shape.padding[0], fill_i=shape.fill, in_c_i=c,
            in_h_i=h, in_w_i=w, out_h_i=shape.out[0],
            window_c_i=2 if kind == "add" else 1 if kind in ("pool", "average")
            else c // shape.groups,
            window_w_i=shape.kernel[1], window_h_i=shape.kernel[0],
            x_tiles_i=-(-shape.out[1] // COLS), log2_groups_i=parts.bit_length() - 1, in_row_i=row,
            channel_step_i=apart if kind == "add" else row * h,
            group_step_i=row * h - apart if kind == "add" else row * h,
            out_step_i=row * shape.stride[0], first_line_i=line - shape.padding[0] * row,
        )  # fmt: skip
        for _ in range(6):
            await one.cycle(**{**quiet, **inputs})
        await one.cycle(load_i=1)
        tile = shape.out[0] * -(-shape.out[1] // COLS) * shape.kernel[0] * shape.kernel[1] * parts
        await walk(one, list(columns(image, other, shape)), parts, shape.maps,
                   tile * inputs["window_c_i"], rng)  # fmt: skip
        await one.cycle(**{**quiet, "run_i": 1})
        await one.cycle(**quiet)


async def walk(
    one: Unit, expected: list[list[int]], groups: int, maps: int, tile: int, rng: random.Random
) -> None:
    """Steps at any time; the lanes of a column stand LANES cycles after its last group. A row-tile
    takes ``tile`` steps, every ``maps``-th one is the last of its group of channels.
    """
    due: dict[int, list[int]] = {}
    taken = time = 0
    while taken < len(expected) * groups or due:
        step = taken < len(expected) * groups and rng.random() < 0.7
        ends = taken // tile % maps == maps - 1
        await one.cycle(load_i=0, run_i=1, step_i=int(step), group_end_i=int(ends))
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


async def streamed(
    one: Unit, image: Any, quiet: dict[str, int], rng: random.Random, line: int
) -> None:
    c, h, w = image.shape
    shape = dict(in_c_i=c, in_h_i=h, in_w_i=w, input_line_i=line)
    await one.cycle(**{**quiet, "input_load_i": 1, **shape})
    beats: Iterator[int] = iter(image.reshape(-1).tolist())
    for number, act in enumerate(beats):
        while rng.random() < 0.3:
            await one.cycle(input_load_i=0, in_valid_i=0)
        final = int(number == image.size - 1)
        await one.cycle(input_load_i=0, in_valid_i=1, in_data_i=act, in_last_i=final)
        assert one["in_ready_o"]
        assert one["input_done_o"] == final


async def written(one: Unit, image: Any, quiet: dict[str, int], line: int) -> None:
    """As post and pool write."""
    _, _, w = image.shape
    row = -(-w // COLS)
    for plane in image:
        for values in plane:
            padded = values.tolist() + [31] * (row * COLS - w)
            for tile in range(row):
                act = pack(padded[tile * COLS : (tile + 1) * COLS], ACT_W)
                await one.cycle(**{**quiet, "run_i": 1, "write_i": 1, "line_i": line, "act_i": act})
                line += 1
    await one.cycle(**{**quiet, "run_i": 1})
    await one.cycle(**quiet)
