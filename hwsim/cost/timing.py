"""Cycles, stalls, utilization, memory and energy of a Program, composed from hwsim/units.

Data-driven: bank conflicts are counted from the real addresses of every layer, and the counters
equal those of the RTL. docs/timing.md describes the pipeline cycle by cycle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hwsim.cost import energy
from hwsim.cost.activity import Activity, array_activity, pool_activity
from hwsim.cost.batching import batched_activity, batched_layers, image_memories
from hwsim.cost.energy import EnergyReport, EnergyRow
from hwsim.cost.layer_timing import (
    STORAGE,
    ArrayWork,
    LayerTiming,
    array_timing,
    array_work,
    index_lines,
    pool_timing,
    weight_lines,
)
from hwsim.numbers.config import EngineConfig, check_batch
from hwsim.numbers.hashing import HashSpec
from hwsim.program.allocation import Peak
from hwsim.program.layers import MacLayer, PoolLayer
from hwsim.program.program import Program
from hwsim.program.wires import chain_wires
from hwsim.units import sequencer
from hwsim.units.softmax import cycles_softmax


@dataclass(frozen=True)
class TimingReport:
    """What one inference costs on ``config``, or a batch of ``images``, all of them together.

    cycles: ``total``, from the last pixel accepted to the last logit (and the argmax) ready.
    full_batch_cycles: the same of as many images as the engine takes together.
    stream_in, stream_out: cycles that the streams need at least, one value per cycle.
    softmax: cycles of the probability unit, 0 without. None of these is part of ``cycles``.

    memory_bits: weights + index for each way of storage, in the paper's terms: dense = virtual
    weights · WGT_W; index_sram = real weights · WGT_W + (⌈log2 K⌉ + 1) per virtual weight of the
    hashed layers; hash = real weights · WGT_W. allocated_bits: the same as the machine's memories
    hold it: banks padded to lines, index fields of 1 + ⌈log2 WGT_DEPTH⌉ bits, ROWS to a line,
    each word with its check bits. image_bits: of the memories that hold activations, logits and
    probabilities, of as many images as the engine takes together.
    dense_cycles: the same layers uncompressed on the same engine, as if their weights fitted.
    act_lines: lines of the activation memory that the maps take, beside the least possible.
    chain: each layer reads what the one before wrote, so that two alternating buffers would do.
    """

    config: EngineConfig
    images: int
    layers: tuple[LayerTiming, ...]
    cycles: int
    full_batch_cycles: int
    stream_in: int
    stream_out: int
    softmax: int
    memory_bits: dict[str, int]
    allocated_bits: dict[str, int]
    image_bits: dict[str, int]
    energy: EnergyReport
    dense_cycles: int
    act_lines: Peak
    chain: bool

    @property
    def seconds(self) -> float:
        return self.cycles / (self.config.clock_mhz * 1e6)

    @property
    def cycles_per_image(self) -> float:
        return self.cycles / self.images

    @property
    def nj_per_image(self) -> float:
        return self.energy.nj / self.images

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
            # ``images`` are those of ``hwsim timing --images``.
            "batch": self.images,
            "cycles": self.cycles,
            "cycles_per_image": self.cycles_per_image,
            "full_batch_cycles": self.full_batch_cycles,
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
            "energy_nj_per_image": self.nj_per_image,
            "energy": self.energy.to_dict(),
            "memory_bits": self.memory_bits,
            "allocated_bits": self.allocated_bits,
            "image_bits": self.image_bits,
            "act_lines": self._act_lines(),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def _act_lines(self) -> dict[str, int | None]:
        return {
            "depth": self.config.act_depth,
            "peak": self.act_lines.lines,
            "least": self.act_lines.least,
            "ping_pong": self.act_lines.ping_pong if self.chain else None,
        }


@dataclass(frozen=True)
class LayerCost:
    """A layer over time, what it does, and what it asks of the array (None of a max-pool)."""

    timing: LayerTiming
    activity: Activity
    array: ArrayWork | None


def walk(program: Program, dense: bool = False) -> Iterator[LayerCost]:
    """All layers of one image, one after the other; ``dense``: as if uncompressed."""
    config, time = program.config, sequencer.START
    for layer in program.layers:
        if isinstance(layer, PoolLayer):
            cost = LayerCost(pool_timing(layer, config, time), pool_activity(layer), None)
        else:
            spec = None
            if dense and isinstance(layer, MacLayer):
                spec = HashSpec.for_rate("dense", layer.n_out, layer.fan_in, 1.0)
            array = array_work(layer, config, spec)
            timing = array_timing(layer, array, config, time)
            cost = LayerCost(timing, array_activity(layer, array, config.skip), array)
        yield cost
        time = cost.timing.end


def _walk(
    program: Program, images: int, dense: bool = False
) -> tuple[tuple[LayerTiming, ...], Activity]:
    """Time of all layers for one image, and what they do together for ``images``."""
    costs = list(walk(program, dense))
    events = (batched_activity(cost.activity, cost.timing.kind, images) for cost in costs)
    return tuple(cost.timing for cost in costs), sum(events, Activity())


def _lines(program: Program) -> tuple[int, int]:
    """Lines of the weight memory, and of the index memory were all indices stored."""
    config, macs = program.config, program.mac_layers
    weights = sum(weight_lines(layer.spec, config) for layer in macs)
    return weights, sum(index_lines(layer, layer.spec, config) for layer in macs)


def energy_rows(program: Program, activity: Activity) -> tuple[EnergyRow, ...]:
    """``activity`` priced on the engine of ``program``, with memories as large as it needs."""
    config, (weights, indices) = program.config, _lines(program)
    mode = config.index_mode
    outside = energy.in_dram(config, weights, indices, mode)
    rows = energy.weight_rows(activity, config, weights, indices, mode, outside)
    return (*rows, *energy.datapath_rows(activity, config))


def _energy(program: Program, activity: Activity, dense: Activity) -> EnergyReport:
    config, mode = program.config, program.config.index_mode
    weights, indices = _lines(program)
    macs = program.mac_layers
    plain = sum(math.ceil(layer.spec.virtual_weights / config.banks) for layer in macs)
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
    return EnergyReport(energy_rows(program, activity), alternatives)


def analyze(program: Program, images: int = 1) -> TimingReport:
    """Cycles, memory and energy of a batch of ``images`` on the configuration of ``program``.

    The program must have passed ``hwsim.program.proof.check``; weights and input do not matter.
    Raises InputError unless the engine takes so many images together, 1 … ``batch``.
    """
    config = program.config
    check_batch(config, images)
    alone, activity = _walk(program, images)
    dense, dense_activity = _walk(program, images, dense=True)
    layers = tuple(batched_layers(alone, config, images))
    *_, last_of_full = batched_layers(alone, config, config.batch)
    *_, last_of_dense = batched_layers(dense, config, images)
    return TimingReport(
        config=config,
        images=images,
        layers=layers,
        cycles=layers[-1].end,
        full_batch_cycles=last_of_full.end,
        stream_in=images * math.prod(program.input_shape),
        stream_out=images * program.classes,
        softmax=images * cycles_softmax(program.classes) if config.softmax else 0,
        memory_bits={way: sum(one.memory_bits[way] for one in layers) for way in STORAGE},
        allocated_bits={way: sum(one.allocated_bits[way] for one in layers) for way in STORAGE},
        image_bits=image_memories(config),
        energy=_energy(program, activity, dense_activity),
        dense_cycles=last_of_dense.end,
        act_lines=program.memory_peak,
        chain=program.wires == chain_wires(program.layers),
    )
