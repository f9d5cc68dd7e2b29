"""The engine's layers stepped one clock edge at a time, for the timing model to be held against.

It shares no code with hwsim/cost but the names of the pipeline stages: it has addresses, pending
rows, a tile buffer with two halves, a shadow bank and shift registers, and only counts how many
clock edges pass. Its addresses come from the numpy hash, not from the kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.layers import AddLayer, AverageLayer, Layer, MacLayer, PoolLayer
from hwsim.units import expander, index, mac_array, pool, post, sequencer


@dataclass
class Pipe:
    """A chain of registers: what enters leaves ``length`` cycles later."""

    length: int
    stages: deque[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.stages = deque([None] * self.length, maxlen=self.length)

    @property
    def out(self) -> Any:
        """What the last register holds during this cycle."""
        return self.stages[-1]

    def clock(self, entering: Any) -> None:
        self.stages.appendleft(entering)  # and the last register forgets


@dataclass
class Column:
    """A column on its way: the rows that still wait for a word, by address."""

    tile: int
    last: bool
    pending: list[int]


def lanes_read_in(stride: int, cols: int, first_x: int) -> int:
    """Cycles to read COLS activations at distance ``stride`` from banks x mod COLS, in order."""
    waiting, cycles = [first_x + lane * stride for lane in range(cols)], 0
    while waiting:
        busy: set[int] = set()
        while waiting and waiting[0] % cols not in busy:
            busy.add(waiting.pop(0) % cols)
        cycles += 1
    return cycles


def row_tiles(layer: Layer, rows: int) -> list[range]:
    """Rows of each row-tile: none spans two groups, and each channel is one without weights."""
    outputs, count = 1, layer.out_shape[0]
    if isinstance(layer, MacLayer):
        outputs, count = layer.n_out // layer.groups, layer.n_out
    elif isinstance(layer, AddLayer):
        outputs, count = 2, 2 * count
    return [
        range(first, min(first + rows, end))
        for end in range(outputs, count + 1, outputs)
        for first in range(end - outputs, end, rows)
    ]


class SlowMac:
    """A layer that sums on the array; ``run`` returns the cycles until all is written."""

    def __init__(self, layer: Layer, config: EngineConfig) -> None:
        assert not isinstance(layer, PoolLayer)
        self.fc, self.banks = layer.kind == "fc", config.banks
        #: Of an engine that skips: the column's number and its product.
        self.before = index.COLUMN if config.skip else 0
        self.tiles = row_tiles(layer, config.rows)
        window = getattr(layer, "window", None)
        stride = window.stride[1] if window else 1
        if isinstance(layer, MacLayer):
            self._weights(layer.spec, config)
        else:
            self.address, self.hashing = None, False
            self.fan_in = 2 if isinstance(layer, AddLayer) else 1
            if isinstance(layer, AverageLayer):
                self.fan_in = layer.window.kernel[0] * layer.window.kernel[1]
            self.index = Pipe(index.LATENCY["counter"] + self.before + expander.TURNS)
        self.entry = self._entry()
        self.words = Pipe(expander.FILL)  # to the banks, bank read, sign, tile buffer write
        self.products = Pipe(mac_array.FILL)  # lanes, product, sum, shadow copy
        self.results = Pipe(post.FILL)  # scale, multiply (2), add, shift, clamp, write
        self.written = [0] * len(self.tiles)  # columns of each row-tile in the tile buffer
        self.released = 0  # row-tiles that the array has left
        self.full_drain = max(map(len, self.tiles))
        self.since_copy_issue = 0
        self.tile = self.pixel = self.slot = 0
        self.shadow: list[int] = []  # rows still to drain
        self.column_reads = 1 if self.fc else lanes_read_in(stride, config.cols, 3)
        x_tiles = -(-layer.out_shape[2] // config.cols)
        self.pixels = 1 if self.fc else layer.out_shape[1] * x_tiles
        self.drained_rows = 0
        self.conflicts = self.blocked = 0
        self.issued = self.reads = 0
        #: Of fc: the last column, all of whose rows are served, still stands in the expander. Seen
        #: by the array as late as the column would have come.
        self.held = Pipe(expander.FILL + sequencer.ISSUE)

    def _weights(self, spec: HashSpec, config: EngineConfig) -> None:
        """Index pipeline and turns; the last register is the column at the expander."""
        self.fan_in = spec.fan_in
        self.address, _ = table(spec)
        if spec.scheme == "dense":
            source: index.Source = "counter"
        else:
            source = "hash" if config.index_mode == "hash" else "sram"
        self.hashing = source == "hash"
        self.index = Pipe(index.LATENCY[source] + self.before + expander.TURNS)

    def _entry(self) -> Iterator[Column | None]:
        """What enters the index pipeline: an i-round of bubbles, then the columns of a row-tile."""
        for number, rows in enumerate(self.tiles):
            if self.hashing:
                for _row in rows:
                    yield None
                for _stage in range(index.ROUND):
                    yield None
            for j in range(self.fan_in):
                # Weights of one come from no bank.
                wanted = []
                if self.address is not None:
                    wanted = self.address[rows.start : rows.stop, j].tolist()
                yield Column(number, j == self.fan_in - 1, wanted)

    def _grant(self, column: Column) -> None:
        """Each bank reads the word of its first pending row; all rows that want it are served."""
        chosen: dict[int, int] = {}
        for address in column.pending:
            chosen.setdefault(address % self.banks, address)
        self.reads += len(chosen)
        column.pending = [a for a in column.pending if chosen[a % self.banks] != a]

    def _expand(self, released: int) -> Column | None:
        """One cycle of the expander; returns the column that it finishes."""
        column: Column | None = self.index.out
        finished, holds = column is None, False
        self.since_copy_issue += 1
        if column is not None:
            if not self.fc and column.tile >= released + 2:
                self.blocked += 1  # both halves of the tile buffer are in use
            else:
                self._grant(column)
                self.conflicts += bool(column.pending)
                finished = not column.pending
                if finished and self.fc and column.last:
                    finished = self.since_copy_issue >= self.full_drain
                    holds = not finished
        self.held.clock(holds or None)
        if not finished:
            return None
        self.index.clock(next(self.entry, None))
        if column is not None and column.last:
            self.since_copy_issue = 0
        return column

    def _issue(self, written: list[int]) -> int | None:
        """One cycle of the array's column counter; returns the row-tile whose sums are complete."""
        if self.tile == len(self.tiles):
            return None
        if self.fc:
            if written[self.tile] <= self.slot:
                return None
            self.slot += 1
            self.issued += 1
            if self.slot < self.fan_in:
                return None
        else:
            if written[self.tile] < self.fan_in:
                return None
            self.slot += 1
            self.issued += self.slot <= self.fan_in * self.column_reads
            # A pixel tile takes no less than the drain of the fullest row-tile before it.
            if self.slot < max(self.fan_in * self.column_reads, self.full_drain):
                return None
        done, self.slot = self.tile, 0
        self.pixel += 1
        if self.pixel == self.pixels:
            self.pixel, self.tile = 0, self.tile + 1
            self.released += 1
        return done

    def _write(self, row: int) -> None:
        """A row of the array is written."""

    def run(self) -> int:
        total = sum(map(len, self.tiles)) * self.pixels
        cycles = 0
        while self.drained_rows < total:
            released = self.released  # as of the last clock edge; written is, until it is counted
            if self.results.out is not None:
                self.drained_rows += 1
                self._write(self.results.out)
            self.results.clock(self.shadow.pop(0) if self.shadow else None)
            complete = self.products.out
            if complete is not None:
                assert not self.shadow, "the shadow bank is overwritten before it is drained"
                self.shadow = list(self.tiles[complete])
            self.products.clock(self._issue(self.written))
            arrived = self.words.out
            if arrived is not None:
                self.written[arrived.tile] += 1
            self.words.clock(self._expand(released))
            cycles += 1
        return cycles


def slow_pool(layer: PoolLayer, cols: int) -> int:
    """Cycles of a max-pool, read by read."""
    channels, out_h, out_w = layer.out_shape
    pipe, cycles, lines = Pipe(pool.FILL), 0, 0
    elements, wide, stride = layer.window.size, layer.window.kernel[1], layer.window.stride[1]
    left = layer.window.padding[1]
    reads = iter(
        [
            (tap, part) == (elements - 1, parts - 1)
            for _line in range(channels * out_h)
            for x in range(0, out_w, cols)
            for tap in range(elements)
            for parts in [lanes_read_in(stride, cols, x * stride + tap % wide - left)]
            for part in range(parts)
        ]
    )
    while lines < channels * out_h * -(-out_w // cols):
        lines += bool(pipe.out)
        pipe.clock(next(reads, None))
        cycles += 1
    return cycles
