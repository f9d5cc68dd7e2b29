"""An engine that takes batches, stepped one clock edge at a time: values and every counter.

The machine of slow_machine.py, whose columns now carry codes: they come from the banks and pages
of paged_memory.py and results go there, so that a pixel in a wrong place is a wrong value, or the
read of a place that nobody wrote. Of the timing model it shares nothing but the number of stages.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.reference_hash import virtual_weights
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.program import Program
from hwsim.program.wires import Place
from hwsim.units import pool, sequencer, softmax
from tests.property.batch_lanes import Lanes
from tests.property.paged_memory import PagedMemory, Room
from tests.property.slow_machine import Column, Pipe, SlowMac, lanes_read_in

Taps = list[tuple[int, int, int]]


@dataclass
class Answers:
    """What a batch computed. maps: of each layer and image (C, H, W), the logits of the last.

    layers: of each layer, what the engine counts, summed over the runs. events: what it did in all
    of them, by names of hwsim/cost/activity.py. cycles: ``total``. softmax: of the probability
    unit.
    """

    maps: list[list[NDArray[np.int64]]]
    layers: list[Counter[str]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    cycles: int = 0
    softmax: int = 0


@dataclass
class Sums:
    """Accumulators of a slot: by row of the row-tile and lane. pixel: number of the pixel tile."""

    tile: int
    pixel: int
    rows: list[list[int]]


def requantized(layer: Layer, config: EngineConfig, channel: int, sums: list[int]) -> int:
    """The code of one accumulator, of an addition of two; of the last layer, the logit."""
    if isinstance(layer, LutLayer):
        return int(layer.table[sums[0]])
    assert not isinstance(layer, PoolLayer)
    word = 0 if isinstance(layer, AverageLayer | AddLayer) else channel
    b = int(layer.bias[word])
    if is_last(layer):
        return sums[0] + b
    s = int(layer.shift[word])
    factors = layer.multiplier.tolist() if isinstance(layer, AddLayer) else [layer.multiplier[word]]
    p = sum(int(m) * acc for m, acc in zip(factors, sums, strict=True)) + b
    u = p >> s
    if config.requantization == "twice-away" and factors[-1] >= 1 << 30 and s > 31:
        # A half of 2^31 below the code of 0 goes down.
        u -= u <= layer.zero and p % (1 << s) < 1 << 31
    return min(max(u, layer.lo), layer.hi)


class BatchMac(SlowMac):
    """A run of a layer that sums. counters: by name, what the engine counts and does."""

    def __init__(self, layer: Layer, config: EngineConfig, lanes: Lanes) -> None:
        super().__init__(layer, config)
        self.layer, self.config, self.lanes = layer, config, lanes
        self.weights = virtual_weights(layer) if isinstance(layer, MacLayer) else None
        self.counters = Counter[str]()
        self.group_out = layer.group_out if isinstance(layer, MacLayer) else 1
        self.taps = self._taps()
        self.sums = Sums(0, 0, [])
        #: Behind the array, in the order in which they come to the shadow bank, and what of an
        #: addition waits for its second row.
        self.copies: deque[Sums] = deque()
        self.row = 0
        self.first: list[int] = []

    def _taps(self) -> Taps:
        """(channel of the group, row, column) of each column, or of the window."""
        height, width = self.layer.in_shape[1:] if self.fc else self.lanes.window.kernel
        channels = self.fan_in // (height * width)
        return [(c, y, x) for c in range(channels) for y in range(height) for x in range(width)]

    # --- columns --------------------------------------------------------------------------------

    def _issue(self, written: list[int]) -> int | None:
        tile, slot = self.tile, self.slot
        if tile == len(self.tiles):
            self.counters["drain"] += 1
            return None
        if slot == 0:
            lanes = len(self.lanes.images) if self.fc else len(self.lanes.spots(self.pixel)[1])
            rows = len(self.tiles[tile])
            self.sums = Sums(tile, self.pixel, [[0] * lanes for _ in range(rows)])
        done = super()._issue(written)
        if written[tile] < (slot + 1 if self.fc else self.fan_in):
            self.counters["post_stall" if self.held.out else "expander_stall"] += 1
            return None
        j, turn = divmod(slot, self.column_reads)
        if j < self.fan_in:
            self.counters["act_stall" if turn else "compute"] += 1
            self.lanes.events["tile_reads"] += turn == 0
            self._multiply(tile, j, turn)
        else:
            self.counters["post_stall"] += 1
        if done is not None:
            self.copies.append(self.sums)
        return done

    def _multiply(self, tile: int, j: int, turn: int) -> None:
        """The lanes that this cycle reads, times the weights of column j."""
        rows = self.tiles[tile]
        if self.fc:
            codes = dict(enumerate(self.lanes.column(*self.taps[j])))
        else:
            each = self.config.cols // self.column_reads
            group = range(turn * each, turn * each + each)
            source, c = 0, rows.start // self.group_out
            if isinstance(self.layer, AddLayer):
                source, c = j, rows.start // 2
            elif isinstance(self.layer, MacLayer):
                c = c * (self.layer.in_shape[0] // self.layer.groups) + self.taps[j][0]
            codes = self.lanes.tap(source, c, self.taps[j][1:], self.sums.pixel, group)
        for lane, code in codes.items():
            code = self.lanes.fill if code is None else code
            for number, row in enumerate(rows):
                weight = self._weight(row, j)
                self.sums.rows[number][lane] += weight * code
                # Of an addition, rows have a product each that is 0 and that nobody counts.
                useful = not isinstance(self.layer, AddLayer) or row % 2 == j
                self.counters["macs"] += useful

    def _weight(self, row: int, j: int) -> int:
        if self.weights is not None:
            return self.weights[row][j]
        if isinstance(self.layer, AddLayer):
            return int(row % 2 == j)
        return 1

    def _expand(self, released: int) -> Column | None:
        column = super()._expand(released)
        self.counters["columns"] += column is not None
        return column

    # --- results --------------------------------------------------------------------------------

    def _write(self, row: int) -> None:
        copy = self.copies[0]
        rows = self.tiles[copy.tile]
        assert row == rows[self.row], "rows come in another order than sums"
        found = copy.rows[self.row]
        events = self.lanes.events
        events["channel_reads"] += 1
        if self.lanes.target is not None:
            events["requantized"] += len(found)
        if isinstance(self.layer, LutLayer):
            events["table_reads"] += len(found)
        self.row += 1
        if self.row == len(rows):
            self.row = 0
            self.copies.popleft()
        if not isinstance(self.layer, AddLayer):
            codes = [requantized(self.layer, self.config, row, [acc]) for acc in found]
            self.lanes.write(row, copy.pixel, codes)
        elif row % 2 == 0:
            self.first = found
        else:
            both = zip(self.first, found, strict=True)
            codes = [requantized(self.layer, self.config, 0, list(pair)) for pair in both]
            self.lanes.write(row // 2, copy.pixel, codes)

    def run(self) -> int:
        cycles = super().run()
        self.counters["conflict_cycles"] = self.conflicts
        self.counters["expander_wait"] = self.blocked
        self.lanes.events["weight_reads"] = self.reads
        self.lanes.events["macs"] = self.counters["macs"]
        self.lanes.events["tile_writes"] = self.counters["columns"]
        return cycles


def pool_run(layer: PoolLayer, lanes: Lanes) -> Counter[str]:
    """A max-pool, read by read."""
    channels, out_h, out_w = layer.out_shape
    tiles = -(-out_w // lanes.cols)
    parts = lanes_read_in(layer.window.stride[1], lanes.cols, 0)
    each = lanes.cols // parts
    reads = iter(
        [
            (c, pixel, (ky, kx), part)
            for c in range(channels)
            for pixel in range(out_h * tiles)
            for ky in range(layer.window.kernel[0])
            for kx in range(layer.window.kernel[1])
            for part in range(parts)
        ]
    )
    left, cycles = channels * out_h * tiles, 0
    behind, best = Pipe(pool.FILL), dict[int, int]()
    last = (layer.window.kernel[0] - 1, layer.window.kernel[1] - 1), parts - 1
    while left:
        if behind.out is not None:
            lanes.write(*behind.out)
            left -= 1
        entering = None
        for c, pixel, kernel, part in itertools.islice(reads, 1):
            group = range(part * each, part * each + each)
            for lane, code in lanes.tap(0, c, kernel, pixel, group).items():
                if code is not None:
                    best[lane] = max(best.get(lane, code), code)
            if (kernel, part) == last:
                entering = c, pixel, [best[lane] for lane in sorted(best)]
                lanes.events["compares"] += len(best) * (layer.window.size - 1)
                best = {}
        behind.clock(entering)
        cycles += 1
    return Counter(cycles=cycles, compute=cycles)


def run(program: Program, images: Sequence[NDArray[np.int64]]) -> Answers:
    """A batch of 1 … BATCH images, integers (C, H, W)."""
    config = program.config
    assert 1 <= len(images) <= config.batch
    memory = PagedMemory(config.cols, config.batch, config.act_depth)
    _stream_in(program, memory, images)
    found = Answers(maps=[], cycles=sequencer.START)
    for layer, wire in zip(program.layers, program.wires, strict=True):
        counted = Counter[str](instruction=sequencer.FETCH)
        everyone = range(len(images))
        streams = isinstance(layer, MacLayer) and layer.kind == "fc"
        logits: dict[int, list[int]] = {}
        for some in [everyone] if streams else [range(b, b + 1) for b in everyone]:
            counted["instruction"] += sequencer.SETUP
            lanes = Lanes(program, layer, wire, memory, some)
            if isinstance(layer, PoolLayer):
                counted += pool_run(layer, lanes)
            else:
                machine = BatchMac(layer, config, lanes)
                counted["cycles"] += machine.run()
                counted += machine.counters
            logits |= lanes.logits
            found.events += lanes.events
        counted["cycles"] += counted["instruction"]
        found.layers.append(counted)
        found.cycles += counted["cycles"]
        found.maps.append(
            [
                np.array(logits[b])[:, None, None]
                if wire.target is None
                else _looked_at(program, memory, wire.target, layer, b)
                for b in everyone
            ]
        )
    if config.softmax:
        # Image after image reads its logits, and divides.
        each = program.classes * (1 + softmax.DIVIDE) + softmax.FILL + softmax.LOAD
        found.softmax = len(images) * each
    return found


def _stream_in(program: Program, memory: PagedMemory, images: Sequence[NDArray[np.int64]]) -> None:
    """A pixel a cycle, image after image."""
    room = Room(program, Place(0))
    for number, image in enumerate(images):
        for (c, y, x), code in np.ndenumerate(image):
            memory.write({room.cell(number, c, y, x): int(code)})


def _looked_at(
    program: Program, memory: PagedMemory, place: Place, layer: Layer, image: int
) -> NDArray[np.int64]:
    """What a layer wrote for an image (C, H, W), after its end."""
    room, shape = Room(program, place), layer.out_shape
    codes = [memory.codes[room.cell(image, *spot)] for spot in np.ndindex(shape)]
    return np.array(codes).reshape(shape)
