"""The numbers of hwsim that Verilog and C++ read: generated, and all of them are read."""

from __future__ import annotations

import re

import pytest

from hwsim.bus.constants import CAUSE_CODES, CAUSES, COMMANDS, FLAGS, PROBABILITIES, SPACES
from hwsim.bus.header import cpp_header, depths, verilog_header
from hwsim.rom.memories import MEMORIES
from hwsim.rtl.tree import RTL, module_file, sources

HEADER = "hne_constants.vh"
VERILOG = {path.name: path.read_text(encoding="utf-8") for path in sources()}


def test_committed_headers_are_what_the_generator_writes() -> None:
    assert module_file(HEADER).read_text(encoding="utf-8") == verilog_header()
    assert (RTL / "sim" / "hne_constants.h").read_text(encoding="utf-8") == cpp_header()


@pytest.mark.parametrize("name", re.findall(r"localparam \S+ (\w+) =", verilog_header()))
def test_a_number_of_the_header_is_read_by_the_verilog(name: str) -> None:
    readers = [
        module
        for module, text in VERILOG.items()
        if module != HEADER and re.search(rf"\b{name}\b", re.sub(r"//.*", "", text))
    ]
    assert readers
    assert all(f'`include "{HEADER}"' in VERILOG[module] for module in readers)


@pytest.mark.parametrize("name", re.findall(r"uint32_t (\w+) =", cpp_header()))
def test_a_number_of_the_header_is_read_by_the_simulation(name: str) -> None:
    text = (RTL / "sim" / "hne_sim.cpp").read_text(encoding="utf-8")
    assert re.search(rf"\b{name}\b", re.sub(r"//.*", "", text))


def test_depths_are_cycles() -> None:
    assert all(cycles > 0 for cycles in depths().values())


def test_every_memory_has_a_space_of_its_own() -> None:
    assert set(SPACES) == set(MEMORIES)
    assert sorted([*SPACES.values(), PROBABILITIES]) == list(range(len(SPACES) + 1))


def test_every_cause_has_words() -> None:
    assert sorted(CAUSE_CODES.values()) == sorted(CAUSES)


def test_commands_are_distinct_and_flags_are_bits() -> None:
    assert len(set(COMMANDS.values())) == len(COMMANDS)
    assert sorted(FLAGS.values()) == [1 << n for n in range(len(FLAGS))]
