"""The RTL as pyverilog parses it: modules, parameters, ports, instances."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pyverilog.vparser import ast as vast
from pyverilog.vparser.parser import VerilogParser

from hwsim.rtl.tree import module_file, modules

MODULES = modules()
#: Modules whose name stops elaboration; there are none of such names.
ILLEGAL = "hne_illegal_"
TOP = "hne_top"


@cache
def parsed(module: str, folder: Path | None = None) -> Any:
    """The syntax tree of a module; includes are put in place, directives left out."""
    text = _file(module, folder).read_text(encoding="utf-8")
    text = re.sub(r'`include "(.*?)"', lambda found: module_file(found[1]).read_text("utf-8"), text)
    text = re.sub(r"^`.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\(\* \w+ \*\)", "", text)  # attributes, which pyverilog does not know
    (definition,) = _parser().parse(text).description.definitions
    return definition


def _file(module: str, folder: Path | None) -> Path:
    return module_file(module) if folder is None else folder / f"{module}.v"


@cache
def _parser() -> VerilogParser:
    """One for all modules: to make its tables takes seconds."""
    with tempfile.TemporaryDirectory(prefix="hwsim-") as scratch:
        return VerilogParser(outputdir=scratch, debug=False)


def nodes(root: Any, *kinds: type) -> list[Any]:
    """All nodes of these kinds, the root among them, in the order of the source."""
    found = [root] if isinstance(root, kinds) else []
    for child in root.children():
        found += nodes(child, *kinds)
    return found


def parameters(module: Any) -> set[str]:
    """Names of the parameters of a module."""
    listed = nodes(module.paramlist, vast.Parameter) if module.paramlist else []
    return {one.name for one in listed if not isinstance(one, vast.Localparam)}


def ports(module: Any) -> dict[str, str]:
    """Name -> Input or Output, in order."""
    return {one.first.name: type(one.first).__name__ for one in module.portlist.ports}


def instances(module: Any) -> list[Any]:
    """Instances in a module, but not those that stop elaboration."""
    return [one for one in nodes(module, vast.Instance) if not one.module.startswith(ILLEGAL)]


def children(module: str) -> list[str]:
    """Modules that a module instantiates, each once, in the order of the source."""
    return list(dict.fromkeys(one.module for one in instances(parsed(module))))


def purpose(module: str, folder: Path | None = None) -> str:
    """The first words of the comment above a module, up to a stop."""
    text = _file(module, folder).read_text(encoding="utf-8")
    comment = text.split("`default_nettype none\n", 1)[1].split("\nmodule ", 1)[0]
    words = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    return re.split(r"[.:;,]( |$)|\(twin", words.strip())[0].strip()
