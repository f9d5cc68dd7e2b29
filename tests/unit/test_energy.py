"""Energy: the fits meet the published points, events are counted, rows add up."""

from __future__ import annotations

import pytest

from hwsim.cost import energy
from hwsim.cost.activity import Activity, array_activity, pool_activity
from hwsim.cost.energy import add_pj, multiply_pj, sram_pj_per_bit
from hwsim.cost.layer_timing import array_work
from hwsim.cost.timing import analyze
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, PoolLayer, Window
from tests.unit.test_timing import PLAN, mac, network, report

TINY, DEFAULT = load_config("tiny"), load_config("default")


def events_of(layer: Layer, config: EngineConfig = DEFAULT) -> Activity:
    """Events of a layer that sums on the array."""
    return array_activity(layer, array_work(layer, config))


POINTS = {name: pj for name, pj, _ in energy.PUBLISHED}


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_adder_fit_meets_the_published_points(bits: int) -> None:
    assert add_pj(bits) == pytest.approx(POINTS[f"integer add, {bits} bits"], abs=0.0051)


@pytest.mark.parametrize("bits", [8, 32])
def test_multiplier_fit_meets_the_published_points(bits: int) -> None:
    published = POINTS[f"integer multiply, {bits} bits"]
    assert multiply_pj(bits, bits) == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize(("name", "kib"), [("8 KB", 8), ("32 KB", 32), ("1 MB", 1024)])
def test_sram_fit_meets_the_published_points(name: str, kib: int) -> None:
    pj, note = sram_pj_per_bit(kib * 1024 * 8)
    assert 64 * pj == pytest.approx(POINTS[f"SRAM {name}, 64-bit read"], rel=0.06)
    assert note == ""


def test_sram_energy_grows_with_size_and_says_where_the_fit_ends() -> None:
    costs = [sram_pj_per_bit(1 << x)[0] for x in range(4, 30)]
    assert costs == sorted(costs)
    assert sram_pj_per_bit((1 << 16) - 1) == (0.157, "below 8 KB: held")
    assert "extrapolated" in sram_pj_per_bit((1 << 23) + 1)[1]


def test_padding_is_not_read_from_the_activation_buffer() -> None:
    """3x3 on 4x4 with padding 1: 10 of 12 (kernel, output) pairs per axis lie on the map."""
    spec = HashSpec.for_rate("dense", 6, 18, 1.0)
    layer = mac("conv", (2, 4, 4), spec, 3, 1, 1)
    events = events_of(layer, TINY)
    assert events.act_reads == 3 * 2 * 10 * 10
    assert events.macs == 6 * 18 * 16
    assert events.act_writes == events.requantized == 6 * 16
    assert events.channel_reads == 6 * 8
    assert (events.tile_writes, events.tile_reads) == (3 * 18, 3 * 18 * 8)
    assert (events.weight_reads, events.index_lines, events.hash_multiplies) == (6 * 18, 0, 0)


def test_equal_addresses_are_read_once() -> None:
    spec = HashSpec("xxh32", 16, 50, 1)
    events = events_of(mac("fc", (50, 1, 1), spec))
    assert events.weight_reads == 50
    assert events.index_lines == 50


def test_an_index_on_the_fly_costs_four_multiplies_per_expanded_weight() -> None:
    spec = HashSpec.for_rate("xxh32", 32, 100, 1 / 4)
    events = events_of(mac("fc", (100, 1, 1), spec))
    assert events.hash_multiplies == 4 * 3200 + 32


def test_the_last_layer_only_adds_its_bias() -> None:
    spec = HashSpec.for_rate("dense", 10, 20, 1.0)
    events = events_of(mac("fc", (20, 1, 1), spec))
    assert (events.requantized, events.biased, events.act_writes) == (0, 10, 0)


def test_a_pool_compares_all_but_the_first_of_a_window() -> None:
    events = pool_activity(PoolLayer("pool", (3, 6, 6), (3, 2, 2), Window.square(3, 2)))
    assert (events.act_reads, events.compares, events.act_writes) == (108, 96, 12)


def test_the_table_adds_up() -> None:
    result = report().energy
    assert result.nj == pytest.approx(sum(row.count * row.pj for row in result.rows) / 1000)
    stored, hashed, dense, dram = result.alternatives
    assert stored.nj == pytest.approx(result.nj)
    assert (hashed.index_bits, dense.index_bits) == (0, 0)
    assert dram.nj > dense.nj
    assert dram.weight_bits == dense.weight_bits > stored.weight_bits


def test_the_index_mode_chooses_the_rows() -> None:
    sram = {row.name for row in report(index_mode="sram").energy.rows}
    hashed = {row.name for row in report(index_mode="hash").energy.rows}
    assert sram - hashed == {"index reads"}
    assert hashed - sram == {"hash multiplies", "hash adds"}
    plain = {row.name for row in report(scheme="dense").energy.rows}
    assert plain == sram & hashed


def test_narrower_words_cost_less() -> None:
    assert report(act_w=4, wgt_w=4).energy.nj < report().energy.nj


def test_what_does_not_fit_on_chip_comes_from_dram() -> None:
    program = network(load_config("default"), (2, 12, 12), PLAN, "xxh32")
    small = program.config.replace(wgt_depth=4096, idx_depth=64)
    result = analyze(program.replace(config=small)).energy
    where = {one.name: one.dram for one in result.alternatives}
    assert where["this network, stored index"] == "index"
    assert where["this network, hashed index"] == ""
    assert where["dense network"] == "weights"
    assert any(row.name == "index reads from DRAM" for row in result.rows)


def test_every_published_number_has_a_source() -> None:
    assert all(source for _, _, source in energy.PUBLISHED)
