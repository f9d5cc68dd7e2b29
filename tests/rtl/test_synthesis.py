"""A small engine through Yosys: memories become block RAM, multipliers DSPs."""

from __future__ import annotations

import pytest

from hwsim.fpga import synthesis
from hwsim.fpga import tools as fpga
from hwsim.fpga.tools import SynthesisError
from hwsim.numbers.config import load_config

pytestmark = [pytest.mark.rtl, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _tools() -> None:
    try:
        fpga.tool("yosys")
    except SynthesisError:
        pytest.skip("make synth installs Yosys")


def test_memories_become_block_ram_and_multipliers_dsps() -> None:
    found = synthesis.synthesize(load_config("tiny"), lambda stage, seconds: None)
    cost = found.by_module()
    # A product of each cell, two of each post lane; nothing but RAM in a RAM.
    assert cost["hne_mac_row"]["dsps"] == 4
    assert cost["hne_post_lane"]["dsps"] == 4
    assert cost["hne_ram"]["block_rams"] > 0
    assert cost["hne_ram"]["luts"] == cost["hne_ram"]["flip_flops"] == 0


def test_the_bits_of_the_memories_are_those_of_the_configuration() -> None:
    config = load_config("tiny")
    found = synthesis.synthesize(config, lambda stage, seconds: None)
    # Scale, bias, logit, probability of each channel; the program.
    channel = (6 + config.mult_w) + (config.acc_w + config.mult_w) + config.acc_w + 17
    others = config.chan_depth * channel + 16 * config.prog_depth * 32
    assert found.by_module()["hne_ram"]["memory_bits"] == synthesis.memory_bits(config) + others
