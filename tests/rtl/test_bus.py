"""Runs the cocotb tests of bus_cocotb.py on hne_top, of skipping_cocotb.py on one that skips,
of batch_cocotb.py on one that takes batches.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from cocotb_tools.check_results import get_results

from tests.rtl.batches import BATCH_TINY
from tests.rtl.configs import SKIPPING_TINY
from tests.rtl.coverage import simulations
from tools.draw.record import compile_top

pytestmark = pytest.mark.rtl


def results_of(runner: Any, folder: Path, module: str) -> tuple[int, int]:
    """(tests, failures) of a module of cocotb tests."""
    results = folder / "results.xml"
    # The runner exits where a test failed; the log above says which.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel="hne_top", hdl_toplevel_lang="verilog",
            test_module=f"tests.rtl.{module}", build_dir=folder, test_dir=folder,
            results_xml=str(results), plusargs=simulations.plusargs(),
            extra_env={"PYTHONPATH": os.fspath(Path(__file__).parents[2])},
        )  # fmt: skip
    tests, failures = get_results(results)
    return tests, failures


def test_the_engine_behind_its_buses(engine_for_cocotb: tuple[Any, Path]) -> None:
    assert results_of(*engine_for_cocotb, "bus_cocotb") == (18, 0)


def test_an_engine_that_skips_behind_its_buses(tmp_path: Path) -> None:
    runner = compile_top(tmp_path, *simulations.build_args(), config=SKIPPING_TINY)
    assert results_of(runner, tmp_path, "skipping_cocotb") == (3, 0)


def test_an_engine_that_takes_batches_behind_its_buses(tmp_path: Path) -> None:
    runner = compile_top(tmp_path, *simulations.build_args(), config=BATCH_TINY)
    assert results_of(runner, tmp_path, "batch_cocotb") == (13, 0)
