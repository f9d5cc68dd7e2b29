"""Runs the cocotb tests of bus_cocotb.py on hne_top: one build, every test a result here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from hwsim.config import load_config
from hwsim.rtl import RTL, verilator

pytestmark = pytest.mark.rtl


def test_the_engine_behind_its_buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, environment = verilator()
    monkeypatch.setenv("PATH", environment["PATH"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2])]))
    runner = get_runner("verilator")
    runner.build(
        sources=[RTL / "hne_top.v"],
        hdl_toplevel="hne_top",
        includes=[RTL],
        parameters=load_config("tiny").verilog_parameters(),
        build_args=["-y", str(RTL), "--default-language", "1364-2005", "--output-split", "0",
                    "--no-timing", "-Wno-fatal"],
        build_dir=tmp_path,
        always=True,
    )  # fmt: skip
    results = tmp_path / "results.xml"
    # The runner exits where a test failed; the log above says which.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel="hne_top", test_module="tests.rtl.bus_cocotb", build_dir=tmp_path,
            test_dir=tmp_path, results_xml=str(results),
        )  # fmt: skip
    tests, failures = get_results(results)
    assert (tests, failures) == (16, 0)
