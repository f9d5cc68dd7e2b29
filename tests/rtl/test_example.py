"""docs/example/soc_top.v, from which users copy, elaborates and is configuration ``small``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pyverilog.vparser import ast as vast

from hwsim.numbers.config import load_config
from hwsim.rtl.build import verilator
from hwsim.rtl.tree import search_options
from tools.draw.verilog import instances, nodes, parsed, ports

pytestmark = pytest.mark.rtl

FOLDER = Path(__file__).parents[2] / "docs" / "example"


def test_the_example_elaborates_without_a_warning() -> None:
    script, environment = verilator()
    command = [
        script, "--lint-only", "-Wall", "--quiet-stats", "--default-language", "1364-2005",
        *search_options(), "--top-module", "soc_top", str(FOLDER / "soc_top.v"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_is_configuration_small_with_every_port() -> None:
    (engine,) = instances(parsed("soc_top", FOLDER))
    assert engine.module == "hne_top"
    given = {
        one.paramname: int(number.value)
        for one in engine.parameterlist
        for number in nodes(one.argname, vast.IntConst)
    }
    assert given == load_config("small").verilog_parameters()
    assert sorted(port.portname for port in engine.portlist) == sorted(ports(parsed("hne_top")))
