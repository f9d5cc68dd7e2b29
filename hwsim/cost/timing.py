"""Cycles, stalls, utilization, memory and energy of a Program, composed from hwsim/units.

Data-driven: bank conflicts are counted from the real addresses of every layer, and the counters
equal those of the RTL. docs/timing.md describes the pipeline cycle by cycle.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hwsim.cost import energy
from hwsim.cost.energy import Activity, EnergyReport
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import MacLayer, PoolLayer, Program
from hwsim.units import act_buffer, expander, index, mac_array, post, schedule, sequencer
from hwsim.units.expander import Expansion, expansion
from hwsim.units.pool import cycles_pool
from hwsim.units.schedule import RowTile
from hwsim.units.softmax import cycles_softmax

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

    columns: columns expanded (row-tiles x fan-in). conflict_cycles: Σ(X_j − 1). expander_wait:
    cycles in which the expander waited for the array to free half of the tile buffer; they overlap
    with the parts above. utilization: macs / (cycles · ROWS · COLS). array_share: part of the array
    that the layer can use at all, 1/COLS for fc. Bits: see ``TimingReport.memory_bits``.
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
class TimingReport:
    """What one inference costs on ``config``.

    cycles: ``total``, from the last pixel accepted to the last logit (and the argmax) ready.
    stream_in, stream_out: cycles that the streams need at least, one value per cycle.
    softmax: cycles of the probability unit, 0 without. None of these is part of ``cycles``.

    memory_bits: weights + index for each way of storage, in the paper's terms: dense = virtual
    weights · WGT_W; index_sram = real weights · WGT_W + (⌈log2 K⌉ + 1) per virtual weight of the
    hashed layers; hash = real weights · WGT_W. allocated_bits: the same as the machine's memories
    hold it: banks padded to lines, index fields of 1 + ⌈log2 WGT_DEPTH⌉ bits, ROWS to a line.
    dense_cycles: the same layers uncompressed on the same engine, as if their weights fitted.
    """

    config: EngineConfig
    layers: tuple[LayerTiming, ...]
    cycles: int
    stream_in: int
    stream_out: int
    softmax: int
    memory_bits: dict[str, int]
    allocated_bits: dict[str, int]
    energy: EnergyReport
    dense_cycles: int

    @property
    def seconds(self) -> float:
        return self.cycles / (self.config.clock_mhz * 1e6)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Useful share of all MAC slots from start to end."""
        return self.macs / (self.cycles * self.config.rows * self.config.cols)

    def total(self, part: str) -> int:
        """Sum of an integer field of the layers, e.g. ``total("conflict_cycles")``."""
        return sum(getattr(layer, part) for layer in self.layers)

    @property
    def stalls(self) -> dict[str, int]:
        """Cycles in which the array waited, by cause; disjoint, so that they may be added up."""
        return {
            "expander": self.total("expander_stall"),
            "activation": self.total("act_stall"),
            "post": self.total("post_stall"),
        }

    @property
    def bank_conflicts(self) -> int:
        """Cycles that conflicts cost the expander, Σ(X_j − 1).

        They are part of its stall where the array waits for them, and hidden where it still works
        on an earlier row-tile.
        """
        return self.total("conflict_cycles")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the row-tiles, JSON-serialisable."""
        parts = (
            "instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain",
            "columns", "conflict_cycles", "expander_wait", "macs",
        )  # fmt: skip
        return {
            "config": self.config.name,
            "index_mode": self.config.index_mode,
            "clock_mhz": self.config.clock_mhz,
            "cycles": self.cycles,
            "seconds": self.seconds,
            "microseconds": self.seconds * 1e6,
            "stalls": self.stalls,
            "bank_conflicts": self.bank_conflicts,
            **{part: self.total(part) for part in parts},
            "utilization": self.utilization,
            "stream_in": self.stream_in,
            "stream_out": self.stream_out,
            "softmax": self.softmax,
            "dense_cycles": self.dense_cycles,
            "energy_nj": self.energy.nj,
            "energy": self.energy.to_dict(),
            "memory_bits": self.memory_bits,
            "allocated_bits": self.allocated_bits,
            "layers": [layer.to_dict() for layer in self.layers],
        }


def _weight_lines(spec: HashSpec, config: EngineConfig) -> int:
    return math.ceil(spec.real_weights / config.banks)


def _index_lines(spec: HashSpec, config: EngineConfig) -> int:
    return 0 if spec.scheme == "dense" else math.ceil(spec.n_out / config.rows) * spec.fan_in


def _memory(spec: HashSpec, config: EngineConfig) -> tuple[dict[str, int], dict[str, int]]:
    """(bits needed, bits allocated) of one layer for each way of storage."""
    n, k, width = spec.virtual_weights, spec.real_weights, config.wgt_w
    # (k − 1).bit_length() is ⌈log2 k⌉ in integers.
    index_bits = 0 if spec.scheme == "dense" else ((k - 1).bit_length() + 1) * n
    needed = {"dense": n * width, "index_sram": k * width + index_bits, "hash": k * width}
    line = config.banks * width
    real = _weight_lines(spec, config) * line
    field_bits = 1 + config.addr_w
    allocated = {
        "dense": math.ceil(n / config.banks) * line,
        "index_sram": real + _index_lines(spec, config) * config.rows * field_bits,
        "hash": real,
    }
    return needed, allocated


def _pixel_tiles(layer: MacLayer, config: EngineConfig) -> int:
    if layer.kind == "fc":
        return 1
    return layer.out_shape[1] * math.ceil(layer.out_shape[2] / config.cols)


def _mac_timing(
    layer: MacLayer, spec: HashSpec, work: Expansion, config: EngineConfig, start: int
) -> LayerTiming:
    source = index.source_of(spec, config.index_mode)
    unit_start = start + sequencer.INSTRUCTION
    i_rounds = [index.cycles_row_tile(source, rows) for rows in work.tile_rows]
    latency = index.LATENCY[source] + expander.TURNS
    pixel_tiles = _pixel_tiles(layer, config)
    compute = work.columns * pixel_tiles
    if layer.kind == "fc":
        plan = schedule.fc_schedule(
            work.tile_rows,
            work.tile_cycles,
            index_latency=latency,
            row_tile_cycles=i_rounds,
            start=unit_start,
        )
        act_stall, post_stall = 0, plan.post_hold
    else:
        per_column = act_buffer.cycles_column(layer.stride, config.cols)
        used = max(work.tile_rows)
        slot = mac_array.cycles_slot(spec.fan_in, layer.stride, used, config.cols)
        plan = schedule.conv_schedule(
            work.tile_rows,
            work.tile_cycles,
            index_latency=latency,
            row_tile_cycles=i_rounds,
            slot=slot,
            pixel_tiles=pixel_tiles,
            start=unit_start,
        )
        slots = len(work.tile_rows) * pixel_tiles
        act_stall = compute * (per_column - 1)
        post_stall = slots * (slot - spec.fan_in * per_column)
    cycles = plan.end - start
    drain = mac_array.FILL + post.cycles_drain(work.tile_rows[-1])
    needed, allocated = _memory(spec, config)
    return LayerTiming(
        name=layer.name,
        kind=layer.kind,
        scheme=spec.scheme,
        start=start,
        cycles=cycles,
        instruction=sequencer.INSTRUCTION,
        compute=compute,
        act_stall=act_stall,
        post_stall=post_stall,
        expander_stall=cycles - sequencer.INSTRUCTION - compute - act_stall - post_stall - drain,
        drain=drain,
        columns=work.columns,
        conflict_cycles=work.conflict_cycles,
        expander_wait=plan.expander_wait,
        macs=layer.macs,
        utilization=layer.macs / (cycles * config.rows * config.cols),
        array_share=1 / config.cols if layer.kind == "fc" else 1.0,
        real_weights=spec.real_weights,
        virtual_weights=spec.virtual_weights,
        memory_bits=needed,
        allocated_bits=allocated,
        tiles=plan.tiles,
    )


def _pool_timing(layer: PoolLayer, config: EngineConfig, start: int) -> LayerTiming:
    channels, out_h, out_w = layer.out_shape
    busy = cycles_pool(channels, out_h, out_w, layer.kernel, layer.stride, config.cols)
    zero = dict.fromkeys(STORAGE, 0)
    return LayerTiming(
        name=layer.name,
        kind="pool",
        scheme="",
        start=start,
        cycles=sequencer.INSTRUCTION + busy,
        instruction=sequencer.INSTRUCTION,
        compute=busy,
        memory_bits=zero,
        allocated_bits=dict(zero),
    )


def _walk(program: Program, dense: bool = False) -> tuple[tuple[LayerTiming, ...], Activity]:
    """Time and events of all layers, one after the other; ``dense``: as if uncompressed."""
    config = program.config
    layers: list[LayerTiming] = []
    activity = Activity()
    time = sequencer.START
    for layer in program.layers:
        if isinstance(layer, PoolLayer):
            layers.append(_pool_timing(layer, config, time))
            activity += energy.pool_activity(layer)
        else:
            spec = layer.spec
            if dense:
                spec = HashSpec.for_rate("dense", spec.n_out, spec.fan_in, 1.0)
            work = expansion(spec, config.rows, config.banks)
            layers.append(_mac_timing(layer, spec, work, config, time))
            activity += energy.mac_activity(layer, spec, work, _pixel_tiles(layer, config))
        time = layers[-1].end
    return tuple(layers), activity


def _energy(program: Program, activity: Activity, dense: Activity) -> EnergyReport:
    config = program.config
    specs = [layer.spec for layer in program.mac_layers]
    weights = sum(_weight_lines(spec, config) for spec in specs)
    indices = sum(_index_lines(spec, config) for spec in specs)
    plain = sum(math.ceil(spec.virtual_weights / config.banks) for spec in specs)
    mode = config.index_mode
    outside = energy.in_dram(config, weights, indices, mode)
    rows = energy.weight_rows(activity, config, weights, indices, mode, outside)
    price = energy.alternative
    hashed = (
        price("this network, stored index", activity, config, weights, indices, "sram"),
        price("this network, hashed index", activity, config, weights, indices, "hash"),
    )
    uncompressed = (
        price("dense network", dense, config, plain, 0, mode),
        price("dense network, weights in DRAM", dense, config, plain, 0, mode, ("weights",)),
    )
    alternatives = (hashed if indices else ()) + uncompressed
    return EnergyReport(tuple(rows + energy.datapath_rows(activity, config)), alternatives)


def analyze(program: Program) -> TimingReport:
    """Cycles, memory and energy of one inference of ``program`` on its configuration.

    The program must have passed ``hwsim.program.proof.check``; weights and input do not matter.
    """
    layers, activity = _walk(program)
    dense_layers, dense_activity = _walk(program, dense=True)
    return TimingReport(
        config=program.config,
        layers=layers,
        cycles=layers[-1].end,
        stream_in=math.prod(program.input_shape),
        stream_out=program.classes,
        softmax=cycles_softmax(program.classes) if program.config.softmax else 0,
        memory_bits={way: sum(one.memory_bits[way] for one in layers) for way in STORAGE},
        allocated_bits={way: sum(one.allocated_bits[way] for one in layers) for way in STORAGE},
        energy=_energy(program, activity, dense_activity),
        dense_cycles=dense_layers[-1].end,
    )
