"""Layers of an engine that skips, stepped one clock edge at a time: an fc layer's scanner and list.

Of units/skip.py and cost/skipping.py it shares nothing but the number of cycles in front of the
first line. What the registers of the list hold at an edge, the cycle behind it can see. All other
layers of the array: slow_slots.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Layer, MacLayer, PoolLayer
from hwsim.units import index, sequencer, skip
from tests.property.slow_machine import Column, SlowMac, slow_pool
from tests.property.slow_slots import SlowSlots


class Scanner:
    """Looks at a line of COLS codes a cycle, or longer: one code that is not 0 is listed a cycle.

    columns: the list as of the last edge. over: it is known that nothing more comes.
    """

    def __init__(self, codes: NDArray[np.integer], cols: int) -> None:
        channels, height, width = codes.shape
        self.lines = [
            [((c * height + y) * width + x) for x in range(left, min(left + cols, width))
             if codes[c, y, x] != 0]
            for c in range(channels) for y in range(height) for left in range(0, width, cols)
        ]  # fmt: skip
        self.waiting = skip.SCAN
        self.columns: list[int] = []
        self.over = False

    def clock(self) -> None:
        if self.waiting:
            self.waiting -= 1
        elif self.lines:
            if self.lines[0]:
                self.columns.append(self.lines[0].pop(0))
            if not self.lines[0]:
                self.lines.pop(0)
        elif not self.columns:
            self.columns.append(0)  # so that there is a sum
        else:
            self.over = True


class Everything:
    """In place of a scanner, where a layer skips nothing: all columns, known from the start."""

    def __init__(self, fan_in: int) -> None:
        self.columns = list(range(fan_in))
        self.over = True

    def clock(self) -> None:
        """Nothing to find out."""


class SlowSkip(SlowMac):
    """``run`` as of SlowMac; counters: what the Verilog counts, by name."""

    def __init__(self, layer: MacLayer, config: EngineConfig, codes: NDArray[np.integer]) -> None:
        super().__init__(layer, config)
        listed = config.skip and self.fan_in <= config.skip_columns
        self.scanner = Scanner(codes, config.cols) if listed else Everything(self.fan_in)
        self.counters = Counter[str]()

    def _entry(self) -> Iterator[Column | None]:
        """Asked once a move, in whose cycle the list is as of the edge before."""
        for number, rows in enumerate(self.tiles):
            if self.hashing:
                for _ in range(len(rows) + index.ROUND):
                    yield None
            taken = 0
            while not (self.scanner.over and taken == len(self.scanner.columns)):
                ahead = self.scanner.columns[taken + 1 :]
                if not ahead and not self.scanner.over:
                    yield None  # this may or may not be the last one
                    continue
                j = self.scanner.columns[taken]
                wanted = self.address[rows.start : rows.stop, j]
                yield Column(number, not ahead, list(wanted))
                taken += 1

    def _expand(self, released: int) -> Column | None:
        found = super()._expand(released)
        self.scanner.clock()
        return found

    def _issue(self, written: list[int]) -> int | None:
        part, done = "drain", None
        if self.tile < len(self.tiles):
            part = "post_stall" if self.held.out else "expander_stall"
            if written[self.tile] > self.slot:
                part = "compute"
                self.counters["macs"] += len(self.tiles[self.tile])
                self.slot += 1
                self.issued += 1
                if self.scanner.over and self.slot == len(self.scanner.columns):
                    done, self.slot = self.tile, 0
                    self.tile += 1
        self.counters[part] += 1
        return done

    def run(self) -> int:
        cycles = super().run()
        self.counters["conflict_cycles"] = self.conflicts
        self.counters["skipped"] = len(self.tiles) * self.fan_in - self.issued
        self.counters["columns"] = self.issued
        self.counters["cycles"] = cycles + sequencer.INSTRUCTION
        return cycles


def slow_layer(layer: Layer, config: EngineConfig, codes: NDArray[np.integer]) -> Counter[str]:
    """Counters of a layer that reads ``codes`` (C, H, W) on an engine that skips."""
    if isinstance(layer, PoolLayer):
        busy = slow_pool(layer, config.cols)
        return Counter(cycles=busy + sequencer.INSTRUCTION, compute=busy)
    fc = isinstance(layer, MacLayer) and layer.kind == "fc"
    machine = SlowSkip(layer, config, codes) if fc else SlowSlots(layer, config, codes)
    machine.run()
    return machine.counters
