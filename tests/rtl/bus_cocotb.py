"""hne_top from outside: AXI4-Lite registers and AXI4-Stream, driven by cocotbext-axi."""

from __future__ import annotations

import io
import itertools
import random
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiResp

from hwsim.bus.constants import SPACES
from hwsim.bus.host import (
    ABORT,
    AUTO,
    BUSY,
    DONE,
    ERROR,
    REFUSED,
    START,
    Host,
    HostError,
)
from hwsim.bus.patch import changes, write_patch
from hwsim.bus.registers import ADDRESS, ID, PARAMETERS, REGISTERS, VERSION
from hwsim.defenses.inhibition import inhibit
from hwsim.engine.reference import run as oracle
from hwsim.faults import Fault, inject
from hwsim.rom.memories import memory_files, memory_values
from tests.rtl.bus import PROGRAM, ready, watch
from tests.rtl.samples import gradient_image


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
    # The defense of Liu et al., on every layer.
    defended = inhibit(PROGRAM, tau=9 / 128, layers="all", on_overflow="saturate")
    assert oracle(defended, gradient_image(1)).logits != oracle(PROGRAM, gradient_image(1)).logits
    await tb.drive(Host(defended).rewrite("weights.mem"))
    await tb.classify(defended, 1)
    await tb.classify(defended, 2)


@cocotb.test()
async def faults_come_through_the_window_as_a_patch(dut: Any) -> None:
    tb = await ready(dut)
    # The sign of an index, an address of nobody's, the least word, a shift and a bias.
    faults = [Fault("index", 0, 0, 13), Fault("index", 1, 1, 12), Fault("weights", 0, 1, 7),
              Fault("scale", 2, 0, 20), Fault("bias", 1, 0, 40)]  # fmt: skip
    faulty = inject(PROGRAM, faults)
    assert oracle(faulty, gradient_image(1)).logits != oracle(PROGRAM, gradient_image(1)).logits
    for before, after in ((PROGRAM, faulty), (faulty, PROGRAM)):
        text = io.StringIO()
        write_patch(after, changes(before, after), text)
        for line in text.getvalue().splitlines():
            address, data = (int(word, 16) for word in line.split())
            await tb.bus.write(address, data.to_bytes(4, "little"))
        await tb.classify(after, 1)


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
              config.chan_depth, 16 * config.prog_depth, config.chan_depth,
              config.lut_tables << config.act_w, 0]  # fmt: skip
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
