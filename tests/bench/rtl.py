"""Cycles a second of the Verilog: our driver on one core and on all, and the same from cocotb."""

from __future__ import annotations

import json
import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from cocotb_tools.runner import get_runner

from hwsim.rtl.backend import RtlBackend
from hwsim.rtl.build import build, verilator
from hwsim.rtl.simulator import RtlEngine
from hwsim.rtl.tree import TOP, module_file, search_options
from tests.bench import rtl_cocotb
from tests.bench.measure import Line
from tests.bench.rtl_network import image, network

IMAGES, ROUNDS = 40, 3
#: cocotb is slower: fewer images take as long.
COCOTB_IMAGES = 4


def _cocotb(folder: Path) -> Any:
    """The design under cocotb, compiled as the driver's is."""
    _, environment = verilator()
    os.environ["PATH"] = environment["PATH"]
    runner = get_runner("verilator")
    runner.build(
        sources=[module_file(TOP)], hdl_toplevel=TOP, build_dir=folder,
        parameters=network().config.verilog_parameters(), always=True, log_file=folder / "log",
        build_args=[*search_options(), "--default-language", "1364-2005", "--output-split", "0",
                    "--no-timing", "-Wno-fatal", "-O3", "-CFLAGS", "-O3 -march=native"],
    )  # fmt: skip
    return runner


def _run_cocotb(runner: Any, folder: Path) -> tuple[float, list[int]]:
    result = folder / "result.json"
    runner.test(
        hdl_toplevel=TOP, test_module="tests.bench.rtl_cocotb", build_dir=folder, test_dir=folder,
        log_file=folder / "log",
        extra_env={rtl_cocotb.RESULT: str(result), rtl_cocotb.IMAGES: str(COCOTB_IMAGES),
                   "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    found = json.loads(result.read_text())
    return found["cycles"] / found["seconds"], found["logits"]


def _run_driver(engine: RtlEngine) -> tuple[float, list[int]]:
    began, cycles = time.perf_counter(), 0
    for _ in range(IMAGES):
        run = engine.run(image())
        cycles += run.simulated
    return cycles / (time.perf_counter() - began), run.logits.tolist()


def _run_batch(backend: RtlBackend) -> float:
    pixels = torch.from_numpy(image() * float(network().input.scale)).float()
    batch = pixels.expand(IMAGES * backend.workers, *pixels.shape)
    before, began = backend.simulated[0], time.perf_counter()
    backend.integer_logits(batch)
    return (backend.simulated[0] - before) / (time.perf_counter() - began)


@cache
def _measured() -> dict[str, float]:
    """Cycles a second of each way; the best of a few rounds in which they take turns."""
    best = dict.fromkeys(("cocotb", "one", "all"), 0.0)
    build(network().config)
    with (
        tempfile.TemporaryDirectory(prefix="hwsim-bench-") as name,
        RtlEngine(network()) as engine,
        RtlBackend(network()) as backend,
    ):
        folder = Path(name)
        runner = _cocotb(folder)
        _run_batch(backend)  # loads the memories
        for _ in range(ROUNDS):
            peer, expected = _run_cocotb(runner, folder)
            ours, logits = _run_driver(engine)
            assert logits == expected
            found = {"cocotb": peer, "one": ours, "all": _run_batch(backend)}
            best = {way: max(best[way], found[way]) for way in best}
    return best


def one_core() -> Line:
    """The driver on one core against cocotb."""
    best = _measured()
    return Line(
        "rtl-one-core", best["one"], best["cocotb"], "cycles/s", best["one"] / best["cocotb"],
        "the same design from cocotb", ">= 300,000 cycles/s",
        f"configuration {network().config.name}",
    )  # fmt: skip


def all_cores() -> Line:
    """A batch on all cores against the driver on one."""
    best = _measured()
    cores = os.cpu_count() or 1
    return Line(
        "rtl-all-cores", best["all"], best["one"], "cycles/s", best["all"] / best["one"],
        "the driver on one core", f"~{cores}", f"{cores} cores",
    )  # fmt: skip
