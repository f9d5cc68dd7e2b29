"""hne_top from outside: AXI4-Lite registers and AXI4-Stream, driven by cocotbext-axi."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from typing import Any, TypeVar

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from hwsim.config import load_config
from hwsim.host import (
    ABORT,
    AUTO,
    BUSY,
    DONE,
    ERROR,
    REFUSED,
    START,
    Access,
    Accesses,
    Answer,
    Host,
    HostError,
)
from hwsim.memories import memory_files, memory_values
from hwsim.program import Layer, MacLayer, Program
from hwsim.reference import run as oracle
from hwsim.registers import ADDRESS, ID, PARAMETERS, REGISTERS, VERSION
from hwsim.rtl import COUNTERS, SPACES
from hwsim.timing import analyze
from tests.rtl.samples import gradient_image, small_network

PROGRAM = small_network(load_config("tiny"))


T = TypeVar("T")


def pauses(seed: int) -> Iterator[bool]:
    """A wait in one of three cycles."""
    generator = random.Random(seed)
    while True:
        yield generator.random() < 1 / 3


class TB:
    """The engine with a clock, a reset, a bus master, a source and a sink."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk_i, 10, "ns").start())
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_i)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk_i, dut.rst_i)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk_i, dut.rst_i)

    def set_idle_generator(self, seed: int) -> None:
        channels = [self.bus.write_if.aw_channel, self.bus.write_if.w_channel,
                    self.bus.read_if.ar_channel, self.source]  # fmt: skip
        for number, channel in enumerate(channels):
            channel.set_pause_generator(pauses(seed + number))

    def set_backpressure_generator(self, seed: int) -> None:
        channels = [self.bus.write_if.b_channel, self.bus.read_if.r_channel, self.sink]
        for number, channel in enumerate(channels):
            channel.set_pause_generator(pauses(seed + 10 + number))

    async def reset(self) -> None:
        self.dut.rst_i.value = 1
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    async def write(self, name: str, value: int) -> AxiResp:
        data = value.to_bytes(4, "little")
        return (await self.bus.write(ADDRESS[name], data)).resp

    async def read(self, name: str) -> int:
        answer = await self.bus.read(ADDRESS[name], 4)
        assert answer.resp == AxiResp.OKAY, name
        return int.from_bytes(answer.data, "little")

    async def access(self, access: Access) -> Answer:
        if access.data is None:
            read = await self.bus.read(access.address, 4)
            return Answer(int.from_bytes(read.data, "little"), read.resp == AxiResp.OKAY)
        done = await self.bus.write(access.address, access.data.to_bytes(4, "little"))
        return Answer(0, done.resp == AxiResp.OKAY)

    async def drive(self, accesses: Accesses[T]) -> T:
        """What ``hwsim.host.drive`` does, for a bus that takes time."""
        try:
            access = next(accesses)
            while True:
                access = accesses.send(await self.access(access))
        except StopIteration as end:
            result: T = end.value
            return result

    async def send(self, image: np.ndarray) -> None:
        await self.source.send(AxiStreamFrame(bytes(image.reshape(-1).tolist())))

    async def logits(self) -> list[int]:
        data = bytes((await self.sink.recv()).tdata)
        return np.frombuffer(data, np.int32).tolist()

    async def idle(self) -> None:
        while await self.read("STATUS") & BUSY:
            pass

    async def classify(self, program: Program, seed: int = 0) -> None:
        """One image: logits, argmax and counters are those of the simulator."""
        image = gradient_image(seed)
        assert await self.write("CONTROL", START) == AxiResp.OKAY
        await self.send(image)
        await self.check(program, image)

    async def check(self, program: Program, image: np.ndarray) -> None:
        expected = oracle(program, image)
        assert await self.logits() == expected.logits
        outcome = await self.drive(Host(program).outcome())
        assert outcome.argmax == expected.argmax
        assert outcome.probabilities == expected.probabilities
        assert await self.read("CLASSES") == program.classes
        report = analyze(program)
        assert outcome.counters["total"] == report.cycles
        assert outcome.counters["softmax"] == report.softmax
        for name in COUNTERS[1:9]:
            assert outcome.counters[name] == report.total(name), name


async def ready(dut: Any, loaded: bool = True) -> TB:
    tb = TB(dut)
    await tb.reset()
    if loaded:
        await tb.drive(Host(PROGRAM).load())
    return tb


def inhibited(program: Program, step: int) -> Program:
    """Gradient inhibition of all layers: w + step · sign(w), saturated (Liu et al. eq. 12)."""
    limit = program.config.wgt_max

    def enlarged(layer: Layer) -> Layer:
        if not isinstance(layer, MacLayer):
            return layer
        words = layer.weights + step * np.sign(layer.weights)
        return dataclasses.replace(layer, weights=np.clip(words, -limit, limit))

    return program.replace(layers=tuple(map(enlarged, program.layers)))


@cocotb.test()
async def registers_identify_the_engine(dut: Any) -> None:
    tb = await ready(dut, loaded=False)
    assert await tb.read("ID") == ID
    assert await tb.read("VERSION") == VERSION
    words = PROGRAM.config.verilog_parameters()
    for name in PARAMETERS:
        assert await tb.read(name) == words[name]
    assert await tb.read("STATUS") == 0


@cocotb.test()
async def wrong_accesses_are_answered_and_change_nothing(dut: Any) -> None:
    tb = await ready(dut, loaded=False)
    known = {register.address for register in REGISTERS}
    for address in range(0, 256, 4):
        if address not in known:
            assert (await tb.bus.read(address, 4)).resp == AxiResp.DECERR
            assert (await tb.bus.write(address, bytes(4))).resp == AxiResp.DECERR
    for register in REGISTERS:
        if register.access == "ro":
            before = await tb.read(register.name)
            assert await tb.write(register.name, 0xFFFFFFFF) == AxiResp.SLVERR
            assert await tb.read(register.name) == before
    for part in (b"\x05", b"\x05\x05"):
        assert (await tb.bus.write(ADDRESS["MEM_LINE"], part)).resp == AxiResp.SLVERR
    assert await tb.read("MEM_LINE") == 0


@cocotb.test()
async def what_is_written_reads_back(dut: Any) -> None:
    tb = await ready(dut, loaded=False)
    width = {"IRQ_ENABLE": 3, "MEM_SPACE": 3, "MEM_LINE": 32, "MEM_FIELD": 9, "MEM_HIGH": 32}
    for value in (0xFFFFFFFF, 0x55555555, 0xAAAAAAAA, 0):
        for name in width:
            assert await tb.write(name, value) == AxiResp.OKAY
        for name, bits in width.items():
            assert await tb.read(name) == value & ((1 << bits) - 1), name
    for value in (AUTO, 0):
        assert await tb.write("CONTROL", value) == AxiResp.OKAY
        assert await tb.read("CONTROL") == value


@cocotb.test()
@cocotb.parametrize(idles=[False, True], backpressure=[False, True])
async def a_network_is_loaded_and_rewritten_in_the_field(
    dut: Any, idles: bool, backpressure: bool
) -> None:
    tb = await ready(dut, loaded=False)
    if idles:
        tb.set_idle_generator(1)
    if backpressure:
        tb.set_backpressure_generator(2)
    await tb.drive(Host(PROGRAM).load())
    await tb.classify(PROGRAM, 1)
    defended = inhibited(PROGRAM, 9)
    assert oracle(defended, gradient_image(1)).logits != oracle(PROGRAM, gradient_image(1)).logits
    await tb.drive(Host(defended).rewrite("weights.mem"))
    await tb.classify(defended, 1)
    await tb.classify(defended, 2)


@cocotb.test()
async def memories_read_back(dut: Any) -> None:
    tb = await ready(dut)
    for name, file in memory_files(PROGRAM).items():
        await tb.write("MEM_SPACE", SPACES[name])
        await tb.write("MEM_LINE", 0)
        await tb.write("MEM_FIELD", 0)
        for words in memory_values(PROGRAM, name):
            for word in words.reshape(-1).tolist():
                low = await tb.read("MEM_DATA")
                high = await tb.read("MEM_HIGH")
                assert high << 32 | low == word & ((1 << file.width) - 1), name


@cocotb.test()
async def a_rewrite_while_busy_is_refused(dut: Any) -> None:
    tb = await ready(dut)
    image = gradient_image(3)
    await tb.write("CONTROL", START)
    await tb.write("MEM_SPACE", SPACES["weights.mem"])
    await tb.write("MEM_LINE", 0)
    await tb.write("MEM_FIELD", 0)
    assert await tb.write("MEM_DATA", 77) == AxiResp.SLVERR
    with pytest.raises(HostError, match="is it busy"):
        await tb.drive(Host(PROGRAM).rewrite("weights.mem"))
    assert (await tb.bus.read(ADDRESS["MEM_DATA"], 4)).resp == AxiResp.SLVERR
    assert await tb.write("CONTROL", START) == AxiResp.SLVERR
    assert await tb.read("STATUS") & (BUSY | REFUSED) == BUSY | REFUSED
    assert await tb.read("MEM_FIELD") == 0
    await tb.send(image)
    await tb.check(PROGRAM, image)
    await tb.write("STATUS", REFUSED)
    assert await tb.read("STATUS") == DONE


@cocotb.test()
async def a_program_for_another_engine_is_refused_before_anything_is_written(dut: Any) -> None:
    tb = await ready(dut)
    changes = [dict(banks=4), dict(softmax=False), dict(act_depth=2048), dict(index_mode="hash")]
    for change in changes:
        other = PROGRAM.replace(config=PROGRAM.config.replace(**change))
        (name,) = change
        with pytest.raises(HostError, match=f"the engine has {name.upper()} = "):
            await tb.drive(Host(other).load())
    await tb.classify(PROGRAM, 5)


@cocotb.test()
async def places_that_no_memory_has_are_refused(dut: Any) -> None:
    tb = await ready(dut)
    config = PROGRAM.config
    depths = [config.wgt_depth // config.banks, config.idx_depth, config.chan_depth,
              config.chan_depth, 16 * config.prog_depth, config.chan_depth, 0, 0]  # fmt: skip
    places = [(space, depth, 0) for space, depth in enumerate(depths)]
    places += [(0, 0, config.banks), (1, 0, config.rows), (4, 0, 1), (4, 2**32 - 1, 0)]
    for space, line, field in places:
        for name, value in (("MEM_SPACE", space), ("MEM_LINE", line), ("MEM_FIELD", field)):
            await tb.write(name, value)
        await tb.write("STATUS", REFUSED)
        assert await tb.write("MEM_DATA", 0xFFFFFFFF) == AxiResp.SLVERR
        assert (await tb.bus.read(ADDRESS["MEM_DATA"], 4)).resp == AxiResp.SLVERR
        assert await tb.read("STATUS") & REFUSED
        assert await tb.read("MEM_LINE") == line
    # The last line of a memory, and probabilities, are there; those are only read.
    await tb.write("MEM_FIELD", 0)
    for space, written in ((2, AxiResp.OKAY), (5, AxiResp.SLVERR)):
        await tb.write("MEM_SPACE", space)
        await tb.write("MEM_LINE", config.chan_depth - 1)
        assert await tb.write("MEM_DATA", 1) == written
        await tb.write("MEM_LINE", config.chan_depth - 1)
        assert (await tb.bus.read(ADDRESS["MEM_DATA"], 4)).resp == AxiResp.OKAY
    await tb.classify(PROGRAM, 6)


@cocotb.test()
async def nothing_is_taken_unasked(dut: Any) -> None:
    """Beats wait outside an idle engine; a packet that follows another waits for its start."""
    tb = await ready(dut)
    images = [gradient_image(seed) for seed in (1, 2)]
    await tb.send(images[0])
    await tb.send(images[1])
    for _ in range(50):
        await RisingEdge(dut.clk_i)
        assert dut.s_axis_tready.value == 0
    for image in images:
        await tb.write("CONTROL", START)
        await tb.check(PROGRAM, image)
        for _ in range(50):
            await RisingEdge(dut.clk_i)
            assert dut.s_axis_tready.value == 0


@cocotb.test()
async def logits_wait_for_their_receiver_while_the_next_image_runs(dut: Any) -> None:
    tb = await ready(dut)
    tb.sink.set_pause_generator(itertools.repeat(True))
    for seed in range(3):
        await tb.write("CONTROL", START)
        await tb.send(gradient_image(seed))
        await tb.drive(Host(PROGRAM).outcome())
        await tb.write("STATUS", DONE)
    tb.sink.clear_pause_generator()
    tb.sink.pause = False
    for seed in range(3):
        assert await tb.logits() == oracle(PROGRAM, gradient_image(seed)).logits


@cocotb.test()
async def an_offered_logit_stays_until_it_is_taken(dut: Any) -> None:
    tb = await ready(dut)
    tb.set_backpressure_generator(7)
    # A task that fails fails the test.
    watching = cocotb.start_soon(watch(dut))
    for seed in range(4):
        await tb.classify(PROGRAM, seed)
    watching.cancel()


async def watch(dut: Any) -> None:
    """Fail where tvalid falls, or data or last change, before tready."""
    before = None
    while True:
        await RisingEdge(dut.clk_i)
        await ReadOnly()
        offer = dut.m_axis_tvalid.value, dut.m_axis_tdata.value, dut.m_axis_tlast.value
        assert before is None or offer == before, "an offer was withdrawn"
        waits = offer[0] == 1 and dut.m_axis_tready.value == 0
        before = offer if waits else None


@cocotb.test()
async def done_and_error_interrupt(dut: Any) -> None:
    tb = await ready(dut)
    await tb.write("IRQ_ENABLE", DONE | ERROR)
    assert dut.irq_o.value == 0
    await tb.classify(PROGRAM)
    assert dut.irq_o.value == 1
    await tb.write("STATUS", DONE)
    assert dut.irq_o.value == 0
    for wrong in (gradient_image().reshape(-1)[:-1], np.append(gradient_image(), 5)):
        await tb.write("CONTROL", START)
        await tb.send(wrong)
        await tb.idle()
        assert dut.irq_o.value == 1
        assert await tb.read("STATUS") == ERROR | 4 << 4
        await tb.write("STATUS", ERROR)
        assert dut.irq_o.value == 0
        await tb.classify(PROGRAM, 4)
        await tb.write("STATUS", DONE)


@cocotb.test()
async def images_follow_each_other(dut: Any) -> None:
    tb = await ready(dut)
    tb.sink.set_pause_generator(itertools.cycle([1, 0, 1]))
    await tb.write("CONTROL", AUTO)
    seeds = range(4)
    for seed in seeds:
        await tb.send(gradient_image(seed))
    for seed in seeds:
        assert await tb.logits() == oracle(PROGRAM, gradient_image(seed)).logits
    assert await tb.write("CONTROL", ABORT) == AxiResp.OKAY
    assert await tb.read("STATUS") & BUSY == 0
    await tb.classify(PROGRAM, 9)


@cocotb.test()
async def an_abort_leaves_no_trace(dut: Any) -> None:
    tb = await ready(dut)
    generator = random.Random(3)
    for seed in range(12):
        await tb.write("CONTROL", START)
        await tb.send(gradient_image(seed))
        await ClockCycles(dut.clk_i, generator.randrange(100, 900))
        await tb.write("CONTROL", ABORT)
        tb.source.clear()
        await tb.source.wait()
        while not tb.sink.empty():
            tb.sink.recv_nowait()
        await tb.classify(PROGRAM, seed + 50)
