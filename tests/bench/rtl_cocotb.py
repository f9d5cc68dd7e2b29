"""The cocotb side of the RTL benchmark: one image after the other through hne_core.

Written in cocotb's favour: its own clock runs in C++, memories are loaded before the watch starts,
and while the engine computes Python sleeps until a logit comes.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge
from cocotb.utils import get_sim_time

from hwsim.bus.constants import SPACES
from hwsim.rom.memories import memory_files, memory_values
from tests.bench.rtl_network import image, network

#: Where the result goes, and how many images are run.
RESULT, IMAGES = "HWSIM_BENCH_RESULT", "HWSIM_BENCH_IMAGES"
PERIOD = 10


async def load(dut: Any) -> None:
    for name, file in memory_files(network()).items():
        dut.mem_space_i.value = SPACES[name]
        line, mask = 0, (1 << file.width) - 1
        for values in memory_values(network(), name):
            for row in values.tolist():
                for field, word in enumerate(row):
                    dut.mem_line_i.value, dut.mem_field_i.value = line, field
                    dut.mem_wdata_i.value = word & mask
                    dut.mem_we_i.value = 1
                    await FallingEdge(dut.clk_i)
                line += 1
    dut.mem_we_i.value = 0


async def infer(dut: Any) -> list[int]:
    """Stream one image in, take the logits."""
    beats = image().reshape(-1).tolist()
    dut.start_i.value = 1
    while not dut.in_ready_o.value:
        await FallingEdge(dut.clk_i)
    for number, beat in enumerate(beats):
        dut.in_valid_i.value, dut.in_data_i.value = 1, beat
        dut.in_last_i.value = number + 1 == len(beats)
        await FallingEdge(dut.clk_i)
    dut.in_valid_i.value = dut.start_i.value = 0
    await RisingEdge(dut.out_valid_o)
    logits = []
    last = False
    while not last:
        await FallingEdge(dut.clk_i)
        if dut.out_valid_o.value:
            logits.append(dut.out_data_o.value.to_signed())
            last = bool(dut.out_last_o.value)
    await First(RisingEdge(dut.idle_o), ClockCycles(dut.clk_i, 10))
    return logits


@cocotb.test()
async def cycles_per_second(dut: Any) -> None:
    cocotb.start_soon(Clock(dut.clk_i, PERIOD, "ns").start())
    for name in ("start_i", "mem_we_i", "mem_re_i", "in_valid_i", "in_last_i"):
        getattr(dut, name).value = 0
    dut.rst_i.value, dut.out_ready_i.value = 1, 1
    await ClockCycles(dut.clk_i, 4)
    await FallingEdge(dut.clk_i)
    dut.rst_i.value = 0
    await load(dut)
    first = get_sim_time("ns")
    began = time.perf_counter()
    for _ in range(int(os.environ[IMAGES])):
        logits = await infer(dut)
    seconds = time.perf_counter() - began
    cycles = (get_sim_time("ns") - first) / PERIOD
    Path(os.environ[RESULT]).write_text(
        json.dumps({"cycles": cycles, "seconds": seconds, "logits": logits})
    )
