"""Layer times respond as hardware would, and the report adds up."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.perfetto import TRACKS, events, write_trace
from hwsim.cost.timing import TimingReport, analyze
from hwsim.cost.timing_table import render
from hwsim.errors import HwsimError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec, Scheme
from hwsim.program.layers import Layer, MacLayer, PoolLayer, Shape, Window
from hwsim.program.program import Program
from hwsim.units import (
    act_buffer,
    expander,
    index,
    mac_array,
    pool,
    post,
    sequencer,
    skip,
    slots,
    softmax,
)

PARTS = ("instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain")


def mac(
    kind: str, source: Shape, spec: HashSpec, k: int = 1, s: int = 1, p: int = 0, groups: int = 1
) -> MacLayer:
    """A layer with zero weights: timing depends on shapes and addresses only."""
    _, h, w = source
    n = spec.n_out
    out = (n, 1, 1) if kind == "fc" else (n, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1)
    zero = np.zeros(n, np.int32)
    return MacLayer(
        name=f"{kind}{n}", kind=kind, in_shape=source, out_shape=out, spec=spec,  # type: ignore[arg-type]
        window=None if kind == "fc" else Window.square(k, s, p), groups=groups,
        weights=np.zeros(spec.real_weights, np.int32), multiplier=zero, shift=zero,
        bias=np.zeros(n, np.int64), last=kind == "fc", weight_scale=np.ones(1), scale=1.0, hi=255,
    )  # fmt: skip


def network(
    config: EngineConfig, source: Shape, plan: Sequence[Any], scheme: Scheme, rate: float = 1 / 16
) -> Program:
    """``plan``: ("conv", channels, stride), "pool" (2x2), ("fc", features); conv is 3x3, padded."""
    layers: list[Layer] = []
    shape = source
    for seed, item in enumerate(plan):
        c, h, w = shape
        if item == "pool":
            layers.append(PoolLayer(f"pool{seed}", shape, (c, h // 2, w // 2), Window.square(2, 2)))
        elif item[0] == "fc":
            spec = HashSpec.for_rate(scheme, item[1], c * h * w, rate, seed)
            layers.append(mac("fc", shape, spec))
        else:
            spec = HashSpec.for_rate(scheme, item[1], c * 9, rate, seed)
            layers.append(mac("conv", shape, spec, 3, item[2], 1))
        shape = layers[-1].out_shape
    return Program.chain(config, layers, source)


PLAN = [("conv", 24, 1), "pool", ("conv", 20, 2), ("fc", 40), ("fc", 10)]


def report(config: str = "default", scheme: Scheme = "xxh32", **changes: Any) -> TimingReport:
    return analyze(network(load_config(config).replace(**changes), (2, 12, 12), PLAN, scheme))


def conv(scheme: Scheme = "dense", *, n_out: int = 16, side: int = 16, stride: int = 1,
         channels: int = 8, **changes: Any) -> LayerTiming:  # fmt: skip
    """One convolution, 3x3, padding 1, on ``default``."""
    program = network(
        load_config("default").replace(**changes),
        (channels, side, side),
        [("conv", n_out, stride), ("fc", 1)],
        scheme,
    )
    return analyze(program).layers[0]


def fc(scheme: Scheme, n_out: int, fan_in: int, **changes: Any) -> LayerTiming:
    config = load_config("default").replace(**changes)
    return analyze(network(config, (fan_in, 1, 1), [("fc", n_out)], scheme)).layers[0]


@pytest.mark.parametrize("scheme", ["xxh32", "banked", "dense"])
@pytest.mark.parametrize("config", ["tiny", "small", "default", "wide"])
def test_every_cycle_belongs_to_one_part(config: str, scheme: Scheme) -> None:
    result = report(config, scheme)
    for layer in result.layers:
        assert sum(getattr(layer, part) for part in PARTS) == layer.cycles
        assert min(getattr(layer, part) for part in PARTS) >= 0
    assert result.cycles == sequencer.START + sum(layer.cycles for layer in result.layers)


def test_layers_are_barriers() -> None:
    layers = report().layers
    for before, after in pairwise(layers):
        assert after.start == before.end
        first = min(tile.expand_start for tile in after.tiles) if after.tiles else after.end
        assert first >= after.start + sequencer.INSTRUCTION


def test_a_convolution_bound_by_the_array_costs_its_columns_and_one_fill() -> None:
    """One row-tile, 16 x 2 pixel tiles of 72 columns: nothing waits but the pipeline."""
    layer = conv()
    fill = index.LATENCY["counter"] + expander.TURNS + 72 + expander.FILL
    tail = mac_array.FILL + 16 + post.FILL
    assert layer.cycles == sequencer.INSTRUCTION + fill + 16 * 2 * 72 + tail
    assert (layer.compute, layer.act_stall, layer.post_stall) == (16 * 2 * 72, 0, 0)


def test_the_tile_buffer_hides_expansion_behind_the_array() -> None:
    """Random hashing expands three times slower, yet only the first row-tile is waited for."""
    random, plain = conv("xxh32", n_out=64), conv("dense", n_out=64)
    first = random.tiles[0].expand_end - random.tiles[0].expand_start
    assert random.conflict_cycles > random.columns
    latency = index.LATENCY["sram"] - index.LATENCY["counter"]
    assert random.cycles - plain.cycles == latency + first - 72
    assert random.expander_wait > 0


def test_the_array_waits_for_weights_where_pixels_are_few() -> None:
    """Two pixel tiles per row-tile cannot hide three cycles a column: expanding sets the pace."""
    few = conv("xxh32", n_out=64, side=2)
    assert few.expander_wait == 0
    fill = index.LATENCY["sram"] + expander.TURNS + expander.FILL
    expanding = fill + few.columns + few.conflict_cycles
    tail = mac_array.FILL + 16 + post.FILL
    assert few.cycles == sequencer.INSTRUCTION + expanding + 2 * 72 + tail


def test_a_stride_of_two_reads_each_column_twice() -> None:
    layer = conv(stride=2)
    assert layer.act_stall == layer.compute == 8 * 1 * 72
    assert conv(stride=1).act_stall == 0


def test_a_single_lane_reads_a_strided_column_at_once() -> None:
    assert conv(stride=2, cols=1).act_stall == 0


def test_a_small_fan_in_waits_for_post() -> None:
    """A 3x3 kernel on one channel gives 9 columns; draining 16 rows takes 16 cycles."""
    layer = conv(n_out=32, channels=1)
    slots = 2 * 16 * 2
    assert layer.compute == 9 * slots
    assert layer.post_stall == (16 - 9) * slots
    assert conv(n_out=8, channels=1).post_stall == 0


@pytest.mark.parametrize("config", ["small", "default", "wide"])
def test_the_banked_scheme_expands_one_column_per_cycle_always(config: str) -> None:
    result = report(config, "banked")
    assert result.total("conflict_cycles") == 0
    for layer in result.layers:
        for tile in layer.tiles:
            assert tile.expand_end - tile.expand_start == layer.columns // len(layer.tiles)


def test_banked_is_as_fast_as_dense_up_to_the_index_latency() -> None:
    banked = report(scheme="banked")
    latency = index.LATENCY["sram"] - index.LATENCY["counter"]
    assert banked.cycles - banked.dense_cycles == 4 * latency
    assert report(scheme="dense").cycles == banked.dense_cycles


def test_an_fc_layer_streams_its_columns() -> None:
    layer = fc("xxh32", 64, 300)
    work = expander.expansion(HashSpec.for_rate("xxh32", 64, 300, 1 / 16), 16, 16)
    fill = index.LATENCY["sram"] + expander.TURNS + expander.FILL + sequencer.ISSUE
    tail = mac_array.FILL + 16 + post.FILL
    assert layer.cycles == sequencer.INSTRUCTION + fill + sum(work.tile_cycles) + tail
    assert layer.conflict_cycles == sum(work.tile_cycles) - 4 * 300
    assert layer.array_share == 1 / 8


def test_an_fc_layer_with_few_inputs_waits_for_post() -> None:
    layer = fc("dense", 64, 5)
    arrival = index.LATENCY["counter"] + expander.TURNS
    assert layer.post_stall == 3 * (16 - 5) + (16 - 5 - arrival)
    ends = [tile.expand_end for tile in layer.tiles]
    assert np.diff(ends).tolist() == [16, 16, 16]


def test_hashing_adds_a_latency_per_layer_and_an_i_round_per_row_tile() -> None:
    extra = index.LATENCY["hash"] - index.LATENCY["sram"]
    stored, hashed = (fc("xxh32", 40, 300, index_mode=mode) for mode in ("sram", "hash"))
    assert hashed.cycles - stored.cycles == extra + 40 + 3 * index.ROUND
    assert hashed.conflict_cycles == stored.conflict_cycles
    stored, hashed = (conv("xxh32", n_out=64, index_mode=mode) for mode in ("sram", "hash"))
    assert hashed.cycles - stored.cycles == extra + 16 + index.ROUND


def test_the_index_mode_does_not_touch_a_dense_network() -> None:
    assert report(scheme="dense").cycles == report(scheme="dense", index_mode="hash").cycles


def test_more_banks_never_cost_cycles() -> None:
    cycles = [report(banks=banks).cycles for banks in (16, 32, 64, 256)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[-1] < cycles[0]


def test_a_pool_reads_each_window_element_of_each_line() -> None:
    """24 x 6 lines of 8 outputs, 2 x 2 windows, 2 cycles per strided read."""
    layer = report().layers[1]
    assert layer.compute == 24 * 6 * 1 * 4 * 2 + pool.FILL
    assert layer.macs == 0


def test_utilization_is_macs_over_slots() -> None:
    result = report()
    assert result.utilization == result.macs / (result.cycles * 128)
    assert result.macs == sum(layer.virtual_weights * n for layer, n in
                              zip(result.layers, (144, 0, 9, 1, 1), strict=True))  # fmt: skip
    assert fc("dense", 16, 4000).utilization == pytest.approx(1 / 8, rel=0.02)


def test_streams_and_probabilities_have_their_own_counters() -> None:
    result = report()
    assert (result.stream_in, result.stream_out) == (2 * 12 * 12, 10)
    assert result.softmax == softmax.cycles_softmax(10) == 10 + 7 + 3 + 170
    assert report(softmax=False).softmax == 0


def test_memory_is_counted_for_all_three_ways_of_storage() -> None:
    layer = fc("xxh32", 40, 300)  # K = 750, 10 + 1 bits of index
    assert layer.memory_bits == {
        "dense": 12000 * 8,
        "index_sram": 750 * 8 + 12000 * 11,
        "hash": 750 * 8,
    }
    assert layer.allocated_bits == {
        "dense": 12000 * 8,
        "index_sram": 47 * 16 * 8 + 3 * 300 * 16 * 25,
        "hash": 47 * 16 * 8,
    }


def test_a_dense_layer_needs_no_index() -> None:
    bits = fc("dense", 40, 300).memory_bits
    assert set(bits.values()) == {12000 * 8}


@pytest.mark.parametrize(("real", "bits"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4)])
def test_an_index_has_just_enough_bits(real: int, bits: int) -> None:
    layer = mac("fc", (8, 1, 1), HashSpec("xxh32", 4, 8, real))
    program = Program.chain(load_config("default"), (layer,), (8, 1, 1))
    memory = analyze(program).memory_bits
    assert memory["index_sram"] - memory["hash"] == 32 * bits


def test_the_report_survives_json() -> None:
    result = report()
    data = json.loads(json.dumps(result.to_dict()))
    assert data["cycles"] == result.cycles
    assert data["seconds"] == result.cycles / 400e6
    assert data["energy_nj"] == pytest.approx(sum(r["nj"] for r in data["energy"]["rows"]))
    assert set(data["memory_bits"]) == {"dense", "index_sram", "hash"}
    assert [layer["name"] for layer in data["layers"]] == [x.name for x in result.layers]


def test_the_same_program_always_takes_the_same_time() -> None:
    assert report().to_dict() == report().to_dict()


@pytest.mark.parametrize("scheme", ["xxh32", "dense"])
def test_the_table_fits_a_hundred_columns_and_names_every_layer(scheme: Scheme) -> None:
    result = report(scheme=scheme)
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(result))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 100
    for layer in result.layers:
        assert layer.name in text
    assert f"{result.cycles:,}" in text
    assert "…" not in text


def test_trace_slices_of_a_unit_do_not_overlap(tmp_path: Path) -> None:
    result = report()
    write_trace(result, tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    assert document["traceEvents"] == json.loads(json.dumps(events(result)))
    for track in range(1, len(TRACKS) + 1):
        slices = [e for e in document["traceEvents"] if e["ph"] == "X" and e["tid"] == track]
        assert slices
        slices.sort(key=lambda e: e["ts"])
        for before, after in pairwise(slices):
            assert before["dur"] > 0
            assert before["ts"] + before["dur"] <= after["ts"]
        assert slices[-1]["ts"] + slices[-1]["dur"] <= result.cycles


def test_a_trace_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HwsimError, match="cannot write the trace") as caught:
        write_trace(report(), tmp_path / "file" / "trace.json")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_trace_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "trace.json"
    target.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(HwsimError, match="No space left"):
        write_trace(report(), target)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]
    assert target.read_text() == "old"


def test_the_document_states_every_pipeline_constant() -> None:
    text = (Path(__file__).parents[2] / "docs" / "timing.md").read_text(encoding="utf-8")
    stated = {
        name: int(cycles)
        for name, cycles in re.findall(r"^\| `(\w+\.[A-Z]+)` \| (\d+) \|", text, re.MULTILINE)
    }
    units = {
        "sequencer": (sequencer, "START FETCH SETUP ISSUE"),
        "skip": (skip, "SCAN"),
        "slots": (slots, "SELECT GAP WINDOW"),
        "index": (index, "COLUMN LANE ROUND MIX SCALE ROTATE"),
        "expander": (expander, "COMPARE FIRST COUNT TURN ROUTE READ SIGN WRITE"),
        "act_buffer": (act_buffer, "ADDRESS READ ALIGN"),
        "mac_array": (mac_array, "BROADCAST MULTIPLY ACCUMULATE SHADOW"),
        "post": (post, "READ BROADCAST MULTIPLY ADD SHIFT CLAMP WRITE"),
        "pool": (pool, "COMPARE WRITE"),
        "softmax": (softmax, "READ DIFFERENCE SHIFT LOOKUP SUM LOAD DIVIDE"),
    }
    assert stated == {
        f"{unit}.{name}": getattr(module, name)
        for unit, (module, names) in units.items()
        for name in names.split()
    }
