"""Reports of Yosys and nextpnr are read as they are, and what they say is not glossed over."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.compiler.compiler import Program
from hwsim.errors import InputError
from hwsim.files import markdown
from hwsim.fpga import place_route as placement
from hwsim.fpga import synthesis, synthesis_table
from hwsim.fpga import tools as fpga
from hwsim.fpga.synthesis import ModuleCost
from hwsim.fpga.tools import SynthesisError
from hwsim.networks.open import open_program
from hwsim.numbers.config import load_config
from hwsim.program.proof import check

RAM = "$paramod$52acc3\\hne_ram"


def counted(memory_bits: int = 0, **cells: int) -> dict[str, Any]:
    return {"num_memory_bits": memory_bits, "num_cells_by_type": cells}


#: As Yosys writes them: two memories in a buffer, one buffer and two lanes in the top module.
BEFORE = {
    "modules": {
        "\\hne_top": counted(**{"hne_buffer": 1, "hne_lane": 2, "$dff": 3}),
        "\\hne_buffer": counted(**{RAM: 2}),
        "\\hne_lane": counted(**{"$mul": 2, "$add": 1}),
        RAM: counted(32768, **{"$memrd_v2": 1, "$memwr_v2": 1}),
    }
}
AFTER = {
    "modules": {
        "\\hne_top": counted(hne_buffer=1, hne_lane=2, TRELLIS_FF=3),
        "\\hne_buffer": counted(**{RAM: 2, "LUT4": 5}),
        "\\hne_lane": counted(MULT18X18D=2, CCU2C=4, TRELLIS_FF=10, LUT4=1),
        RAM: counted(DP16KD=2),
    }
}


def report(*delays: tuple[str, float, str]) -> dict[str, Any]:
    """nextpnr's: one path between registers, a shorter one, and a longer one from a pin."""

    def path(steps: tuple[tuple[str, float, str], ...]) -> list[dict[str, Any]]:
        return [
            {"type": kind, "delay": ns, "from": {"cell": cell}, "to": {"cell": cell}}
            for kind, ns, cell in steps
        ]

    clock = "posedge $glbnet$clk"
    return {
        "critical_paths": [
            {"from": "<async>", "to": clock, "path": path((("routing", 30.0, "u_pin"),))},
            {"from": clock, "to": clock, "path": path((("clk-to-q", 0.5, "u_core.x_q"),))},
            {"from": clock, "to": clock, "path": path(delays)},
        ],
        "fmax": {"$glbnet$clk": {"achieved": 104.321, "constraint": 110}},
        "utilization": {
            "DP16KD": {"used": 120, "available": 208},
            "ALU54B": {"used": 0, "available": 78},
        },
    }


STEPS = (
    ("clk-to-q", 0.5, "u_core.u_weights.u_turns.first2_q_TRELLIS_FF_Q"),
    ("routing", 1.25, "u_core.u_weights.u_turns.before_q_LUT4_Z"),
    ("logic", 0.25, "u_core.u_weights.u_turns.before_q_LUT4_Z"),
    ("setup", 0.0, "u_core.u_act.u_maps.gen_bank[0].u_bank.u_ram.mem.0.7"),
)


def test_a_module_is_counted_as_often_as_it_stands_in_the_design() -> None:
    found = {one.module: one for one in synthesis.parse(BEFORE, AFTER)}
    assert {name: one.instances for name, one in found.items()} == {
        "hne_top": 1, "hne_buffer": 1, "hne_lane": 2, "hne_ram": 2,
    }  # fmt: skip
    # A carry cell is two LUTs.
    assert found["hne_lane"].luts == 1 + 2 * 4
    assert found["hne_ram"].memory_bits == 32768
    whole = synthesis.Synthesis("one", tuple(found.values()), "yosys", 1.0)
    assert whole.total("dsps") == 4
    assert whole.total("block_rams") == 4
    assert whole.total("flip_flops") == 23
    assert whole.by_module()["hne_lane"]["dsps"] == 4


def test_a_table_of_constants_may_become_logic() -> None:
    before = {"modules": {"\\hne_top": counted(4096, **{"$memrd_v2": 8, "$dff": 6})}}
    after = {"modules": {"\\hne_top": counted(LUT4=290, TRELLIS_FF=128)}}
    (table,) = synthesis.parse(before, after)
    synthesis.check_inference((table,))
    assert table.memory_bits == 0


def test_memories_that_were_not_mapped_are_black_boxes_with_bits() -> None:
    after = {"modules": {k: v for k, v in AFTER["modules"].items() if k != RAM}}
    modules = synthesis.parse(BEFORE, after)
    synthesis.check_inference(modules)
    whole = synthesis.Synthesis("one", modules, "yosys", 1.0)
    assert whole.black_box
    assert whole.total("memory_bits") == 65536
    assert "black box" in synthesis_table.markdown([whole])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (dict(block_rams=0, lut_rams=64), "not block RAM"),
        (dict(block_rams=0, flip_flops=32768), "not block RAM"),
        (dict(block_rams=1, lut_rams=1), "not block RAM"),
        (dict(multipliers=3, dsps=2), "3 multipliers became 2 DSPs"),
    ],
)
def test_a_memory_or_a_multiplier_that_became_logic_is_an_error(
    change: dict[str, int], complaint: str
) -> None:
    good = ModuleCost("hne_x", 1, 10, 5, 2, 2, 32768, 2)
    synthesis.check_inference((good,))
    with pytest.raises(SynthesisError, match=complaint):
        synthesis.check_inference((dataclasses.replace(good, **change),))


def test_a_small_memory_may_be_flip_flops() -> None:
    synthesis.check_inference((ModuleCost("hne_x", 1, 10, 600, 0, 0, 600, 0),))


def test_the_limiting_path_is_the_slowest_between_registers() -> None:
    mhz, used, steps = placement.parse(report(*STEPS))
    assert mhz == 104.32
    assert used == {"DP16KD": 120}
    found = placement.Routed("small", mhz, used, steps, "nextpnr", 1.0)
    assert found.path_ns == 2.0
    assert found.share("routing") == 1.25
    start, end = found.ends
    assert placement.module_of(start) == "hne_turns"
    assert placement.module_of(end) == "hne_ram"
    assert "hne_turns (u_core.u_weights.u_turns)" in synthesis_table.markdown_placement(found)


def test_of_two_instances_of_one_name_the_block_tells_which_is_meant() -> None:
    source = "u_core.u_weights.u_index.gen_{}.u_source"
    assert placement.module_of(source.format("hash")) == "hne_index_hash"
    assert placement.module_of(source.format("sram")) == "hne_index_sram"
    assert placement.module_of("u_core.u_mac.u_array.gen_row[4].u_row") == "hne_mac_row"


def test_a_report_without_a_clock_is_an_error() -> None:
    with pytest.raises(SynthesisError, match="no clock"):
        placement.parse({**report(*STEPS), "fmax": {}})


@pytest.mark.parametrize(
    ("cell", "instance"),
    [
        ("u_core.u_act.u_lanes.x_q_TRELLIS_FF_Q_1", "u_core.u_act.u_lanes"),
        ("u_core.u_mac.u_array.gen_row[3].u_row.sum", "u_core.u_mac.u_array.gen_row[3].u_row"),
        ("u_axil_LUT4_Z", ""),
        ("clk_i", ""),
    ],
)
def test_a_cell_belongs_to_the_instance_it_is_named_after(cell: str, instance: str) -> None:
    assert placement.instance_of(cell) == instance


def test_a_configuration_that_fits_no_device_is_refused_before_anything_runs() -> None:
    with pytest.raises(SynthesisError, match="do not fit LFE5U-85F"):
        placement.place(load_config("default"), lambda stage, seconds: None)


def test_seeds_share_one_synthesis_and_are_not_routed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    monkeypatch.setattr(fpga, "tool", lambda name: name)
    monkeypatch.setattr(fpga, "version", lambda name: f"{name}-1.2")
    ran: list[str] = []

    def run(command, folder, log, started, on_progress):  # type: ignore[no-untyped-def]
        ran.append(command[0])
        if command[0] == "yosys":
            (folder / "netlist.json").write_text("{}")
        else:
            assert (folder / "netlist.json").exists()
            seed = int(command[command.index("--seed") + 1])
            found = report(*STEPS)
            found["fmax"] = {"clk": {"achieved": 90.0 + seed}}
            (folder / "report.json").write_text(json.dumps(found))

    monkeypatch.setattr(fpga, "run_tool", run)
    small = load_config("small")

    def clocks(*seeds: int) -> list[float]:
        placed = placement.place_seeds(small, lambda seed: lambda stage, seconds: None, seeds)
        return [one.mhz for one in placed]

    assert clocks(1, 2) == [91.0, 92.0]
    assert ran == ["yosys", "nextpnr-ecp5", "nextpnr-ecp5"]
    assert clocks(1, 2, 3) == [91.0, 92.0, 93.0]
    assert ran[3:] == ["yosys", "nextpnr-ecp5"]
    assert placement.place(small, lambda stage, seconds: None, 3).mhz == 93.0
    assert len(ran) == 5
    found = list(placement.place_seeds(small, lambda seed: lambda stage, seconds: None, (3, 1)))
    assert [row[:2] for row in synthesis_table.seed_rows(found)] == [
        ["3", "93.0 MHz"], ["1", "91.0 MHz"],
    ]  # fmt: skip
    assert "91.0 to 93.0 MHz, median 92.0; the best is seed 3" in (
        synthesis_table.markdown_seeds(found)
    )


def test_the_tools_say_where_they_are() -> None:
    assert fpga.stage_of("7.10.2. Executing ABC9 pass (technology mapping).") == "yosys: abc9"
    assert fpga.stage_of("Info: Packing carries...") == "nextpnr: packing carries"
    placing = "Info:     at iteration #12, type ALL: wirelen solved = 84997, spread = 276831"
    assert fpga.stage_of(placing) == "nextpnr: placer, step 12"
    spreading = "Info: iter=120 steplen=0.78 a=69.5 penalty=[0.00, 0.00, 0.00, 0.00]"
    assert fpga.stage_of(spreading) == "nextpnr: placer, step 120"
    assert fpga.stage_of(spreading.replace("120", "121")) is None
    routing = "Info:     141000 |    21971     114023 |   49   847 |  17644|   0.94      55.81|"
    assert fpga.stage_of(routing) == "nextpnr: router, 17644 connections left"
    assert fpga.stage_of("Info: Checksum: 0x1") is None


def test_a_missing_tool_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(SynthesisError, match=r"hwsim\[synth\]"):
        fpga.tool("yosys")


def test_a_result_is_kept_under_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    calls: list[int] = []

    def make() -> dict[str, int]:
        calls.append(1)
        return {"cells": len(calls)}

    assert fpga.kept("synth", "a", make) == {"cells": 1}
    assert fpga.kept("synth", "a", make) == {"cells": 1}
    assert fpga.kept("synth", "b", make) == {"cells": 2}


def test_an_interrupted_run_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))

    def interrupted() -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fpga.kept("synth", "a", interrupted)
    assert not list(tmp_path.rglob("*.json*"))


def test_a_table_replaces_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- synth: begin -->\nold\n<!-- synth: end -->\nmore\n", "utf-8")
    markdown.put(page, "synth", "new")
    text = page.read_text("utf-8")
    assert "old" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("<!-- synth: end -->\nmore\n")
    with pytest.raises(InputError, match="no place"):
        markdown.put(page, "pnr", "new")


@pytest.mark.slow
def test_small_holds_the_network_that_it_is_made_for() -> None:
    program: Program = open_program("mnist-cnn-h64", "small")
    assert program.config.index_mode == "hash"
    check(program)
