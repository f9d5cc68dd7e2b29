"""An engine that skips behind its buses: its parameters, and what an image skipped, as words."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from hwsim.bus.constants import COUNTERS
from hwsim.bus.host import START, Host
from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.engine.reference import run as oracle
from tests.rtl.bus import TB
from tests.rtl.configs import SKIPPING_TINY
from tests.rtl.samples import gradient_image, small_network

PROGRAM = small_network(SKIPPING_TINY)


def image_of(number: int) -> np.ndarray:
    """Random, sparse, full or blank, and the first again."""
    image = gradient_image(number % 4)
    kept = [image > -1, image > 200, image < 0, image > -1][number % 4]
    return np.where(kept, image, 255 * (number % 4 == 3))


@cocotb.test()
async def registers_say_what_it_skips_with(dut: Any) -> None:
    tb = TB(dut)
    await tb.reset()
    for name, due in {"SKIP": 1, "SKIP_COLUMNS": 45, "SKIP_MASKS": 18}.items():
        assert await tb.read(name) == due
    assert await tb.read("COUNT_SKIPPED") == 0


@cocotb.test()
@cocotb.parametrize(slow=[False, True])
async def images_that_follow_each_other_are_counted_each_for_itself(dut: Any, slow: bool) -> None:
    tb = TB(dut)
    await tb.reset()
    if slow:
        tb.set_idle_generator(1)
        tb.set_backpressure_generator(2)
    await tb.drive(Host(PROGRAM).load())
    report, engine, skipped = analyze(PROGRAM), Engine(PROGRAM), []
    for number in range(5):
        image = image_of(number)
        await tb.write("CONTROL", START)
        await tb.send(image)
        assert await tb.logits() == oracle(PROGRAM, image).logits
        await tb.idle()
        outcome = await tb.drive(Host(PROGRAM).outcome())
        due = engine.image_report(report, image)
        assert outcome.counters["total"] == due.cycles
        for name in (*COUNTERS[1:9], "skipped"):
            assert outcome.counters[name] == due.total(name), name
        skipped.append(await tb.read("COUNT_SKIPPED"))
        assert skipped[-1] == outcome.counters["skipped"]
    assert skipped[4] == skipped[0] < skipped[1] < skipped[2]
