"""Cycles and memory of one layer: how it uses the array, or the pool.

docs/timing.md describes the pipeline cycle by cycle.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.cost.skipping import SkippingLayer, skips
from hwsim.cost.slotted import SlottedLayer, leaves_out, tiles_of_group
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.held import FaultyMacLayer
from hwsim.program.layers import AddLayer, AverageLayer, Layer, MacLayer, PoolLayer
from hwsim.program.program import row_tiles
from hwsim.units import act_buffer, expander, index, mac_array, post, schedule, sequencer, slots
from hwsim.units.expander import Expansion
from hwsim.units.pool import cycles_pool
from hwsim.units.schedule import RowTile, Schedule

#: The three ways of storing a network that every report compares.
STORAGE = ("dense", "index_sram", "hash")


@dataclass(frozen=True)
class LayerTiming:
    """One layer. Every cycle belongs to exactly one part; the parts add up to ``cycles``.

    start: boundary at which its instruction fetch begins, 0 is just after the last pixel. cycles:
    from there to its last result written. The parts:

    instruction: fetch and set-up. compute: the array (or the pool) takes one column per cycle.
    act_stall: the further cycles of columns that a stride makes slow to read. post_stall: the
    array (for fc: the expander) waits for the shadow bank to drain. expander_stall: the array
    waits for weights: conflicts, i-rounds and the fill of the pipeline. drain: from the last issue
    to the last write.

    columns: columns expanded (row-tiles x fan-in). skipped: columns that were not, on an engine
    that skips; there all this is about an input without a zero, the slowest. conflict_cycles:
    Σ(X_j − 1). expander_wait: cycles in which the expander waited for the array to free half of the
    tile buffer; they overlap with the parts above. runs: how often the layer runs, and all this is
    their sum: once for each image of a batch, an fc layer once. macs: products of the array, those
    with weights of one included. utilization: macs / (cycles · ROWS · COLS). array_share: part of
    the array that the layer can use at all: images/COLS for fc; rows of a group of ROWS for a
    grouped convolution, 1/ROWS where every channel stands alone. Bits: see
    ``TimingReport.memory_bits``.
    """

    name: str
    kind: str
    scheme: str
    start: int
    cycles: int
    instruction: int
    compute: int
    act_stall: int = 0
    post_stall: int = 0
    expander_stall: int = 0
    drain: int = 0
    columns: int = 0
    conflict_cycles: int = 0
    expander_wait: int = 0
    skipped: int = 0
    runs: int = 1
    macs: int = 0
    utilization: float = 0.0
    array_share: float = 0.0
    real_weights: int = 0
    virtual_weights: int = 0
    memory_bits: dict[str, int] = dataclasses.field(default_factory=dict)
    allocated_bits: dict[str, int] = dataclasses.field(default_factory=dict)
    tiles: tuple[RowTile, ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.cycles

    @property
    def column_cycles(self) -> float:
        """Mean X_j, cycles to expand a column; 0 for a pool."""
        return 1 + self.conflict_cycles / self.columns if self.columns else 0.0

    @property
    def effective_rate(self) -> float:
        """Real weights per virtual weight; 0 for a pool."""
        return self.real_weights / self.virtual_weights if self.virtual_weights else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable fields; the row-tiles are left to ``hwsim.cost.perfetto``."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["tiles"]
        return {**fields, "column_cycles": self.column_cycles, "rate": self.effective_rate}


@dataclass(frozen=True)
class ArrayWork:
    """What a layer asks of the array. work: row-tiles and their columns. stride: horizontal.

    spec: its weights; None where they are ones. share: the part of the array it can use at all.
    skipping: of an fc layer that leaves out zeros, what each of its columns costs; slotted: of a
    convolution that does. finding: row-tiles of a group of a convolution that may.
    """

    work: Expansion
    fan_in: int
    stride: int
    pixel_tiles: int
    spec: HashSpec | None
    share: float
    skipping: SkippingLayer | None = None
    slotted: SlottedLayer | None = None
    finding: int = 0

    @property
    def streams(self) -> bool:
        """Of an fc layer: columns pass the tile buffer, one pixel."""
        return self.pixel_tiles == 0


def array_work(layer: Layer, config: EngineConfig, spec: HashSpec | None = None) -> ArrayWork:
    """How a layer that sums uses the array. spec: in place of its own, that of a MacLayer."""
    assert not isinstance(layer, PoolLayer)
    _, out_h, out_w = layer.out_shape
    pixel_tiles = out_h * math.ceil(out_w / config.cols)
    if isinstance(layer, MacLayer):
        stored = layer.address if spec is None and isinstance(layer, FaultyMacLayer) else None
        spec = spec or layer.spec
        if skips(layer, config):
            found = SkippingLayer.of(layer, config, spec, stored)
            return ArrayWork(found.work, spec.fan_in, 1, 0, spec, 1 / config.cols, found)
        work = expander.expansion(spec, config.rows, config.banks, layer.groups, stored)
        if layer.window is None:
            return ArrayWork(work, spec.fan_in, 1, 0, spec, 1 / config.cols)
        rows = max(work.tile_rows) if layer.groups > 1 else config.rows
        stride = layer.window.stride[1]
        slotted = None
        if leaves_out(layer, config):
            slotted = SlottedLayer.of(layer, config, spec, work)
        return ArrayWork(
            work, spec.fan_in, stride, pixel_tiles, spec, rows / config.rows,
            slotted=slotted, finding=tiles_of_group(layer, config),
        )  # fmt: skip
    fan_in, stride, outputs = 1, 1, 1
    if isinstance(layer, AverageLayer):
        fan_in, stride = layer.window.size, layer.window.stride[1]
    elif isinstance(layer, AddLayer):
        fan_in, outputs = 2, 2
    work = expander.expansion_of_ones(layer.in_shape[0], outputs, fan_in)
    return ArrayWork(work, fan_in, stride, pixel_tiles, None, 1 / config.rows)


def products(layer: Layer, array: ArrayWork) -> int:
    """Multiply-accumulates of one inference, padding and products by one included."""
    if isinstance(layer, MacLayer):
        return layer.macs
    return array.fan_in * math.prod(layer.out_shape)


def weight_lines(spec: HashSpec, config: EngineConfig) -> int:
    """Lines of the weight memory."""
    return math.ceil(spec.real_weights / config.banks)


def index_lines(layer: MacLayer, spec: HashSpec, config: EngineConfig) -> int:
    """Lines of the index memory, were the indices stored."""
    return 0 if spec.scheme == "dense" else row_tiles(layer, config.rows) * spec.fan_in


def _memory(
    layer: MacLayer, spec: HashSpec, config: EngineConfig
) -> tuple[dict[str, int], dict[str, int]]:
    """(bits needed, bits allocated) of one layer for each way of storage."""
    n, k, width = spec.virtual_weights, spec.real_weights, config.wgt_w
    # (k − 1).bit_length() is ⌈log2 k⌉ in integers.
    index_bits = 0 if spec.scheme == "dense" else ((k - 1).bit_length() + 1) * n
    needed = {"dense": n * width, "index_sram": k * width + index_bits, "hash": k * width}
    line = config.banks * config.stored_bits(width)
    real = weight_lines(spec, config) * line
    field_bits = config.stored_bits(1 + config.addr_w)
    allocated = {
        "dense": math.ceil(n / config.banks) * line,
        "index_sram": real + index_lines(layer, spec, config) * config.rows * field_bits,
        "hash": real,
    }
    return needed, allocated


def _plan(array: ArrayWork, config: EngineConfig, start: int) -> tuple[Schedule, int, int]:
    """(row-tiles over time, cycles of a column, cycles of a slot); the latter 1, 0 of an fc."""
    spec, work = array.spec, array.work
    source = "counter" if spec is None else index.source_of(spec, config.index_mode)
    latency = index.latency(source, config.skip) + expander.TURNS
    i_rounds = [index.cycles_row_tile(source, rows) for rows in work.tile_rows]
    if array.streams:
        plan = schedule.fc_schedule(
            work.tile_rows,
            work.tile_cycles,
            index_latency=latency,
            row_tile_cycles=i_rounds,
            start=start,
            first=None if array.skipping is None else _first(array.skipping, start),
        )
        return plan, 1, 0
    slot = mac_array.cycles_slot(array.fan_in, array.stride, max(work.tile_rows), config.cols)
    plan = schedule.conv_schedule(
        work.tile_rows,
        work.tile_cycles,
        index_latency=latency,
        row_tile_cycles=i_rounds,
        slot=slot,
        pixel_tiles=array.pixel_tiles,
        start=start,
        select=slots.SELECT if config.skip else 0,
        finding=array.finding,
    )
    return plan, act_buffer.cycles_column(array.stride, config.cols), slot


def _first(layer: SkippingLayer, start: int) -> tuple[int, int]:
    """Begin and end of the first row-tile of an input without a zero."""
    found = layer.first_tile(np.ones((1, layer.fan_in), np.bool_))
    return start + int(found.start[0]), start + int(found.end[0])


def array_timing(layer: Layer, array: ArrayWork, config: EngineConfig, start: int) -> LayerTiming:
    """A layer that sums on the array, its instruction fetched from boundary ``start`` on."""
    work, spec = array.work, array.spec
    plan, per_column, slot = _plan(array, config, start + sequencer.INSTRUCTION)
    compute = work.columns * max(array.pixel_tiles, 1)
    act_stall = compute * (per_column - 1)
    if array.streams:
        post_stall = plan.post_hold
    else:
        slots = len(work.tile_rows) * array.pixel_tiles
        post_stall = slots * (slot - array.fan_in * per_column)
    cycles = plan.end - start
    drain = mac_array.FILL + post.cycles_drain(work.tile_rows[-1])
    needed, allocated = dict.fromkeys(STORAGE, 0), dict.fromkeys(STORAGE, 0)
    if isinstance(layer, MacLayer) and spec is not None:
        needed, allocated = _memory(layer, spec, config)
    macs = products(layer, array)
    stall = cycles - sequencer.INSTRUCTION - compute - act_stall - post_stall - drain
    if isinstance(layer, MacLayer) and layer.floor > cycles:
        cycles, drain = layer.floor, drain + layer.floor - cycles
    return LayerTiming(
        name=layer.name,
        kind=layer.kind,
        scheme=spec.scheme if spec else "",
        start=start,
        cycles=cycles,
        instruction=sequencer.INSTRUCTION,
        compute=compute,
        act_stall=act_stall,
        post_stall=post_stall,
        expander_stall=stall,
        drain=drain,
        columns=work.columns,
        conflict_cycles=work.conflict_cycles,
        expander_wait=plan.expander_wait,
        macs=macs,
        utilization=macs / (cycles * config.rows * config.cols),
        array_share=array.share,
        real_weights=spec.real_weights if spec else 0,
        virtual_weights=spec.virtual_weights if spec else 0,
        memory_bits=needed,
        allocated_bits=allocated,
        tiles=plan.tiles,
    )


def pool_timing(layer: PoolLayer, config: EngineConfig, start: int) -> LayerTiming:
    """A max-pool, in the unit of its own."""
    window = layer.window
    busy = cycles_pool(layer.out_shape, window.size, window.stride[1], config.cols)
    return LayerTiming(
        name=layer.name,
        kind="pool",
        scheme="",
        start=start,
        cycles=sequencer.INSTRUCTION + busy,
        instruction=sequencer.INSTRUCTION,
        compute=busy,
        memory_bits=dict.fromkeys(STORAGE, 0),
        allocated_bits=dict.fromkeys(STORAGE, 0),
    )
