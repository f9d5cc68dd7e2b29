"""What an engine that skips issues in slots, in all layers but fc, stepped clock by clock.

A chooser picks a column, a chain of registers carries it to its issue, the lanes that come back say
which columns of a pixel tile were 0 in all of them. Of units/slots.py and cost/slotted.py it shares
nothing but the number of stages, of cycles in between and of columns looked at together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Layer, MacLayer
from hwsim.units import act_buffer, sequencer, slots
from tests.property.slow_machine import Column, Pipe, SlowMac


@dataclass(frozen=True)
class Choice:
    """What a cycle is for: ``part`` is its counter. blank: it passes over a window of zeros.

    column: its number, in its first cycle; seen: whether a lane that counts holds more than 0, of a
    column that is looked at on its way; ends, leaves: the last cycle of a slot, of a row-tile.
    """

    tile: int
    part: str
    lanes: int = 0
    blank: bool = False
    column: int | None = None
    seen: bool | None = None
    ends: bool = False
    leaves: bool = False


def pixel_tiles(
    layer: MacLayer, codes: NDArray[np.integer], cols: int
) -> Iterator[tuple[int, int, set[int], int]]:
    """(group, pixel tile, columns that hold more than 0 in a lane, lanes) of a convolution.

    Codes (C, H, W) are looked up one by one: what lies beyond the map holds the fill code.
    """
    assert layer.window is not None
    (kernel_h, kernel_w), (down, right) = layer.window.kernel, layer.window.stride
    top, left = layer.window.padding[:2]
    channels, height, width = codes.shape
    each, (_, out_h, out_w) = channels // layer.groups, layer.out_shape
    numbers: list[list[list[int]]] = codes.tolist()
    for group in range(layer.groups):
        taps = [
            (c, ky, kx)
            for c in range(group * each, group * each + each)
            for ky in range(kernel_h)
            for kx in range(kernel_w)
        ]
        number = 0
        for oy in range(out_h):
            for first in range(0, out_w, cols):
                lanes = range(first, min(first + cols, out_w))
                found = set()
                for j, (c, ky, kx) in enumerate(taps):
                    y = oy * down + ky - top
                    xs = [ox * right + kx - left for ox in lanes]
                    inside = 0 <= y < height
                    if any(
                        numbers[c][y][x] if inside and 0 <= x < width else layer.fill for x in xs
                    ):
                        found.add(j)
                yield group, number, found, len(lanes)
                number += 1


class SlowSlots(SlowMac):
    """``run`` as of SlowMac; counters: what the Verilog counts, by name."""

    def __init__(self, layer: Layer, config: EngineConfig, codes: NDArray[np.integer]) -> None:
        super().__init__(layer, config)
        self.rows = max(map(len, self.tiles))
        self.per_group, self.left_out = 0, False
        if isinstance(layer, MacLayer):
            self.per_group = len(self.tiles) // layer.groups
            self.left_out = self.per_group > 1 and self._fits(config)
            self.map = {
                (group, number): (found, lanes)
                for group, number, found, lanes in pixel_tiles(layer, codes, config.cols)
            }
        #: What the lanes said of the row-tiles so far, by group and pixel tile, in order.
        self.masks: dict[tuple[int, int], list[bool]] = {}
        self.choices = self._choices()
        self.chosen = Pipe(slots.SELECT)
        # From the issue to the lanes, one register that compares, one that is written.
        self.lane = Pipe(1 + act_buffer.FILL + 1 + 1)
        # A word is read, its output register.
        self.read = Pipe(2)
        self.known: Counter[tuple[int, int]] = Counter()
        self.full: list[int] = []
        self.counters = Counter[str]()

    def _fits(self, config: EngineConfig) -> bool:
        words = sum(1 for _ in range(0, self.fan_in, slots.WINDOW))
        return words * self.pixels <= config.skip_masks

    # --- the chooser ------------------------------------------------------------------------------

    def _choices(self) -> Iterator[Choice | None]:
        """Asked once a cycle; None where nothing is chosen."""
        for tile in range(len(self.tiles)):
            group, place = divmod(tile, self.per_group) if self.per_group else (tile, 0)
            if place == 1:
                for _ in range(slots.GAP):
                    yield None
            while self.full[tile] < self.fan_in:
                yield None
            for pixel in range(self.pixels):
                slot = self._slot(tile, group, pixel, find=self.per_group > 1 and place == 0)
                cycles = list(slot)
                rest = self.rows - len(cycles)
                cycles += [Choice(tile, "post_stall")] * rest
                *others, last = cycles
                yield from others
                yield replace(last, ends=True, leaves=pixel == self.pixels - 1)

    def _slot(self, tile: int, group: int, pixel: int, find: bool) -> Iterator[Choice]:
        """The cycles of a pixel tile but for its idle ones."""
        found, lanes = self.map[group, pixel] if self.per_group else (set(), 0)
        if find or not self.left_out:
            for j in range(self.fan_in):
                seen = (j in found) if find else None
                yield from self._column(tile, lanes, j, seen, (group, pixel))
            return
        flags = self.masks[group, pixel]
        # All that is read now was written, and read, before.
        assert self.known[group, pixel] == len(flags) == self.fan_in
        if not any(flags):
            flags = [False] * (self.fan_in - 1) + [True]
        for first in range(0, self.fan_in, slots.WINDOW):
            left = [j for j in range(first, min(first + slots.WINDOW, self.fan_in)) if flags[j]]
            for j in left:
                yield from self._column(tile, lanes, j, None, (group, pixel))
            if not left:
                yield Choice(tile, "act_stall", blank=True)

    def _column(
        self, tile: int, lanes: int, j: int, seen: bool | None, where: tuple[int, int]
    ) -> Iterator[Choice]:
        for turn in range(self.column_reads):
            last = turn == self.column_reads - 1
            if last and seen is not None:
                self.masks.setdefault(where, []).append(seen)
            part = "act_stall" if turn else "compute"
            yield Choice(tile, part, lanes, column=None if turn else j, seen=seen if last else None)

    # --- a cycle ----------------------------------------------------------------------------------

    def _issue(self, written: list[int]) -> int | None:
        """What was chosen is issued; another one is chosen."""
        self.full = written
        now: Choice | None = self.chosen.out
        if self.read.out is not None:
            self.known[self.read.out] += 1
        self.read.clock(self.lane.out)
        seen = None
        if now is not None and now.seen is not None:
            group = now.tile // self.per_group
            seen = (group, self.slot)
        self.lane.clock(seen)
        self.chosen.clock(next(self.choices, None))
        if now is None:
            over = self.tile == len(self.tiles)
            self.counters["drain" if over else "expander_stall"] += 1
            return None
        self.counters[now.part] += 1
        if now.column is not None:
            self.counters["macs"] += len(self.tiles[now.tile]) * now.lanes
            self.issued += 1
        if not now.ends:
            return None
        self.slot += 1
        if now.leaves:
            self.slot, self.tile = 0, self.tile + 1
            self.released += 1
        return now.tile

    def _expand(self, released: int) -> Column | None:
        column = super()._expand(released)
        self.counters["columns"] += column is not None
        return column

    def run(self) -> int:
        cycles = super().run()
        self.counters["conflict_cycles"] = self.conflicts
        self.counters["expander_wait"] = self.blocked
        self.counters["skipped"] = len(self.tiles) * self.pixels * self.fan_in - self.issued
        self.counters["cycles"] = cycles + sequencer.INSTRUCTION
        return cycles
