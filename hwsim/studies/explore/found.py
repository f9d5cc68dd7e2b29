"""What rows say of a design, as measured values: flips, LUTs, and which memories can be flipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.fpga.cell_model import CellCount
from hwsim.studies.explore.design import Design
from hwsim.studies.explore.objectives import Measured
from hwsim.studies.papers.faults import HALF
from hwsim.studies.runner.machines import card
from hwsim.studies.runner.task import Row


@dataclass(frozen=True)
class FlipsFound:
    """What searches in one memory found."""

    memory: str
    value: Measured
    least: int
    reached: tuple[bool, ...]

    @classmethod
    def of(cls, memory: str, rows: Sequence[Row], most: int, source: Any) -> FlipsFound:
        """rows: of each batch; a search that does not get there counts one more than it may."""
        counts, reached = [], []
        for row in rows:
            there = [
                step["bits"]
                for step in row["steps"]
                if step["accuracy"] is not None and step["accuracy"] <= HALF
            ]
            counts.append(there[0] if there else most + 1)
            reached.append(bool(there))
        found = Measured.batches(counts, reached, source)
        return cls(memory, found, min(counts), tuple(reached))


def cells_found(cells: CellCount) -> Measured:
    """LUTs, within their error; an extrapolated number has no ends."""
    off = cells.luts * cells.error
    return Measured(cells.luts, cells.luts - off, cells.luts + off, None, not cells.measured)


def memories(design: Design) -> tuple[str, ...]:
    """What can be flipped of a design: an index only where one is stored."""
    stored = design.engine.index == "sram" and card(design.network).scheme != "dense"
    return ("weights", "index") if stored else ("weights",)
