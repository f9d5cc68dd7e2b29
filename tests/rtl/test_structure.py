"""The RTL as pyverilog parses it: parameters, ports and instances are what the tables say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyverilog.vparser import ast as vast
from pyverilog.vparser.parser import VerilogParser

from hwsim.config import load_config
from hwsim.rtl import RTL, TOP

pytestmark = pytest.mark.rtl

MODULES = sorted(path.stem for path in RTL.glob("hne_*.v"))
#: Modules whose name stops elaboration.
ILLEGAL = "hne_illegal_"


@cache
def parsed(module: str, scratch: Path) -> Any:
    """The syntax tree of a module; includes are put in place, directives left out."""
    text = (RTL / f"{module}.v").read_text(encoding="utf-8")
    text = re.sub(r'`include "(.*?)"', lambda found: (RTL / found[1]).read_text("utf-8"), text)
    text = re.sub(r"^`.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\(\* \w+ \*\)", "", text)  # attributes, which pyverilog does not know
    parser = VerilogParser(outputdir=str(scratch), debug=False)
    (definition,) = parser.parse(text).description.definitions
    return definition


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pyverilog")


def nodes(root: Any, kind: type) -> list[Any]:
    found = [root] if isinstance(root, kind) else []
    for child in root.children():
        found += nodes(child, kind)
    return found


def parameters(module: Any) -> set[str]:
    listed = nodes(module.paramlist, vast.Parameter) if module.paramlist else []
    return {one.name for one in listed if not isinstance(one, vast.Localparam)}


def ports(module: Any) -> dict[str, str]:
    """Name -> Input or Output, in order."""
    return {one.first.name: type(one.first).__name__ for one in module.portlist.ports}


@pytest.mark.parametrize("module", ["hne_top", "hne_csr", TOP])
def test_engine_parameters_are_those_of_the_configuration(module: str, scratch: Path) -> None:
    expected = set(load_config("tiny").verilog_parameters())
    found = parameters(parsed(module, scratch))
    # Beyond them there are widths that follow from them.
    assert expected <= found
    assert all(name.endswith("_W") for name in found - expected)


@pytest.mark.parametrize("module", MODULES)
def test_ports_say_their_direction(module: str, scratch: Path) -> None:
    """_i and _o, clock and reset first; the bus of hne_top has the names of its standard."""
    found = ports(parsed(module, scratch))
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
def test_every_instance_connects_every_port_by_name(module: str, scratch: Path) -> None:
    for instance in nodes(parsed(module, scratch), vast.Instance):
        if instance.module.startswith(ILLEGAL):
            continue
        child = parsed(instance.module, scratch)
        connected = [port.portname for port in instance.portlist]
        assert sorted(connected) == sorted(ports(child)), instance.name
        assert all(port.argname is not None for port in instance.portlist), instance.name
        given = {one.paramname for one in instance.parameterlist}
        assert given <= parameters(child), instance.name


def test_every_module_is_part_of_the_engine(scratch: Path) -> None:
    reached, waiting = set(), ["hne_top"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for instance in nodes(parsed(name, scratch), vast.Instance):
            if instance.module not in reached and not instance.module.startswith(ILLEGAL):
                waiting.append(instance.module)
    assert sorted(reached) == MODULES
