"""Runs the cocotb tests of bus_cocotb.py on hne_top: one build, every test a result here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from cocotb_tools.check_results import get_results

from tests.rtl.coverage import simulations

pytestmark = pytest.mark.rtl


def test_the_engine_behind_its_buses(engine_for_cocotb: tuple[Any, Path]) -> None:
    runner, folder = engine_for_cocotb
    results = folder / "results.xml"
    # The runner exits where a test failed; the log above says which.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel="hne_top", test_module="tests.rtl.bus_cocotb", build_dir=folder,
            test_dir=folder, results_xml=str(results), plusargs=simulations.plusargs(),
            extra_env={"PYTHONPATH": os.fspath(Path(__file__).parents[2])},
        )  # fmt: skip
    tests, failures = get_results(results)
    assert (tests, failures) == (18, 0)
