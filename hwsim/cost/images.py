"""Cycles, counters and energy of a Program for given images, where ``analyze`` knows the slowest.

Only an engine that skips tells images apart (``EngineConfig.skip``); on any other all rows are
equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.activity import Activity, skipping_activity
from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.skipping import VARYING, SkippingLayer
from hwsim.cost.timing import TimingReport, energy_rows, walk
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.units import sequencer

I64 = NDArray[np.int64]
#: Of each layer that skips, by its number: bool (N, fan_in) in (c, y, x) order, codes not 0.
Wanted = Mapping[int, NDArray[np.bool_]]
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
    of the layers that leave some out, by number of the layer.
    """

    def __init__(self, program: Program) -> None:
        costs = list(walk(program))
        self.layers = tuple(cost.timing for cost in costs)
        self.skipping: dict[int, SkippingLayer] = {}
        self._prices: dict[int, LayerPrice] = {}
        always = Activity()
        for number, (layer, cost) in enumerate(zip(program.layers, costs, strict=True)):
            skipping = None if cost.array is None else cost.array.skipping
            if skipping is None:
                always += cost.activity
                continue
            assert isinstance(layer, MacLayer)
            self.skipping[number] = skipping
            none, entry, read = (
                _nj(program, skipping_activity(layer, skipping, entries, reads))
                for entries, reads in ((0, 0), (1, 0), (0, 1))
            )
            self._prices[number] = LayerPrice(none, entry - none, read - none)
        self._always = _nj(program, always)

    def _static(self, name: str, count: int) -> I64:
        row = np.array([getattr(layer, name) for layer in self.layers], np.int64)
        return np.tile(row, (count, 1))

    def counters(self, wanted: Wanted, count: int) -> Counters:
        """Counters of ``count`` images, those of LayerTiming that an image decides.

        ``cycles`` are a layer's, its instruction included; sequencer.START belongs to none.
        """
        found = {name: self._static(name, count) for name in VARYING}
        for number, layer in self.skipping.items():
            counted = layer.counters(wanted[number])
            for name in VARYING:
                found[name][:, number] = getattr(counted, name)
        return found

    def bound(self, wanted: Wanted, count: int) -> I64:
        """Cycles of each layer, (count, layers), were every list known before its layer starts."""
        found = self._static("cycles", count)
        for number, layer in self.skipping.items():
            found[:, number] = layer.bound(wanted[number])
        return found

    def energy_nj(self, wanted: Wanted, count: int) -> NDArray[np.float64]:
        """nJ of each image, (count,), as ``TimingReport.energy`` counts it."""
        found = np.full(count, self._always)
        for number, layer in self.skipping.items():
            price, codes = self._prices[number], wanted[number]
            entries = np.maximum(codes.sum(1), 1)
            found += price.fixed + price.entry * entries + price.read * layer.bank_reads(codes)
        return found


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
