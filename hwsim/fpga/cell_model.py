"""Cells of an engine without waiting for Yosys: a table of measured ones, and a model between them.

``measured_cells.json`` (written by ``python -m tools.cells``) has what Yosys made of engines, each
module by itself. An engine that is not in it is interpolated: the cells of every module follow the
terms of ``TERMS`` by non-negative least squares of relative errors over the engines of the table
that have the module, and modules add up. The array costs rows · cols, crossbars rows · banks and
rows², lanes cols; words, options and check bits have terms of their own. Each engine of the table
is also predicted from the others: the largest of these errors is the error of all interpolated
numbers. Depths are not in the model; what else a configuration can choose must be that of the
table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.files.content import digest
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
    """Cells of an engine. origin: ``measured`` or ``interpolated``; error: relative, of the LUTs,
    0 of measured ones.
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
    """An engine of the table. axes: by AXES. modules: name -> LUTs, all instances together."""

    axes: Mapping[str, Any]
    luts: int
    flip_flops: int
    dsps: int
    modules: Mapping[str, Mapping[str, int]]


def axes_of(config: EngineConfig) -> dict[str, Any]:
    """What of a configuration the model knows."""
    return {name: getattr(config, name) for name in AXES}


def rest_of(config: EngineConfig) -> str:
    """A digest of what the table must have in common with a configuration."""
    fields = {k: v for k, v in dict(config).items() if k not in {*AXES, *LEFT_OUT}}
    return digest(fields)


def terms(axes: Mapping[str, Any]) -> NDArray[np.float64]:
    """What the cells of a module may be linear in."""
    rows, cols, banks = axes["rows"], axes["cols"], axes["banks"]
    bits, hashed = axes["act_w"], axes["index_mode"] == "hash"
    skip, ecc = axes["skip"], axes["ecc"]
    array = rows * cols
    return np.array(
        [
            1, rows, cols, array, rows * banks, rows * rows, array * bits / 8, cols * bits / 8,
            rows * bits / 8, hashed, hashed * rows, skip, skip * rows, skip * cols,
            ecc == "parity", (ecc == "parity") * (rows + banks), ecc == "secded",
            (ecc == "secded") * (rows + banks), (ecc == "secded") * cols,
        ],
        np.float64,
    )  # fmt: skip


def solved(points: Sequence[CellPoint], target: Sequence[float]) -> NDArray[np.float64]:
    """Non-negative weights of the terms, for the least relative errors.

    By projected coordinate descent: scipy is no dependency. A ridge of a millionth keeps terms that
    the points cannot tell apart from growing against each other.
    """
    y = np.maximum(np.asarray(target, np.float64), 1.0)
    a = np.stack([terms(one.axes) for one in points]) / y[:, None]
    scale = np.maximum(np.abs(a).max(0), 1e-12)
    a = a / scale
    gram, aim = a.T @ a + 1e-6 * np.eye(a.shape[1]), a.T @ np.ones(len(points))
    found = np.zeros(a.shape[1])
    for _ in range(4000):
        for k in range(len(found)):
            found[k] = max(0.0, found[k] + (aim[k] - gram[k] @ found) / gram[k, k])
    weights: NDArray[np.float64] = found / scale
    return weights


class CellModel:
    """The table, and the model over it. Without points it knows nothing.

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
        """Measured, or interpolated; None of an engine unlike those of the table."""
        if rest_of(config) != self.rest or config.batch != 1 or not self.points:
            return None
        axes = axes_of(config)
        for one in self.points:
            if one.axes == axes and not self.stale:
                return CellCount(one.luts, one.flip_flops, one.dsps, "measured")
        luts, flip_flops, dsps = (round(self._sum(name, axes)) for name in COUNTS)
        return CellCount(luts, flip_flops, dsps, "interpolated", self.error)

    def routed(self, config: EngineConfig) -> float | None:
        """MHz that place and route reached for just this logic; None where nobody has."""
        logic = {k: v for k, v in config.model_dump().items() if k not in ("name", "clock_mhz")}
        for one in self.clocks:
            if digest(logic) == one["logic"] and not self.stale:
                return float(one["mhz"])
        return None

    def _sum(self, count: str, axes: Mapping[str, Any]) -> float:
        return float(terms(axes) @ self._weights(count))

    def _weights(self, count: str) -> NDArray[np.float64]:
        if count not in self._fitted:
            self._fitted[count] = solved(self.points, [getattr(p, count) for p in self.points])
        return self._fitted[count]

    @cached_property
    def _fitted(self) -> dict[str, NDArray[np.float64]]:
        return {}

    @cached_property
    def errors(self) -> tuple[float, ...]:
        """Relative error of the LUTs of each engine of the table, predicted from the others."""
        found = []
        for number, one in enumerate(self.points):
            rest = [*self.points[:number], *self.points[number + 1 :]]
            if rest:
                guess = float(terms(one.axes) @ solved(rest, [p.luts for p in rest]))
                found.append(guess / one.luts - 1)
        return tuple(found)

    @property
    def error(self) -> float:
        """The largest of ``errors`` in size."""
        return max((abs(one) for one in self.errors), default=1.0)
