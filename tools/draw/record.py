"""Runs the simulation that tools/draw/record_cocotb.py records."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.rtl.build import verilator
from hwsim.rtl.errors import RtlError
from hwsim.rtl.tree import module_file, search_options
from tools.draw.record_cocotb import TARGET

TOP = "hne_top"


def compile_top(folder: Path, *more: str, config: EngineConfig | None = None) -> Any:
    """hne_top of a configuration, ``tiny`` if none is given, for cocotb in ``folder``; its runner.

    Without optimization, which costs four times what it saves: most of a simulation is Python.
    more: further arguments of Verilator; a parameter among them loses against the configuration's.
    """
    _, environment = verilator()
    os.environ["PATH"] = environment["PATH"]
    runner = get_runner("verilator")
    runner.build(
        sources=[module_file(TOP)], hdl_toplevel=TOP, build_dir=folder,
        parameters=(config or load_config("tiny")).verilog_parameters(), always=True,
        build_args=[*search_options(), "--default-language", "1364-2005", "--output-split", "0",
                    "--no-timing", "-Wno-fatal", "-CFLAGS", "-O0", *more],
    )  # fmt: skip
    return runner


def record(runner: Any, folder: Path) -> dict[str, Any]:
    """Scene -> WaveDrom, from the simulation that was compiled in ``folder``."""
    results = folder / "scenes.xml"
    with tempfile.TemporaryDirectory(prefix="hwsim-") as waves:
        runner.test(
            hdl_toplevel=TOP, hdl_toplevel_lang="verilog",
            test_module="tools.draw.record_cocotb", build_dir=folder, test_dir=folder,
            results_xml=str(results), testcase="the_scenes",
            extra_env={TARGET: waves, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        if get_results(results) != (1, 0):
            raise RtlError("the simulation that the timing diagrams come from failed")
        found = sorted(Path(waves).glob("*.json"))
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in found}
