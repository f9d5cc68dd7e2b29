"""An engine that takes batches behind its buses: its registers, its packets, a class an image."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiResp

from hwsim.bus.constants import CAUSE_CODES, COUNTERS, PROBABILITIES
from hwsim.bus.host import ABORT, AUTO, BUSY, DONE, ERROR, REFUSED, START, Host
from hwsim.bus.registers import ADDRESS
from hwsim.cost.timing import analyze
from hwsim.engine.reference import run as oracle
from tests.rtl.batches import BATCH_TINY
from tests.rtl.bus import TB, watch
from tests.rtl.samples import gradient_image, small_network

#: Of the weights of this seed the images are of different classes.
PROGRAM = small_network(BATCH_TINY, 4)
MOST = BATCH_TINY.batch


async def ready(dut: Any) -> TB:
    tb = TB(dut)
    await tb.reset()
    await tb.drive(Host(PROGRAM).load())
    return tb


async def start(tb: TB, seeds: Sequence[int]) -> None:
    """Images of these seeds, a packet each."""
    await tb.drive(Host(PROGRAM).start(len(seeds)))
    for seed in seeds:
        await tb.send(gradient_image(seed))


async def check(tb: TB, seeds: Sequence[int]) -> None:
    """Logits of every image as a packet of its own, in order; classes, probabilities, counters."""
    for seed in seeds:
        assert await tb.logits() == oracle(PROGRAM, gradient_image(seed)).logits
    report = analyze(PROGRAM, images=len(seeds))
    # The last image first: they may be asked for in any order.
    for number, seed in reversed(list(enumerate(seeds))):
        outcome = await tb.drive(Host(PROGRAM).outcome(number))
        due = oracle(PROGRAM, gradient_image(seed))
        assert outcome.argmax == due.argmax
        assert outcome.probabilities == due.probabilities
        assert outcome.counters["total"] == report.cycles
        assert outcome.counters["softmax"] == report.softmax
        for name in COUNTERS[1:9]:
            assert outcome.counters[name] == report.total(name), name
    assert await tb.read("CLASSES") == PROGRAM.classes


async def classify(tb: TB, seeds: Sequence[int]) -> None:
    await start(tb, seeds)
    await check(tb, seeds)


@cocotb.test()
async def registers_say_how_many_images_it_takes(dut: Any) -> None:
    tb = await ready(dut)
    assert await tb.read("BATCH") == MOST
    assert await tb.read("IMAGES") == 1
    assert await tb.read("IMAGE") == 0
    await tb.classify(PROGRAM)


@cocotb.test()
async def numbers_out_of_range_are_refused_and_change_nothing(dut: Any) -> None:
    tb = await ready(dut)
    right = {"IMAGES": range(1, MOST + 1), "IMAGE": range(MOST)}
    wrong = {"IMAGES": [0, MOST + 1, 2 * MOST, 256, 257, 512, 513, 2**31 + 1, 2**32 - 1],
             "IMAGE": [MOST, MOST + 1, 255, 256, 257, 2**31, 2**32 - 1]}  # fmt: skip
    for name, values in right.items():
        for value in values:
            assert await tb.write(name, value) == AxiResp.OKAY
            assert await tb.read(name) == value
            assert await tb.read("STATUS") == 0
            for other in wrong[name]:
                assert await tb.write(name, other) == AxiResp.SLVERR
                assert await tb.read("STATUS") == REFUSED
                await tb.write("STATUS", REFUSED)
                assert await tb.read(name) == value
    assert (await tb.bus.write(ADDRESS["IMAGES"], b"\x01")).resp == AxiResp.SLVERR
    assert await tb.read("IMAGES") == MOST
    await classify(tb, range(MOST))


@cocotb.test()
async def a_batch_that_runs_keeps_its_number_of_images(dut: Any) -> None:
    tb = await ready(dut)
    await tb.drive(Host(PROGRAM).start(2))
    await tb.send(gradient_image(1))
    for images in (1, 2, 3):
        assert await tb.write("IMAGES", images) == AxiResp.SLVERR
        assert await tb.read("STATUS") == BUSY | REFUSED
        await tb.write("STATUS", REFUSED)
    assert await tb.read("IMAGES") == 2
    # Whose class ARGMAX shows may be chosen at any time.
    assert await tb.write("IMAGE", 1) == AxiResp.OKAY
    assert await tb.read("STATUS") == BUSY
    await tb.send(gradient_image(2))
    assert len({oracle(PROGRAM, gradient_image(seed)).argmax for seed in (1, 2)}) == 2
    await check(tb, (1, 2))


@cocotb.test()
@cocotb.parametrize(idles=[False, True], backpressure=[False, True])
async def batches_of_any_size_follow_each_other(dut: Any, idles: bool, backpressure: bool) -> None:
    tb = await ready(dut)
    if idles:
        tb.set_idle_generator(1)
    if backpressure:
        tb.set_backpressure_generator(2)
    watching = cocotb.start_soon(watch(dut))
    seeds = itertools.count()
    for images in (MOST, 1, 3, 2):
        await classify(tb, list(itertools.islice(seeds, images)))
    watching.cancel()


@cocotb.test()
async def an_engine_is_done_once_a_batch(dut: Any) -> None:
    tb = await ready(dut)
    await tb.write("IRQ_ENABLE", DONE)
    await tb.drive(Host(PROGRAM).start(3))
    for seed in range(2):
        await tb.send(gradient_image(seed))
        await ClockCycles(dut.clk_i, 200)
        assert await tb.read("STATUS") == BUSY
    await tb.send(gradient_image(2))
    for seed in range(3):
        assert dut.irq_o.value == 0
        assert await tb.logits() == oracle(PROGRAM, gradient_image(seed)).logits
    await tb.idle()
    assert dut.irq_o.value == 1
    assert await tb.read("STATUS") == DONE


@cocotb.test()
async def probabilities_stand_an_image_a_field(dut: Any) -> None:
    tb = await ready(dut)
    seeds = range(5, 5 + MOST)
    await classify(tb, seeds)
    due = [oracle(PROGRAM, gradient_image(seed)).probabilities for seed in seeds]
    assert len(set(map(tuple, due))) == MOST
    await tb.write("MEM_SPACE", PROBABILITIES)
    for number, line in itertools.product(reversed(range(MOST)), range(PROGRAM.classes)):
        await tb.write("MEM_LINE", line)
        await tb.write("MEM_FIELD", number)
        assert await tb.read("MEM_DATA") == due[number][line]
        behind = (line, number + 1) if number + 1 < MOST else (line + 1, 0)
        assert (await tb.read("MEM_LINE"), await tb.read("MEM_FIELD")) == behind
    for field in (MOST, MOST + 1, 256):
        await tb.write("MEM_FIELD", field)
        assert (await tb.bus.read(ADDRESS["MEM_DATA"], 4)).resp == AxiResp.SLVERR
        assert await tb.read("STATUS") & REFUSED
        await tb.write("STATUS", REFUSED)
    await tb.write("MEM_FIELD", 0)
    assert await tb.write("MEM_DATA", 1) == AxiResp.SLVERR


@cocotb.test()
async def a_wrong_packet_refuses_its_batch(dut: Any) -> None:
    tb = await ready(dut)
    for number, change in itertools.product(range(3), (-1, 1)):
        await tb.drive(Host(PROGRAM).start(3))
        for seed in range(number):
            await tb.send(gradient_image(seed))
        wrong = gradient_image(number).reshape(-1)
        await tb.send(wrong[:-1] if change < 0 else np.append(wrong, 5))
        await tb.idle()
        assert await tb.read("STATUS") == ERROR | CAUSE_CODES["packet"] << 4
        assert tb.sink.empty()
        await classify(tb, range(20, 20 + number + 1))


@cocotb.test()
async def logits_of_all_images_wait_for_their_receiver(dut: Any) -> None:
    tb = await ready(dut)
    tb.sink.set_pause_generator(itertools.repeat(True))
    for seeds in (range(MOST), range(10, 10 + MOST)):
        await start(tb, seeds)
        await ClockCycles(dut.clk_i, 4000)
        assert dut.m_axis_tvalid.value == 1
        tb.sink.clear_pause_generator()
        tb.sink.pause = False
        await check(tb, seeds)
        tb.sink.set_pause_generator(itertools.repeat(True))


@cocotb.test()
async def batches_are_taken_one_after_the_other(dut: Any) -> None:
    """AUTO, of the number of images that stood there before."""
    tb = await ready(dut)
    tb.sink.set_pause_generator(itertools.cycle([1, 0, 1]))
    await tb.write("IMAGES", 3)
    await tb.write("CONTROL", AUTO)
    for seed in range(6):
        await tb.send(gradient_image(seed))
    for seed in range(6):
        assert await tb.logits() == oracle(PROGRAM, gradient_image(seed)).logits
    assert await tb.write("IMAGES", 1) == AxiResp.SLVERR
    assert await tb.write("CONTROL", ABORT) == AxiResp.OKAY
    assert await tb.read("STATUS") & BUSY == 0
    # Registers survive.
    assert await tb.read("IMAGES") == 3
    await tb.write("CONTROL", START)
    for seed in (7, 8, 9):
        await tb.send(gradient_image(seed))
    await check(tb, (7, 8, 9))


@cocotb.test()
async def an_abort_within_a_batch_leaves_no_trace(dut: Any) -> None:
    tb = await ready(dut)
    generator = random.Random(4)
    whole = analyze(PROGRAM, images=MOST).cycles
    for seed in range(6):
        await tb.drive(Host(PROGRAM).start(MOST))
        # Sometimes not all of them have come, but no packet in part: nobody would take the rest.
        sent = MOST - seed % 3
        for number in range(sent):
            await tb.send(gradient_image(seed + number))
        await tb.source.wait()
        await ClockCycles(dut.clk_i, generator.randrange(10, whole + 300))
        await tb.write("CONTROL", ABORT)
        await RisingEdge(dut.clk_i)
        while not tb.sink.empty():
            tb.sink.recv_nowait()
        await classify(tb, range(seed + 50, seed + 51 + seed % MOST))
