"""What layers without weights of their own cost, groups, and what the report says of the maps."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from hwsim.cost.activity import array_activity
from hwsim.cost.layer_timing import LayerTiming, array_work
from hwsim.cost.timing import TimingReport, analyze
from hwsim.cost.timing_table import render
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import AddLayer, AffineLayer, AverageLayer, Layer, LutLayer, Window
from hwsim.program.program import Program
from hwsim.program.wires import Wire, chain_wires
from hwsim.units import expander, index, mac_array, post, sequencer
from tests.images import residual_program
from tests.unit.test_timing import PARTS, mac

DEFAULT = load_config("default")  # 16 rows, 8 columns
ONE, WORD = np.zeros(1, np.int32), np.zeros(1, np.int64)


def report(layer: Layer) -> TimingReport:
    """``layer`` and an fc behind it; an addition adds the image to itself."""
    layers = (layer, mac("fc", layer.out_shape, HashSpec.for_rate("dense", 2, _size(layer), 1.0)))
    wires = [
        Wire(wire.sources * (2 if isinstance(one, AddLayer) else 1), wire.target)
        for one, wire in zip(layers, chain_wires(layers), strict=True)
    ]
    return analyze(Program.graph(DEFAULT, layers, wires, layer.in_shape))


def _size(layer: Layer) -> int:
    return int(np.prod(layer.out_shape))


def timed(layer: Layer) -> LayerTiming:
    return report(layer).layers[0]


def average(shape: tuple[int, int, int], window: Window) -> AverageLayer:
    out = (shape[0], *window.out_sides(*shape[1:]))
    return AverageLayer("average", shape, out, window, ONE, ONE, WORD, last=False, scale=1, hi=1)


def add(shape: tuple[int, int, int]) -> AddLayer:
    return AddLayer("add", shape, ONE, ONE, WORD, scale=1, hi=1)


def test_an_affine_layer_takes_a_cycle_for_each_line_of_its_map() -> None:
    """5 channels of 4 x 2 lines: one column each, behind the fill of the pipeline."""
    layer = timed(AffineLayer("affine", (5, 4, 16), ONE, ONE, WORD, last=False, scale=1, hi=1))
    fill = index.LATENCY["counter"] + expander.TURNS + 1 + expander.FILL
    tail = mac_array.FILL + 1 + post.FILL
    assert layer.cycles == sequencer.INSTRUCTION + fill + 5 * 4 * 2 + tail
    assert (layer.conflict_cycles, layer.columns) == (0, 5)


def test_a_lut_takes_as_long_as_an_affine_layer() -> None:
    shape = (3, 5, 9)
    affine = AffineLayer("affine", shape, ONE, ONE, WORD, last=False, scale=1, hi=1)
    assert timed(LutLayer("lut", shape, ONE, scale=1)).cycles == timed(affine).cycles


def test_an_addition_takes_two_cycles_for_each_line_of_its_maps() -> None:
    layer = timed(add((5, 4, 16)))
    fill = index.LATENCY["counter"] + expander.TURNS + 2 + expander.FILL
    tail = mac_array.FILL + 2 + post.FILL
    assert layer.cycles == sequencer.INSTRUCTION + fill + 2 * 5 * 4 * 2 + tail
    assert layer.post_stall == 0


def test_an_average_reads_its_window_at_its_horizontal_stride() -> None:
    wide, tall = (average((3, 8, 8), Window((2, 2), step)) for step in ((1, 2), (2, 1)))
    assert timed(wide).act_stall == timed(wide).compute == 3 * 7 * 4
    assert (timed(tall).act_stall, timed(tall).compute) == (0, 3 * 4 * 4)


def test_maps_of_one_pixel_wait_for_the_expander() -> None:
    """A row-tile of one column and one pixel tile: the fill of the expander, tile by tile."""
    layer = timed(average((64, 1, 1), Window((1, 1))))
    assert layer.compute == 64
    assert layer.expander_stall > 64


@pytest.mark.parametrize(("scheme", "rate"), [("dense", 1.0), ("xxh32", 0.1), ("banked", 0.5)])
def test_a_depthwise_convolution_uses_one_row_of_the_array(scheme: str, rate: float) -> None:
    spec = HashSpec.for_rate(scheme, 20, 9, rate, 3)  # type: ignore[arg-type]
    layer = timed(mac("conv", (20, 8, 8), spec, 3, 1, 1, groups=20))
    assert len(layer.tiles) == 20
    assert {tile.rows for tile in layer.tiles} == {1}
    assert layer.array_share == 1 / 16
    assert layer.utilization <= layer.array_share
    assert layer.conflict_cycles == 0  # one row cannot be in its own way
    assert layer.compute == 20 * 9 * 8


def test_conflicts_are_those_of_the_rows_of_a_group() -> None:
    spec = HashSpec.for_rate("xxh32", 40, 27, 0.1, 5)
    work = expander.expansion(spec, 16, 16, groups=2)
    assert work.tile_rows == (16, 4, 16, 4)
    counted = [
        int(expander.cycles_columns(index.columns(spec, first, used)[0], 16)[0].sum())
        for first, used in ((0, 16), (16, 4), (20, 16), (36, 4))
    ]
    assert list(work.tile_cycles) == counted


def test_weights_of_one_are_read_from_no_bank() -> None:
    for layer in (add((3, 4, 4)), average((3, 4, 4), Window((2, 2), (2, 2)))):
        events = array_activity(layer, array_work(layer, DEFAULT))
        assert (events.weight_reads, events.index_lines) == (0, 0)
        assert events.tile_writes > 0


def test_an_addition_reads_and_multiplies_both_maps() -> None:
    events = array_activity(layer := add((3, 4, 4)), array_work(layer, DEFAULT))
    assert (events.act_reads, events.requantized, events.act_writes) == (96, 96, 48)
    assert events.channel_reads == 3 * 4 * 2


def test_a_lut_reads_a_word_of_its_table_for_each_code() -> None:
    layer = LutLayer("lut", (3, 4, 4), ONE, scale=1)
    assert array_activity(layer, array_work(layer, DEFAULT)).table_reads == 48
    assert any(row.name == "table reads" for row in report(layer).energy.rows)


def test_a_group_reads_its_own_channels_only() -> None:
    whole, groups = (
        mac("conv", (4, 6, 6), HashSpec.for_rate("dense", 4, 36 // n, 1.0), 3, groups=n)
        for n in (1, 4)
    )
    one, other = (array_activity(x, array_work(x, DEFAULT)) for x in (whole, groups))
    assert one.act_reads == other.act_reads == 4 * 9 * 16
    assert one.macs == 4 * other.macs


def test_the_report_of_a_graph_adds_up_and_names_its_memory() -> None:
    program = residual_program()
    result = analyze(program)
    for layer in result.layers:
        assert sum(getattr(layer, part) for part in PARTS) == layer.cycles
    shown = result.to_dict()["act_lines"]
    assert shown == {"depth": 8192, "peak": 216, "least": 216, "ping_pong": None}
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(result))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 100
    assert "feature maps: 216 of 8,192 lines; no allocation needs less than 216" in text
    words = "add, affine, average, lut take a row-tile a channel: 1/2 of the array (50.0%)"
    assert words in " ".join(text.split())


def test_a_chain_is_held_against_two_buffers_by_turns() -> None:
    result = report(average((3, 8, 8), Window((2, 2), (2, 2))))
    shown = result.to_dict()["act_lines"]
    assert shown["ping_pong"] == 48
    assert shown["peak"] <= shown["ping_pong"]
