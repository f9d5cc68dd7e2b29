"""Cycles by layer in the Verilog and in the simulator, for docs/rtl.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwsim.cost.timing import TimingReport, analyze
from hwsim.files import markdown
from hwsim.networks.open import open_program
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program

FILE = Path(__file__).parents[2] / "docs" / "measured" / "cycles.json"
NETWORKS = ("mnist-cnn-h16-banked", "mnist-cnn-h16")
CONFIG = "default"
HEAD = (
    "cycles, Verilog", "simulator", "difference", "array busy", "cycles a column",
)  # fmt: skip


def words(layer: Layer) -> str:
    """conv 1→64, 3×3; pool 2×2; fc 6272→512; add."""
    if isinstance(layer, MacLayer) and layer.window is None:
        return f"fc {layer.fan_in}→{layer.n_out}"
    window = getattr(layer, "window", None)
    size = f"{window.kernel[0]}×{window.kernel[1]}" if window else ""
    if isinstance(layer, MacLayer):
        return f"conv {layer.in_shape[0]}→{layer.n_out}, {size}"
    return f"{layer.kind} {size}".rstrip()


def simulated(program: Program, report: TimingReport) -> list[dict[str, Any]]:
    """What the simulator says of each layer."""
    return [
        {"layer": words(layer), "cycles": timed.cycles, "columns": timed.columns}
        for layer, timed in zip(program.layers, report.layers, strict=True)
    ]


def measure() -> None:
    """Count in the Verilog and write docs/measured/cycles.json."""
    from hwsim.rtl import rtl_table

    found: dict[str, Any] = {"command": "python -m tools.tables --measure rtl", "config": CONFIG}
    for name in NETWORKS:
        program = open_program(name, CONFIG)
        report, run = rtl_table.count(program, analyze(program))
        rows = simulated(program, report)
        for row, counters in zip(rows, run.layers, strict=True):
            row["rtl"] = {key: counters[key] for key in ("total", "compute", "conflict_cycles")}
        found[name] = rows
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read(name: str) -> list[dict[str, Any]]:
    """What was measured of a network, layer by layer."""
    return json.loads(FILE.read_text(encoding="utf-8"))[name]


def table(name: str) -> str:
    """Both, layer by layer."""
    rows = []
    for row in read(name):
        counted, mac = row["rtl"], row["columns"] > 0
        busy, column = counted["compute"] / counted["total"], 0.0
        if mac:
            column = 1 + counted["conflict_cycles"] / row["columns"]
        rows.append(
            [row["layer"], f"{counted['total']:,}", f"{row['cycles']:,}",
             f"{counted['total'] - row['cycles']:,}", f"{busy:.1%}" if mac else "-",
             f"{column:.2f}" if mac else "-"]
        )  # fmt: skip
    return markdown.table([f"layer of {name}", *HEAD], rows)


def convolutions_busy(name: str) -> float:
    """Share of the cycles of all convolutions in which the array issues a column."""
    counted = [row["rtl"] for row in read(name) if row["layer"].startswith("conv")]
    return sum(one["compute"] for one in counted) / sum(one["total"] for one in counted)
