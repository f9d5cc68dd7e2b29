"""Who declares, drives and reads the nets of a module, from its syntax tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyverilog.vparser import ast as vast

from tools.draw.verilog import ILLEGAL, nodes, parsed, ports

#: What holds a value or names one. Localparam is a Parameter, and so on.
_DECLARATIONS = (vast.Wire, vast.Reg, vast.Integer, vast.Genvar, vast.Parameter, vast.Ioport,
                 vast.Input, vast.Output, vast.Function)  # fmt: skip


@dataclass(frozen=True)
class Nets:
    """Names of one module. nets: wires and registers; ports are not among them."""

    declared: frozenset[str]
    nets: frozenset[str]
    driven: frozenset[str]
    read: frozenset[str]

    @property
    def undeclared(self) -> set[str]:
        return set((self.driven | self.read) - self.declared)

    @property
    def undriven(self) -> set[str]:
        return set(self.nets - self.driven)

    @property
    def unread(self) -> set[str]:
        """But for nets that say so: ``unused_`` collects what a module does not need."""
        return {name for name in self.nets - self.read if not name.startswith("unused_")}


def _target(node: Any) -> tuple[set[str], list[Any]]:
    """What an assignment writes, and the expressions that choose the place."""
    if isinstance(node, vast.Identifier):
        return {node.name}, []
    if isinstance(node, vast.Pointer):
        return _target(node.var)[0], [node.ptr]
    if isinstance(node, vast.Partselect):
        return _target(node.var)[0], [node.msb, node.lsb]
    names: set[str] = set()
    others: list[Any] = []
    for child in node.children():
        found, indices = _target(child)
        names |= found
        others += indices
    return names, others


def nets(module: Any) -> Nets:
    """Of a parsed module; includes count as its own text."""
    declared = {one.name for one in nodes(module, *_DECLARATIONS) if hasattr(one, "name")}
    declared |= set(ports(module))
    own = {one.name for one in nodes(module, vast.Wire, vast.Reg)} - set(ports(module))
    driven: set[str] = {name for name, way in ports(module).items() if way == "Input"}
    read: set[str] = {name for name, way in ports(module).items() if way == "Output"}

    def use(node: Any) -> None:
        read.update(one.name for one in nodes(node, vast.Identifier))

    def walk(node: Any) -> None:
        if isinstance(node, vast.Lvalue):
            names, indices = _target(node.var)
            driven.update(names)
            for index in indices:
                use(index)
        elif isinstance(node, vast.Instance):
            instance(node)
        elif isinstance(node, vast.Identifier):
            read.add(node.name)
        else:
            for child in node.children():
                walk(child)

    def instance(node: Any) -> None:
        for one in node.parameterlist:
            use(one)
        if node.module.startswith(ILLEGAL):
            return
        ways = ports(parsed(node.module))
        for port in node.portlist:
            if ways[port.portname] == "Output":
                names, indices = _target(port.argname)
                driven.update(names)
                for index in indices:
                    use(index)
            else:
                use(port.argname)

    walk(module)
    return Nets(frozenset(declared), frozenset(own), frozenset(driven), frozenset(read))
