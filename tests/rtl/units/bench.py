"""All units side by side in one module, so that their tests share one build and one simulation.

A port of unit ``name`` is a port ``name_port`` of the bench; the clock is shared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly

from hwsim.rtl.tree import module_file

#: Instance -> (module, parameters): small, and not all powers of two.
UNITS: dict[str, tuple[str, dict[str, int]]] = {
    "sequencer": ("hne_sequencer", dict(PROG_DEPTH=4)),
    "instruction": ("hne_instruction", dict(ROWS=3, COLS=4, BANKS=4, ACT_W=5, TILE_DEPTH=32,
                                            WGT_DEPTH=64, IDX_DEPTH=64, ACT_DEPTH=200,
                                            CHAN_DEPTH=16, LUT_TABLES=3, REQUANTIZATION=1,
                                            LINE_W=8)),
    "plain": ("hne_instruction", dict(ROWS=3, COLS=4, BANKS=4, ACT_W=9, TILE_DEPTH=32,
                                      WGT_DEPTH=64, IDX_DEPTH=64, ACT_DEPTH=200, CHAN_DEPTH=16,
                                      ADD=0, AVERAGE=0, GROUPS=0, LUT_TABLES=3, LINE_W=8)),
    "index": ("hne_index", dict(ROWS=3, INDEX_MODE=0, ADDR_W=8, IDX_DEPTH=64)),
    "hash": ("hne_index", dict(ROWS=3, INDEX_MODE=1, ADDR_W=8, IDX_DEPTH=64)),
    "weights": ("hne_weight_path", dict(ROWS=3, BANKS=4, WGT_W=6, INDEX_MODE=0, TILE_DEPTH=12,
                                        WGT_DEPTH=128, IDX_DEPTH=64)),
    "hashed": ("hne_weight_path", dict(ROWS=3, BANKS=4, WGT_W=6, INDEX_MODE=1, TILE_DEPTH=12,
                                       WGT_DEPTH=128, IDX_DEPTH=64)),
    "banks": ("hne_weight_banks", dict(BANKS=4, WGT_W=6, LINES=16)),
    "tile": ("hne_tile_buffer", dict(ROWS=2, WGT_W=5, TILE_DEPTH=6)),
    "act": ("hne_act_path", dict(COLS=4, ACT_W=5, ACT_DEPTH=512)),
    "array": ("hne_mac_array", dict(ROWS=3, COLS=2, ACT_W=5, WGT_W=4, ACC_W=32)),
    "tables": ("hne_lut", dict(COLS=3, ACT_W=4, LUT_TABLES=3)),
    "row_tiles": ("hne_row_tiles", dict(ROWS=3)),
    "divide": ("hne_divide", {}),
    "post": ("hne_post", dict(ROWS=3, COLS=2, ACT_W=5, ACC_W=32, MULT_W=8, REQUANTIZATION=1,
                          LINE_W=8, CHAN_W=5)),
    "pool": ("hne_pool", dict(COLS=2, ACT_W=5, LINE_W=8)),
    "softmax": ("hne_softmax", dict(ACC_W=32, DEPTH=16)),
    "wide": ("hne_softmax", dict(ACC_W=48, DEPTH=5)),
    "argmax": ("hne_argmax", dict(ACC_W=32, CLASS_W=4)),
    "csr": ("hne_csr", dict(ROWS=3, BANKS=4, BATCH=4, WGT_DEPTH=16, IDX_DEPTH=4, CHAN_DEPTH=4,
                            PROG_DEPTH=2)),
    "stream_in": ("hne_stream_in", dict(COLS=4, ACT_W=5, LINE_W=8)),
    "stream_out": ("hne_stream_out", dict(ACC_W=20, DEPTH=8, DATA_W=32)),
    "fifo": ("hne_fifo", dict(WIDTH=8, DEPTH=4)),
    "skid": ("hne_skid", dict(WIDTH=8)),
}  # fmt: skip

_PARAMETER = re.compile(r"parameter integer (\w+) = ([^\n]+?),?\n")
_PORT = re.compile(r"(input|output)\s+(?:wire|reg)(?:\s+signed)?\s*(\[[^\]]*\])?\s*(\w+)")


def _head(name: str) -> str:
    """Parameters and ports of a unit's module."""
    source = module_file(UNITS[name][0]).read_text(encoding="utf-8")
    return re.sub(r"//[^\n]*", "", source[source.index("\nmodule ") : source.index("\n);")])


def _ports(name: str) -> list[tuple[str, str, str]]:
    """(direction, range, port) of a unit."""
    return _PORT.findall(_head(name))


def text() -> str:
    """The bench as Verilog."""
    ports, body = ["input wire clk"], []
    for name, (module, given) in UNITS.items():
        defaults = dict(_PARAMETER.findall(_head(name)))

        def prefixed(expression: str, name: str = name, known: Any = defaults) -> str:
            return re.sub(
                r"[A-Z]\w*", lambda m: f"{name}_{m[0]}" if m[0] in known else m[0], expression
            )

        for parameter, default in defaults.items():
            value = given.get(parameter, prefixed(default))
            body.append(f"  localparam integer {name}_{parameter} = {value};")
        connections = []
        for way, width, port in _ports(name):
            if port == "clk_i":
                connections.append(".clk_i(clk)")
                continue
            ports.append(f"{way} wire {prefixed(width)} {name}_{port}")
            connections.append(f".{port}({name}_{port})")
        values = ", ".join(f".{parameter}({name}_{parameter})" for parameter in given)
        body.append(f"  {module} #({values}) {name} (\n    " + ",\n    ".join(connections) + ");")
    # Ranges name local parameters, so those stand first.
    constants = [line for line in body if line.startswith("  localparam")]
    rest = [line for line in body if not line.startswith("  localparam")]
    names = [port.split()[-1] for port in ports]
    declared = [f"  {port};" for port in ports]
    return "\n".join(
        [f"module bench ({', '.join(names)});", *constants, *declared, *rest, "endmodule", ""]
    )


def write(folder: Path) -> Path:
    """The bench as a file."""
    path = folder / "bench.v"
    path.write_text(text(), encoding="utf-8")
    return path


class Unit:
    """One unit of the bench: what its ports hold, cycle by cycle."""

    def __init__(self, dut: Any, name: str) -> None:
        self.dut, self.name = dut, name

    def __getitem__(self, port: str) -> int:
        return int(getattr(self.dut, f"{self.name}_{port}").value)

    def set(self, **values: int) -> None:
        for port, value in values.items():
            handle = getattr(self.dut, f"{self.name}_{port}")
            handle.value = value & (1 << len(handle)) - 1

    async def cycle(self, **values: int) -> None:
        """Go to the next cycle with these inputs; its outputs have settled."""
        await FallingEdge(self.dut.clk)
        self.set(**values)
        await ReadOnly()

    async def reset(self) -> None:
        """All inputs 0: they wake up with anything. A reset, where there is one."""
        ports = [port for way, _, port in _ports(self.name) if way == "input" and port != "clk_i"]
        await self.cycle(**dict.fromkeys(ports, 0))
        if "rst_i" not in ports:
            return
        await self.cycle(rst_i=1)
        await self.cycle()
        await self.cycle(rst_i=0)


def pack(values: Any, width: int) -> int:
    """Fields of ``width`` bits, the first one lowest."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (n * width) for n, value in enumerate(values))


def unpack(word: int, width: int, count: int, signed: bool = False) -> list[int]:
    """The fields of ``pack``."""
    fields = [word >> (n * width) & (1 << width) - 1 for n in range(count)]
    return [f - (1 << width) if signed and f >> (width - 1) else f for f in fields]
