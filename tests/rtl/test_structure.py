"""The RTL as pyverilog parses it: parameters, ports, nets and instances are what the tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyverilog.vparser import ast as vast

from hwsim.bus.constants import COUNTERS
from hwsim.bus.registers import PARAMETERS, REGISTERS
from hwsim.numbers.config import load_config
from hwsim.rom.vendor import rams
from hwsim.rtl.tree import TOP
from tests.images import small_program
from tools.draw.nets import nets
from tools.draw.verilog import (
    ILLEGAL,
    MODULES,
    children,
    instances,
    nodes,
    parameters,
    parsed,
    ports,
)

pytestmark = pytest.mark.rtl

ENGINE = load_config("tiny").verilog_parameters()


@pytest.mark.parametrize("module", ["hne_top", "hne_csr", TOP])
def test_engine_parameters_are_those_of_the_configuration(module: str) -> None:
    found = parameters(parsed(module))
    # Beyond them there are widths that follow from them, and what the memories wake up with.
    assert set(ENGINE) <= found
    assert all(name.endswith("_W") for name in found - set(ENGINE) - {"INIT_DIR"})


@pytest.mark.parametrize("module", ["hne_top", "hne_csr", TOP])
def test_defaults_are_configuration_tiny(module: str) -> None:
    listed = nodes(parsed(module).paramlist, vast.Parameter)
    found = {one.name: _number(one.value) for one in listed if one.name in ENGINE}
    assert found == ENGINE


@pytest.mark.parametrize("module", MODULES)
def test_an_engine_parameter_reaches_a_unit_under_its_own_name(module: str) -> None:
    """A unit that has ROWS is given ROWS, never left with its default."""
    for instance in instances(parsed(module)):
        given = {one.paramname: one.argname for one in instance.parameterlist}
        passed_on = parameters(parsed(instance.module)) & {*ENGINE, "INIT_DIR"}
        if instance.module == "hne_ram":  # where nothing is loaded there is no file
            passed_on &= given.keys()
        for name in passed_on:
            assert name in given, f"{instance.name} is not given {name}"
            assert isinstance(given[name], vast.Identifier), f"{instance.name}.{name}"
            assert given[name].name == name, f"{instance.name}.{name}"


def test_every_ram_of_an_image_is_given_its_file_and_no_other_ram_is() -> None:
    found = {}
    for module in MODULES:
        for instance in instances(parsed(module)):
            given = {one.paramname: one.argname for one in instance.parameterlist}
            if instance.module == "hne_ram" and module != "hne_ecc_ram":
                assert "INIT_DIR" not in given, instance.name
            if instance.module == "hne_ecc_ram":
                found[given["INIT_NAME"].value] = "INIT_FIELD" in given
    assert found == {ram.name.split("_")[0]: "_" in ram.name for ram in rams(small_program())}


@pytest.mark.parametrize("module", MODULES)
def test_ports_say_their_direction(module: str) -> None:
    """_i and _o, clock and reset first; the bus of hne_top has the names of its standard."""
    found = ports(parsed(module))
    if module == "hne_top":
        found = {name: way for name, way in found.items() if "_ax" not in name}
    for name, way in found.items():
        assert name.endswith("_i" if way == "Input" else "_o"), name
    names = list(found)
    if "clk_i" in names:
        assert names[0] == "clk_i"
    if "rst_i" in names:
        assert names[1] == "rst_i"


@pytest.mark.parametrize("module", MODULES)
def test_every_instance_connects_every_port_by_name(module: str) -> None:
    for instance in instances(parsed(module)):
        child = parsed(instance.module)
        connected = [port.portname for port in instance.portlist]
        assert sorted(connected) == sorted(ports(child)), instance.name
        assert all(port.argname is not None for port in instance.portlist), instance.name
        given = {one.paramname for one in instance.parameterlist}
        assert given <= parameters(child), instance.name


@pytest.mark.parametrize("module", MODULES)
def test_every_net_is_declared_driven_and_read(module: str) -> None:
    found = nets(parsed(module))
    assert not found.undeclared
    assert not found.undriven
    assert not found.unread


def test_a_net_without_a_source_or_a_reader_is_seen(tmp_path: Path) -> None:
    (tmp_path / "hne_bad.v").write_text(
        "module hne_bad (input wire clk_i, output wire out_o);\n"
        "  wire nobody_drives, nobody_reads;\n"
        "  assign nobody_reads = clk_i;\n"
        "  assign out_o = nobody_drives & never_declared;\n"
        "endmodule\n"
    )
    found = nets(parsed("hne_bad", tmp_path))
    assert found.undeclared == {"never_declared"}
    assert found.undriven == {"nobody_drives"}
    assert found.unread == {"nobody_reads"}


def test_every_module_is_part_of_the_engine() -> None:
    reached, waiting = set(), ["hne_top"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [child for child in children(name) if child not in reached]
    assert sorted(reached) == MODULES


# ---------------------------------------------------------------- the register table


def _labels(case: Any) -> set[str]:
    """Identifiers in front of the branches of a case."""
    conditions = [one.cond for one in case.caselist if one.cond is not None]
    return {label.name for one in conditions for label in one}


def _cases(subject: str) -> list[Any]:
    found = nodes(parsed("hne_csr"), vast.CaseStatement)
    return [one for one in found if getattr(one.comp, "name", "") == subject]


def test_every_register_of_the_table_is_read_and_no_other() -> None:
    (case,) = _cases("read_address_q")
    # The counters are read by a loop over the bus that holds them.
    plain = {f"REG_{one.name}" for one in REGISTERS if not one.name.startswith("COUNT_")}
    assert _labels(case) == plain
    counters = [one for one in REGISTERS if one.name.startswith("COUNT_")]
    assert [one.name for one in counters] == [f"COUNT_{name.upper()}" for name in COUNTERS]
    first, last = counters[0].address, counters[-1].address
    assert [one.address for one in counters[:-1]] == list(range(first, first + 48, 4))
    # The last one came later, stands behind the options, and is asked for by its name.
    assert last > max(one.address for one in counters[:-1])
    assert sum(one.address == last for one in REGISTERS) == 1


def test_every_register_that_can_be_written_is_and_no_other() -> None:
    (case,) = _cases("write_address_i")
    writable = {f"REG_{one.name}" for one in REGISTERS if one.access != "ro"}
    # MEM_DATA is the strobe of the memories, not a register of its own.
    assert _labels(case) == writable - {"REG_MEM_DATA"}


def test_every_parameter_word_is_the_parameter_of_its_name() -> None:
    (case,) = _cases("read_address_q")
    words = {}
    for one in case.caselist:
        (value,) = nodes(one.statement, vast.Rvalue)[:1]
        if one.cond is not None and isinstance(value.var, vast.Identifier):
            words |= {label.name: value.var.name for label in one.cond}
    for name in PARAMETERS:
        assert words[f"REG_{name}"] == name
    assert set(PARAMETERS) == set(ENGINE)


def _number(node: Any) -> int:
    """A constant, or a sum or difference of such."""
    if isinstance(node, vast.Rvalue):
        return _number(node.var)
    return int(node.value)


def _bits(module: str, port: str) -> int:
    (found,) = (one.first for one in parsed(module).portlist.ports if one.first.name == port)
    return _number(found.width.msb) - _number(found.width.lsb) + 1


def test_the_buses_are_as_wide_as_the_table_needs() -> None:
    last = max(one.address for one in REGISTERS)
    for port in ("s_axil_awaddr", "s_axil_araddr"):
        assert last < 1 << _bits("hne_top", port)
    assert last // 4 < 1 << _bits("hne_csr", "read_address_i")
    for module, port in ((TOP, "count_o"), ("hne_csr", "count_i"), ("hne_counters", "count_o")):
        assert _bits(module, port) == 32 * len(COUNTERS), module


def test_an_illegal_module_is_never_there() -> None:
    stops = {one.module for one in nodes(parsed(TOP), vast.Instance)} - set(children(TOP))
    assert stops
    assert all(name.startswith(ILLEGAL) for name in stops)
    assert not stops & set(MODULES)
