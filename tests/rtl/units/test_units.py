"""Every unit alone, with random stimulus, against its Python twin or the oracle."""

from __future__ import annotations

import contextlib
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cocotb_tools.runner import get_runner

from hwsim.rtl.build import verilator
from hwsim.rtl.tree import search_options
from tests.once import once
from tests.rtl.coverage import simulations
from tests.rtl.units import bench

pytestmark = pytest.mark.rtl

MODULES = ("weights", "activations", "results", "control", "streams")
#: Tests of each module.
DRIVEN = {
    "weights": 13, "activations": 12, "results": 13, "control": 7, "streams": 14,
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str | None]]:
    """Test module -> test -> None, or what failed. One build and one simulation for all."""
    folder = once(tmp_path_factory, "units", simulate)
    found: dict[str, dict[str, str | None]] = {name: {} for name in MODULES}
    for case in ET.parse(folder / "results.xml").iter("testcase"):
        module = case.get("classname", "").split(".")[-1].removesuffix("_cocotb")
        failure = case.find("failure")
        if failure is None:
            failure = case.find("error")
        text = None if failure is None else failure.get("message") or failure.text or "failed"
        found[module][case.get("name", "")] = text
    return found


def simulate(folder: Path) -> None:
    """Compile the bench, run all tests on it, and leave results.xml."""
    _, environment = verilator()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", environment["PATH"])
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        # Registers wake up with random bits.
        runner = get_runner("verilator")
        runner.build(
            sources=[bench.write(folder)], hdl_toplevel="bench",
            build_args=[*search_options(), "--default-language", "1364-2005", "--no-timing",
                        "-Wno-fatal", "--x-initial", "unique", "--x-assign", "unique",
                        "--output-split", "0", "-CFLAGS", "-O0", *simulations.build_args()],
            build_dir=folder / "build", always=True,
        )  # fmt: skip
        names = [f"tests.rtl.units.{name}_cocotb" for name in MODULES]
        # The runner exits where a test failed.
        with contextlib.suppress(SystemExit):
            runner.test(
                hdl_toplevel="bench", test_module=names, build_dir=folder / "build",
                test_dir=folder, results_xml=str(folder / "results.xml"),
                plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{os.getpid() % 1000 + 1}",
                          *simulations.plusargs()],
            )  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_units_are_their_twins(module: str, outcomes: dict[str, dict[str, str | None]]) -> None:
    assert len(outcomes[module]) == DRIVEN[module]
    failed = {name: text for name, text in outcomes[module].items() if text is not None}
    assert not failed
