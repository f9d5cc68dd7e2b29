"""hne_top with a clock, a bus master, a source and a sink of cocotbext-axi around it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, TypeVar

import cocotb
import numpy as np
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

from hwsim.bus.constants import COUNTERS
from hwsim.bus.host import (
    BUSY,
    START,
    Access,
    Accesses,
    Answer,
    Host,
)
from hwsim.bus.registers import ADDRESS
from hwsim.cost.timing import analyze
from hwsim.engine.reference import run as oracle
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
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
        """What ``hwsim.bus.host.drive`` does, for a bus that takes time."""
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
