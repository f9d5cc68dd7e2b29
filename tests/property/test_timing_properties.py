"""The closed recurrences of the timing model against a machine stepped one cycle at a time.

The machine is in slow_machine.py; that of layers that skip is in slow_skipping.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cost.timing import analyze
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import SCHEMES, HashSpec
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    Window,
)
from hwsim.program.program import Program
from hwsim.program.wires import Wire, chain_wires
from hwsim.units import index, sequencer
from tests.property.slow_machine import SlowMac, slow_pool
from tests.unit.test_timing import PARTS, mac

# --- random programs ----------------------------------------------------------------------------


@st.composite
def configs(draw: Any) -> EngineConfig:
    rows = draw(st.integers(1, 9))
    return load_config("default").replace(
        rows=rows,
        cols=2 ** draw(st.integers(0, 3)),
        banks=2 ** draw(st.integers((rows - 1).bit_length(), 5)),
        index_mode=draw(st.sampled_from(["sram", "hash"])),
    )


@st.composite
def specs(draw: Any, n_out: int, fan_in: int) -> HashSpec:
    scheme = draw(st.sampled_from(SCHEMES))
    rate = draw(st.sampled_from([1.0, 0.5, 0.1, 0.01]))
    seed = draw(st.integers(0, 2**32 - 1))
    return HashSpec.for_rate(scheme, n_out, fan_in, rate, seed, 2 ** draw(st.integers(0, 5)))


@st.composite
def windows(draw: Any, sides: tuple[int, ...], kernel: int, stride: int, padded: bool) -> Window:
    """Of any sides that fit, up to ``kernel`` and ``stride``."""
    kernels = tuple(draw(st.integers(1, min(kernel, side))) for side in sides)
    strides = tuple(draw(st.integers(1, stride)) for _ in sides)
    pads = [draw(st.integers(0, k - 1)) if padded else 0 for k in kernels]
    return Window(kernels, strides, (pads[0], pads[1], pads[0], pads[1]))  # type: ignore[arg-type]


@st.composite
def hidden(draw: Any, name: str, shape: Shape, rows: int) -> Layer:
    """A hidden layer of any kind; an addition needs two rows."""
    c, *sides = shape
    one, words = np.zeros(1, np.int32), np.zeros(1, np.int64)
    kind = draw(
        st.sampled_from(["conv", "pool", "average", "affine", "lut", "add"][: 5 + (rows > 1)])
    )
    if kind == "conv":
        window = draw(windows(sides, 5, 4, True))
        groups = draw(st.sampled_from([n for n in range(1, c + 1) if c % n == 0]))
        n_out = groups * draw(st.integers(1, max(1, 20 // groups)))
        spec = draw(specs(n_out, c // groups * window.size))
        layer = mac("conv", shape, spec, groups=groups)
        out = (n_out, *window.out_sides(*sides))
        return dataclasses.replace(layer, name=name, window=window, out_shape=out)
    if kind == "pool":
        window = draw(windows(sides, 3, 6, True))
        return PoolLayer(name, shape, (c, *window.out_sides(*sides)), window)
    if kind == "average":
        window = draw(windows(sides, 4, 6, False))
        out = (c, *window.out_sides(*sides))
        return AverageLayer(name, shape, out, window, one, one, words, last=False, scale=1, hi=1)
    if kind == "affine":
        return AffineLayer(name, shape, one, one, words, last=False, scale=1, hi=1)
    if kind == "lut":
        return LutLayer(name, shape, one, scale=1)
    return AddLayer(name, shape, one, one, words, scale=1, hi=1)


@st.composite
def programs(draw: Any) -> Program:
    """Up to three hidden layers of any kind and one or two fc layers; small, but every corner."""
    config = draw(configs())
    shape = source = (draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    layers: list[Layer] = []
    for number in range(draw(st.integers(0, 3))):
        layers.append(draw(hidden(f"layer{number}", shape, config.rows)))
        shape = layers[-1].out_shape
    for _ in range(draw(st.integers(1, 2))):
        c, h, w = shape
        layers.append(mac("fc", shape, draw(specs(draw(st.integers(1, 25)), c * h * w))))
        shape = layers[-1].out_shape
    # An addition adds a map to itself.
    wires = [
        Wire(wire.sources * 2, wire.target) if isinstance(layer, AddLayer) else wire
        for layer, wire in zip(layers, chain_wires(layers), strict=True)
    ]
    return Program.graph(config, layers, wires, source)


# --- what must hold -----------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(programs())
def test_the_recurrence_equals_a_machine_stepped_cycle_by_cycle(program: Program) -> None:
    report = analyze(program)
    clock = sequencer.START
    for layer, ours in zip(program.layers, report.layers, strict=True):
        clock += sequencer.INSTRUCTION
        if isinstance(layer, PoolLayer):
            clock += slow_pool(layer, program.config.cols)
        else:
            machine = SlowMac(layer, program.config)
            clock += machine.run()
            assert ours.conflict_cycles == machine.conflicts
            assert ours.compute + ours.act_stall == machine.issued
            assert ours.expander_wait == machine.blocked
        assert ours.end == clock
    assert report.cycles == clock


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(programs(), st.data())
def test_a_batch_takes_what_the_machine_takes_run_after_run(
    program: Program, data: st.DataObject
) -> None:
    config = program.config.replace(batch=program.config.cols)
    images = data.draw(st.integers(1, config.batch))
    report = analyze(program.replace(config=config), images)
    clock = sequencer.START
    for layer, ours in zip(program.layers, report.layers, strict=True):
        fetched = clock
        clock += sequencer.FETCH
        conflicts = issued = blocked = 0
        for _ in range(1 if layer.kind == "fc" else images):
            clock += sequencer.SETUP
            if isinstance(layer, PoolLayer):
                clock += slow_pool(layer, config.cols)
                continue
            machine = SlowMac(layer, config)
            clock += machine.run()
            conflicts += machine.conflicts
            issued += machine.issued
            blocked += machine.blocked
        assert (ours.start, ours.end) == (fetched, clock)
        if not isinstance(layer, PoolLayer):
            found = ours.conflict_cycles, ours.compute + ours.act_stall, ours.expander_wait
            assert found == (conflicts, issued, blocked)
        assert sum(getattr(ours, part) for part in PARTS) == ours.cycles
        assert 0 <= ours.utilization <= ours.array_share
        assert all(fetched < tile.expand_start <= tile.drain_end <= clock for tile in ours.tiles)
    assert report.cycles == clock


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(programs())
def test_the_parts_of_a_layer_add_up_and_are_never_negative(program: Program) -> None:
    report = analyze(program)
    for layer in report.layers:
        assert min(getattr(layer, part) for part in PARTS) >= 0
        assert sum(getattr(layer, part) for part in PARTS) == layer.cycles
        assert 0 <= layer.utilization <= layer.array_share


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(programs(), st.data())
def test_doubling_the_banks_never_costs_a_cycle(program: Program, data: st.DataObject) -> None:
    config = program.config
    wider = program.replace(config=config.replace(banks=config.banks * 2))
    assert analyze(wider).cycles <= analyze(program).cycles


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(programs())
def test_hashing_indices_costs_at_most_a_latency_and_the_i_rounds(program: Program) -> None:
    stored, hashed = (
        analyze(program.replace(config=program.config.replace(index_mode=mode)))
        for mode in ("sram", "hash")
    )
    latency = index.LATENCY["hash"] - index.LATENCY["sram"]
    for layer, one, other in zip(program.layers, stored.layers, hashed.layers, strict=True):
        limit = 0
        if isinstance(layer, MacLayer) and layer.spec.scheme != "dense":
            limit = latency + layer.n_out + index.ROUND * len(one.tiles)
        assert 0 <= other.cycles - one.cycles <= limit
        assert other.conflict_cycles == one.conflict_cycles
