"""A small engine through Yosys: memories become block RAM, multipliers DSPs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.fpga import place_route, synthesis
from hwsim.fpga import tools as fpga
from hwsim.fpga.tools import SynthesisError
from hwsim.numbers.config import load_config
from tests.once import once

pytestmark = [pytest.mark.rtl, pytest.mark.slow]


CONFIG = load_config("tiny")


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Module -> its cells: one synthesis, of which each test asks something else."""
    try:
        fpga.tool("yosys")
    except SynthesisError:
        pytest.skip("make synth installs Yosys")

    def synthesize(folder: Path) -> None:
        found = synthesis.synthesize(CONFIG, lambda stage, seconds: None)
        (folder / "cells.json").write_text(json.dumps(found.by_module()))

    folder = once(tmp_path_factory, "synthesis", synthesize)
    cells: dict[str, Any] = json.loads((folder / "cells.json").read_text())
    return cells


def test_memories_become_block_ram_and_multipliers_dsps(cost: dict[str, Any]) -> None:
    # A product of each cell, two of each post lane; nothing but RAM in a RAM.
    assert cost["hne_mac_row"]["dsps"] == 4
    assert cost["hne_post_lane"]["dsps"] == 4
    assert cost["hne_ram"]["block_rams"] > 0
    assert cost["hne_ram"]["luts"] == cost["hne_ram"]["flip_flops"] == 0


def test_the_bits_of_the_memories_are_those_of_the_configuration(cost: dict[str, Any]) -> None:
    # Scale, bias, logit, probability of each channel; the program.
    channel = (6 + CONFIG.mult_w) + (CONFIG.acc_w + CONFIG.mult_w) + CONFIG.acc_w + 17
    others = CONFIG.chan_depth * channel + 16 * CONFIG.prog_depth * 32
    assert cost["hne_ram"]["memory_bits"] == synthesis.memory_bits(CONFIG) + others


def test_place_and_route_keeps_a_weight_for_each_multiplier() -> None:
    """Found by name: one that is gone would select nothing, and nobody would miss it."""
    script = (
        "read_verilog -I. hne_mac_row.v\nhierarchy -top hne_mac_row -chparam COLS 3\nproc\n"
        f"select -assert-count 3 {place_route.APART}\n"
    )
    try:
        yosys = fpga.tool("yosys")
    except SynthesisError:
        pytest.skip("make synth installs Yosys")
    with fpga.workplace() as folder:
        (folder / "select.ys").write_text(script, encoding="utf-8")
        fpga.run_tool([yosys, "select.ys"], folder, "log", 0.0, lambda stage, seconds: None)
