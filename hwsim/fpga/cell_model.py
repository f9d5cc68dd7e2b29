"""Cells of an engine without waiting for Yosys: a table of measured ones, and a model between.

``measured_cells.json`` (written by ``python -m tools.cells``) has what Yosys made of engines,
module by module. An engine that is not in it is interpolated, and modules add up:

- A module follows the terms of ``LAWS`` (the array rows · cols, crossbars rows · banks, comparisons
  of all rows rows², and so on) by non-negative least squares of relative errors over the engines
  without options that have it. A module that only engines with hashed, or stored, indices have
  belongs to those.
- An option (skip, check bits, another width) multiplies each module by what it did to it where it
  was measured: over the same engine without it, or over the law where the table has no such engine.
  Between 8 and 4 bits the factor is linear. Modules that only such engines have follow laws of
  their own.

Each engine of the table is predicted from the others where these allow it: the largest of these
errors is the error of all interpolated numbers. An engine with more rows, columns or banks than any
that was measured, or fewer, is extrapolated: by the same laws, and nobody knows how far off. Depths
are not in the model; everything else that a configuration can choose must be that of the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hwsim.files.content import digest
from hwsim.fpga.cell_laws import ModuleLaws, OptionUnknownError, options
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.build import content_digest
from hwsim.rtl.tree import sources

TABLE = Path(__file__).with_name("measured_cells.json")
COUNTS = ("luts", "flip_flops", "dsps")
#: Fields that the model knows, and those that it leaves out.
AXES = ("rows", "cols", "banks", "act_w", "wgt_w", "acc_w", "index_mode", "skip", "ecc")
LEFT_OUT = (
    "name", "clock_mhz", "batch", "tile_depth", "wgt_depth", "idx_depth", "act_depth",
    "chan_depth", "prog_depth", "skip_columns", "skip_masks",
)  # fmt: skip


def source_digest() -> str:
    """Of the Verilog that is here."""
    return content_digest(
        part for path in sources() for part in (path.name.encode(), path.read_bytes())
    )


@dataclass(frozen=True)
class CellCount:
    """Cells of an engine. origin: ``measured``, ``interpolated`` or ``extrapolated``; error:
    relative, of the LUTs, 0 of measured ones, inf of extrapolated ones.
    """

    luts: int
    flip_flops: int
    dsps: int
    origin: str
    error: float = 0.0

    @property
    def measured(self) -> bool:
        return self.origin == "measured"

    @classmethod
    def measured_now(cls, row: Mapping[str, Any]) -> CellCount:
        """From a row of ``hwsim.studies.explore.rows.cells``."""
        return cls(row["luts"], row["flip_flops"], row["dsps"], "measured")


@dataclass(frozen=True)
class CellPoint:
    """An engine of the table. axes: by AXES. modules: name -> cells, all instances together.

    source: the command, or the page, that they are from. logic: ``logic_of`` its configuration,
    whose depths the axes leave out.
    """

    axes: Mapping[str, Any]
    luts: int
    flip_flops: int
    dsps: int
    modules: Mapping[str, Mapping[str, int]]
    source: str
    logic: str = ""


def axes_of(config: EngineConfig) -> dict[str, Any]:
    """What of a configuration the model knows."""
    return {name: getattr(config, name) for name in AXES}


def rest_of(config: EngineConfig) -> str:
    """A digest of what the table must have in common with a configuration."""
    return digest({k: v for k, v in dict(config).items() if k not in {*AXES, *LEFT_OUT}})


def logic_of(config: EngineConfig) -> str:
    """A digest of all that the Verilog depends on."""
    data = config.model_dump()
    return digest({k: v for k, v in data.items() if k not in ("name", "clock_mhz")})


class CellModel:
    """The table, and the model over it.

    stale: the Verilog is another one than was measured; then nothing counts as measured.
    """

    def __init__(self, content: Mapping[str, Any], verilog: str | None = None) -> None:
        self.points = tuple(CellPoint(**one) for one in content["points"])
        self.rest = content["rest"]
        self.clocks: Sequence[Mapping[str, Any]] = content["routed"]
        self.stale = (source_digest() if verilog is None else verilog) != content["verilog"]

    @classmethod
    def load(cls) -> CellModel:
        """What ships with hwsim."""
        return cls(json.loads(TABLE.read_text(encoding="utf-8")))

    def cells(self, config: EngineConfig) -> CellCount | None:
        """Measured, or what the laws say; None of an engine unlike those of the table."""
        if rest_of(config) != self.rest or config.batch != 1:
            return None
        axes, logic = axes_of(config), logic_of(config)
        for one in self.points:
            if one.logic == logic and not self.stale:
                return CellCount(one.luts, one.flip_flops, one.dsps, "measured")
        try:
            luts, flip_flops, dsps = (round(self._laws(count).cells(axes)) for count in COUNTS)
        except OptionUnknownError:
            return None
        if self.beyond(axes):
            return CellCount(luts, flip_flops, dsps, "extrapolated", math.inf)
        return CellCount(luts, flip_flops, dsps, "interpolated", self.error)

    def beyond(self, axes: Mapping[str, Any]) -> bool:
        """Whether it has more rows, columns or banks than every engine that was measured, or fewer.

        Hash units go with the rows, so that rows are held against engines of the same index mode.
        """
        plain = [one.axes for one in self.points if not options(one.axes)]
        alike = [one for one in plain if one["index_mode"] == axes["index_mode"]]
        for name, held in (("rows", alike), ("cols", plain), ("banks", plain)):
            sizes = [one[name] for one in held]
            if not min(sizes) <= axes[name] <= max(sizes):
                return True
        return False

    def routed(self, config: EngineConfig) -> float | None:
        """MHz that place and route reached for just this logic; None where nobody has."""
        logic = logic_of(config)
        found = [float(one["mhz"]) for one in self.clocks if one["logic"] == logic]
        return found[0] if found and not self.stale else None

    @cached_property
    def _laws(self) -> Callable[[str], ModuleLaws]:
        made = {count: ModuleLaws(self.points, count) for count in COUNTS}
        return made.__getitem__

    @cached_property
    def errors(self) -> dict[int, float]:
        """By number of an engine of the table: relative error of its LUTs, predicted from the
        others; engines whose option no other has cannot be.
        """
        found = {}
        for number, one in enumerate(self.points):
            rest = [*self.points[:number], *self.points[number + 1 :]]
            try:
                found[number] = ModuleLaws(rest, "luts").cells(one.axes) / one.luts - 1
            except OptionUnknownError:
                continue
        return found

    @property
    def error(self) -> float:
        """The largest of ``errors`` in size; 1 where there are none."""
        return max((abs(one) for one in self.errors.values()), default=1.0)
