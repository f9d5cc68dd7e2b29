"""Streams and their buffers alone, with and without idles and back-pressure."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock

from tests.rtl.units.bench import UNITS, Unit, unpack


async def unit(dut: Any, name: str) -> tuple[Unit, random.Random]:
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    one = Unit(dut, name)
    await one.reset()
    return one, random.Random(name)


def goes(rng: random.Random, pauses: bool) -> int:
    return int(not pauses or rng.random() < 0.6)


@cocotb.test()
@cocotb.parametrize(name=["fifo", "skid"], idles=[False, True], backpressure=[False, True])
async def words_come_out_as_they_went_in(
    dut: Any, name: str, idles: bool, backpressure: bool
) -> None:
    one, rng = await unit(dut, name)
    inside: deque[int] = deque()
    offered, taken, offer = 0, 0, None
    for _ in range(400):
        offered = offered or goes(rng, idles)
        before, data = offer, taken % 251
        await one.cycle(valid_i=offered, data_i=data, ready_i=goes(rng, backpressure))
        offer = (one["data_o"], one["ready_i"]) if one["valid_o"] else None
        # What was offered and not taken is offered again.
        if before is not None and not before[1]:
            assert offer is not None
            assert offer[0] == before[0]
        if offer is not None and offer[1]:
            assert inside.popleft() == offer[0]
        if offered and one["ready_o"]:
            inside.append(data)
            taken, offered = taken + 1, 0
    if not idles and not backpressure:
        assert taken == 400
    assert taken > 100


@cocotb.test()
@cocotb.parametrize(idles=[False, True])
async def pixels_go_to_their_lanes_and_lines(dut: Any, idles: bool) -> None:
    one, rng = await unit(dut, "stream_in")
    cols, act_w = UNITS["stream_in"][1]["COLS"], UNITS["stream_in"][1]["ACT_W"]
    for number in range(24):
        channels, height, width = rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 9)
        count = channels * height * width
        # Right, short or long.
        length = max(1, count + (0, 0, -1, 2)[number % 4])
        shape = dict(channels_i=channels, height_i=height, width_i=width)
        await one.cycle(load_i=1, valid_i=0, **shape)
        expected, got, ends, beat = {}, {}, [], 0
        while beat < length:
            valid = goes(rng, idles)
            act = rng.randrange(32)
            await one.cycle(load_i=0, valid_i=valid, data_i=act, last_i=int(beat == length - 1))
            ends += [1] * one["done_o"] + [-1] * one["error_o"]
            assert one["ready_o"]
            if not valid:
                assert one["write_o"] == 0
                continue
            lines = -(-width // cols)
            if beat < count:
                row, x = divmod(beat, width)
                expected[row * lines + x // cols, x % cols] = act
                (lane,) = [n for n in range(cols) if one["write_o"] >> n & 1]
                got[one["line_o"], lane] = unpack(one["act_o"], act_w, cols)[lane]
            else:
                assert one["write_o"] == 0
            beat += 1
        await one.cycle(valid_i=1, last_i=1)
        assert not one["ready_o"]
        assert got == expected
        assert ends == [1 if length == count else -1]


@cocotb.test()
@cocotb.parametrize(idles=[False, True], backpressure=[False, True])
async def logits_leave_in_class_order(dut: Any, idles: bool, backpressure: bool) -> None:
    one, rng = await unit(dut, "stream_out")
    for _ in range(20):
        classes = rng.randint(1, 8)
        logits = [rng.randint(-(1 << 19), (1 << 19) - 1) for _ in range(classes)]
        for number, logit in enumerate(logits):
            while idles and rng.random() < 0.4:
                await one.cycle(write_i=0, send_i=0, class_i=number)
            await one.cycle(write_i=1, send_i=0, class_i=number, logit_i=logit, peek_i=0)
        seen = rng.randrange(classes)
        await one.cycle(write_i=0, peek_i=1, peek_class_i=seen, class_i=classes % 8)
        await one.cycle(peek_i=0)
        assert unpack(one["logit_o"], 20, 1, signed=True) == [logits[seen]]
        got: list[int] = []
        ready, last, done = 0, False, False
        while not done:
            ready = goes(rng, backpressure)
            await one.cycle(send_i=1, ready_i=ready)
            assert not (one["sent_o"] and len(got) < classes)
            if one["valid_o"] and ready:
                got += unpack(one["data_o"], 32, 1, signed=True)
                last = bool(one["last_o"])
                assert last == (len(got) == classes)
            done = bool(one["done_o"])
        assert got == logits
        await one.cycle(ready_i=0)
        assert one["sent_o"]
        assert not one["valid_o"]
        await one.cycle(send_i=0)
        await one.cycle()
        assert not one["sent_o"]
