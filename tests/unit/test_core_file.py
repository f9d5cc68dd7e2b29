"""rtl/hwsim.core is what its generator writes, and names every file of the Verilog."""

from __future__ import annotations

import re

from hwsim.numbers.config import load_config
from hwsim.rtl.core_file import core
from hwsim.rtl.tree import RTL, sources


def test_the_committed_file_is_what_the_generator_writes() -> None:
    """Otherwise: python -m hwsim.rtl.core_file > rtl/hwsim.core"""
    assert (RTL / "hwsim.core").read_text(encoding="utf-8") == "\n".join(core()) + "\n"


def test_it_names_every_file_of_the_tree_once_and_no_other() -> None:
    text = (RTL / "hwsim.core").read_text(encoding="utf-8")
    named = re.findall(r"^      - ([\w/]+\.vh?)\b", text, re.MULTILINE)
    expected = [path.relative_to(RTL).as_posix() for path in sources()]
    assert sorted(named) == sorted([*expected, "sim/hne_tb.v"])
    assert all((RTL / path).is_file() for path in named)
    included = re.findall(r"^      - (\S+): \{is_include_file: true\}", text, re.MULTILINE)
    assert sorted(included) == sorted(path for path in expected if path.endswith(".vh"))


def test_its_parameters_are_those_of_the_engine_with_the_defaults_of_the_verilog() -> None:
    text = (RTL / "hwsim.core").read_text(encoding="utf-8")
    block = text.split("\nparameters:\n")[1].split("\ntargets:\n")[0]
    found = re.findall(r"^  (\w+):\n(?:    .*\n)*?    default: (\d+)$", block, re.MULTILINE)
    assert {name: int(value) for name, value in found} == load_config("tiny").verilog_parameters()
