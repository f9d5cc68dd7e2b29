"""An engine whose memories wake up with the files of `hwsim rom export` needs no load."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rom.image import save
from hwsim.rom.vendor import export
from tests.images import residual_program, small_program
from tests.once import once
from tests.rtl.coverage import simulations
from tests.rtl.initialised_cocotb import IMAGE
from tests.rtl.samples import small_network
from tools.draw.record import compile_top

pytestmark = pytest.mark.rtl

TINY = load_config("tiny")
#: Without check bits, and with those that the files hold above the words.
ENGINES = [TINY, TINY.replace(ecc="secded")]


@pytest.fixture(scope="module", params=ENGINES, ids=lambda config: config.ecc)
def woken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path, EngineConfig]:
    """hne_top that looks for its words in ``rom`` of the folder it runs in; what has none wakes up
    with random bits.
    """
    config = request.param

    def compiled(folder: Path) -> None:
        more = ['-GINIT_DIR="rom"', "--x-initial", "unique", *simulations.build_args()]
        compile_top(folder, *more, config=config)

    folder = once(tmp_path_factory, f"woken-{config.ecc}", compiled)
    return get_runner("verilator"), folder, config


@pytest.mark.parametrize(
    "made",
    [small_network, small_program, residual_program],
    ids=["chain", "dense", "every kind of layer"],
)
def test_it_answers_without_a_load(
    woken: tuple[Any, Path, EngineConfig], made: Callable[[EngineConfig], Program], tmp_path: Path
) -> None:
    runner, folder, config = woken
    program = made(config)
    save(program, tmp_path / "net.hne")
    export(program, tmp_path / "rom", "mem")
    results = tmp_path / "results.xml"
    # The runner exits where a test failed; the log above says which.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel="hne_top", hdl_toplevel_lang="verilog",
            test_module="tests.rtl.initialised_cocotb", build_dir=folder, test_dir=tmp_path,
            results_xml=str(results),
            plusargs=["+verilator+rand+reset+2", "+verilator+seed+7", *simulations.plusargs()],
            extra_env={
                "PYTHONPATH": os.fspath(Path(__file__).parents[2]),
                IMAGE: str(tmp_path / "net.hne"),
            },
        )  # fmt: skip
    assert get_results(results) == (1, 0)
