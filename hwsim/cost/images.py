"""Cycles, counters and energy of a Program for given images, where ``analyze`` knows the slowest.

Only an engine that skips tells images apart (``EngineConfig.skip``); on any other all rows are
equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.activity import Activity, left_out, skipping_activity
from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.skipping import VARYING, SkippingLayer
from hwsim.cost.slotted import SlottedLayer
from hwsim.cost.timing import TimingReport, energy_rows, walk
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.units import sequencer

I64 = NDArray[np.int64]
#: Of each layer that skips, by its number. Fully connected: bool (N, fan_in) in (c, y, x) order,
#: codes not 0; a convolution: the codes that it reads, (N, H, W, C).
Wanted = Mapping[int, NDArray[Any]]
#: Name of a counter of LayerTiming -> int64 (N, layers).
Counters = dict[str, I64]


@dataclass(frozen=True)
class LayerPrice:
    """nJ of a layer that skips: without a column, of each entry of the list, of each bank read."""

    fixed: float
    entry: float
    read: float


class ImageTiming:
    """A program's counters, image by image.

    layers: LayerTiming of each layer, of an input without a zero. skipping: what the columns cost
    of the fc layers that leave some out, by number of the layer; slotted: of convolutions.
    """

    def __init__(self, program: Program) -> None:
        costs = list(walk(program))
        self.layers = tuple(cost.timing for cost in costs)
        self.skipping: dict[int, SkippingLayer] = {}
        self.slotted: dict[int, SlottedLayer] = {}
        self._prices: dict[int, LayerPrice] = {}
        self._columns: dict[int, float] = {}
        self._floors = [getattr(layer, "floor", 0) for layer in program.layers]
        always = Activity()
        for number, (layer, cost) in enumerate(zip(program.layers, costs, strict=True)):
            skipping = None if cost.array is None else cost.array.skipping
            if skipping is None:
                always += cost.activity
                if cost.array is not None and cost.array.slotted is not None:
                    assert isinstance(layer, MacLayer)
                    slotted = self.slotted[number] = cost.array.slotted
                    nothing = _nj(program, left_out(layer, cost.array))
                    self._columns[number] = nothing / slotted.columns
                continue
            assert isinstance(layer, MacLayer)
            self.skipping[number] = skipping
            none, entry, read = (
                _nj(program, skipping_activity(layer, skipping, entries, reads))
                for entries, reads in ((0, 0), (1, 0), (0, 1))
            )
            self._prices[number] = LayerPrice(none, entry - none, read - none)
        self._always = _nj(program, always)

    @property
    def varying(self) -> dict[int, SkippingLayer | SlottedLayer]:
        """All layers whose cycles an image decides, by number."""
        return {**self.skipping, **self.slotted}

    @property
    def worst(self) -> I64:
        """Cycles of each layer, (layers,), that no image exceeds: the worst case of padding.

        One without a zero is the slowest, or one of nothing but zeros, whose list gets its one
        entry a cycle late.
        """
        found = self._static("cycles", 1)
        blank = {n: np.zeros_like(one) for n, one in self.full().items()}
        worst: I64 = np.maximum(found, self.counters(blank, 1)["cycles"])[0]
        return worst

    def read(self, number: int, codes: NDArray[Any]) -> NDArray[Any]:
        """``Wanted`` of one layer: of the codes (N, H, W, C) that it reads."""
        if number in self.slotted:
            return codes
        turned = codes.transpose(0, 3, 1, 2)
        flags = np.empty(turned.shape, np.bool_)
        np.not_equal(turned, 0, out=flags)
        return flags.reshape(len(codes), -1)

    def full(self) -> Wanted:
        """What the layers read of one image without a zero."""
        return {n: np.ones((1, *one.shape[1:]), one.dtype) for n, one in self.nothing().items()}

    def nothing(self) -> Wanted:
        """What the layers read of no image."""
        fc = {n: np.zeros((0, one.fan_in), np.bool_) for n, one in self.skipping.items()}
        conv = {n: np.zeros((0, *one.shape), np.uint8) for n, one in self.slotted.items()}
        return {**fc, **conv}

    def _static(self, name: str, count: int) -> I64:
        row = np.array([getattr(layer, name) for layer in self.layers], np.int64)
        return np.tile(row, (count, 1))

    def counters(self, wanted: Wanted, count: int) -> Counters:
        """Counters of ``count`` images, those of LayerTiming that an image decides.

        ``cycles`` are a layer's, its instruction included; sequencer.START belongs to none.
        """
        found = {name: self._static(name, count) for name in VARYING}
        for number, layer in self.varying.items():
            counted = layer.counters(wanted[number])
            for name in VARYING:
                found[name][:, number] = getattr(counted, name)
            wait = np.maximum(self._floors[number] - counted.cycles, 0)
            for name in ("cycles", "drain"):
                found[name][:, number] += wait
        return found

    def bound(self, wanted: Wanted, count: int) -> I64:
        """Cycles of each layer, (count, layers), were every list known before its layer starts."""
        found = self._static("cycles", count)
        for number, layer in self.varying.items():
            found[:, number] = layer.bound(wanted[number])
        return found

    def energy_nj(self, wanted: Wanted, count: int) -> NDArray[np.float64]:
        """nJ of each image, (count,), as ``TimingReport.energy`` counts it."""
        found = np.full(count, self._always)
        for number, layer in self.skipping.items():
            price, codes = self._prices[number], wanted[number]
            entries = np.maximum(codes.sum(1), 1)
            found += price.fixed + price.entry * entries + price.read * layer.bank_reads(codes)
        for number, slotted in self.slotted.items():
            less = slotted.columns - slotted.issued(wanted[number])
            found -= self._columns[number] * less
        return found

    def column_nj(self, number: int) -> NDArray[np.float64]:
        """nJ of each code of a layer that skips if it is not 0, (C·H·W,)."""
        if number in self.slotted:
            return self._columns[number] * self.slotted[number].element_columns()
        price, reads = self._prices[number], self.skipping[number].reads.sum(0, dtype=np.float64)
        return price.entry + price.read * reads

    def column_cycles(self, number: int) -> NDArray[np.float64]:
        """Cycles that each code costs a layer that skips if it is not 0, all lanes alone."""
        if number in self.slotted:
            one = self.slotted[number]
            return one.column * one.element_columns()
        return self.skipping[number].cost.sum(0, dtype=np.float64)


def _nj(program: Program, activity: Activity) -> float:
    return sum(row.nj for row in energy_rows(program, activity))


def report_of(report: TimingReport, counters: Counters, image: int) -> TimingReport:
    """The report of one image of ``counters``: its layers and cycles; all else is the slowest's."""
    config, start = report.config, sequencer.START
    layers: list[LayerTiming] = []
    for number, layer in enumerate(report.layers):
        values = {name: int(found[image, number]) for name, found in counters.items()}
        found = dataclasses.replace(layer, start=start, **values)  # type: ignore[arg-type]
        slots = found.cycles * config.rows * config.cols
        found = dataclasses.replace(found, utilization=found.macs / slots, tiles=())
        layers.append(found)
        start = found.end
    return dataclasses.replace(report, layers=tuple(layers), cycles=start)
