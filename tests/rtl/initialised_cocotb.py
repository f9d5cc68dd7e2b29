"""hne_top that woke up loaded: images are answered, and nothing is ever written to a memory."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from hwsim.rom.image import load
from tests.rtl.bus import ready

#: Environment variable: the image whose files the simulation found in its folder.
IMAGE = "HWSIM_TEST_IMAGE"


@cocotb.test()
async def it_answers_without_a_load(dut: Any) -> None:
    program = load(os.environ[IMAGE])
    tb = await ready(dut, loaded=False)
    for seed in range(2):
        await tb.classify(program, seed)
