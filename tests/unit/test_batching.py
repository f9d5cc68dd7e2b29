"""Batches: what engines, images and hosts say of them, a network by hand, energy, and the trace."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hwsim.bus.registers import ADDRESS, REGISTERS, VERSION
from hwsim.cost.energy import sram_pj_per_bit
from hwsim.cost.perfetto import TRACKS, events
from hwsim.cost.timing import TimingReport, analyze
from hwsim.cost.timing_table import render
from hwsim.errors import ConfigError, ImageError, InputError
from hwsim.fpga.synthesis import memory_bits
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.digest import program_digest
from hwsim.rom.image import load, save
from hwsim.units import sequencer
from tests.images import forge_manifest
from tests.rtl.samples import small_network
from tests.unit.test_timing import PARTS, PLAN, network

TINY, DEFAULT = load_config("tiny"), load_config("default")
FOUR = DEFAULT.replace(batch=4)
#: A convolution of 72 columns, a pool and an fc layer of 1024: the numbers below are by hand.
BY_HAND = [("conv", 16, 1), "pool", ("fc", 10)]


def by_hand(images: int, config: EngineConfig = FOUR) -> TimingReport:
    return analyze(network(config, (8, 16, 16), BY_HAND, "dense"), images)


# --- the engine -----------------------------------------------------------------------------------


def test_the_configuration_says_nothing_of_it_where_there_is_none() -> None:
    assert "batch" not in TINY.model_dump()
    assert TINY.verilog_parameters()["BATCH"] == 1
    assert TINY.replace(batch=2).model_dump()["batch"] == 2
    assert TINY.replace(batch=2).verilog_parameters()["BATCH"] == 2
    assert TINY.replace(batch=2).replace(batch=1) == TINY


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(batch=3), r"batch must be a power of two up to cols \(8\), got 3"),
        (dict(batch=16), r"batch must be a power of two up to cols \(8\), got 16"),
        (dict(batch=0), "batch: Input should be greater than or equal to 1"),
        (dict(batch=True), "batch: Input should be a valid integer"),
        (dict(batch=8, skip=True), "batch 8 needs skip = false: what an fc layer may leave out"),
    ],
)
def test_a_batch_that_no_engine_has_is_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        DEFAULT.replace(**changes)
    assert "\n" not in str(caught.value)


def test_a_batch_of_all_lanes_is_taken_and_one_engine_skips_alone() -> None:
    assert DEFAULT.replace(batch=8).batch == 8
    assert DEFAULT.replace(batch=1, skip=True).skip
    with pytest.raises(ConfigError, match="needs skip = false"):
        small_network(TINY.replace(batch=2)).skipping()


def test_memories_of_an_image_are_there_once_an_image() -> None:
    lines, classes = DEFAULT.act_depth, DEFAULT.chan_depth
    assert DEFAULT.act_bits == lines * 8 * 8
    assert FOUR.act_bits == 4 * DEFAULT.act_bits
    assert memory_bits(FOUR) - memory_bits(DEFAULT) == 3 * DEFAULT.act_bits
    assert by_hand(1).image_bits == {
        "activations": 4 * lines * 8 * 8,
        "logits": 4 * classes * 32,
        "probabilities": 4 * classes * 17,
    }
    assert by_hand(1, FOUR.replace(softmax=False)).image_bits["probabilities"] == 0


# --- images and registers -------------------------------------------------------------------------


def test_an_image_differs_in_its_configuration_alone_and_runs_on_either_engine(
    tmp_path: Path,
) -> None:
    plain, batched = small_network(TINY), small_network(TINY.replace(batch=2))
    assert not torch.equal(program_digest(plain), program_digest(batched))
    again = batched.replace(config=batched.config.replace(batch=1))
    assert torch.equal(program_digest(plain), program_digest(again))
    for name, program in (("plain.hne", plain), ("batched.hne", batched)):
        save(program, tmp_path / name)
        assert load(tmp_path / name).config.batch == program.config.batch
        for config in (TINY, TINY.replace(batch=2)):
            assert load(tmp_path / name, config=config).config == config
    for file in (tmp_path / "plain.hne").glob("*.mem"):
        assert file.read_bytes() == (tmp_path / "batched.hne" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1, r"config\.batch: is absent where it is 1"),
        (3, "batch must be a power of two up to cols"),
        (4, "batch must be a power of two up to cols"),
    ],
)
def test_an_image_with_an_impossible_batch_is_refused(
    tmp_path: Path, value: int, says: str
) -> None:
    save(small_network(TINY), tmp_path / "net.hne")
    forge_manifest(tmp_path / "net.hne", lambda one: one["config"].update(batch=value))
    with pytest.raises(ImageError, match=says):
        load(tmp_path / "net.hne")


def test_registers_stand_where_drivers_look_for_them() -> None:
    assert VERSION == 0x00010003
    found = {one.name: one for one in REGISTERS}
    places = [(name, ADDRESS[name], found[name].access) for name in ("BATCH", "IMAGES", "IMAGE")]
    assert places == [("BATCH", 0xD8, "ro"), ("IMAGES", 0xDC, "rw"), ("IMAGE", 0xE0, "rw")]
    assert (found["IMAGES"].reset, found["IMAGE"].reset) == (1, 0)


# --- cycles ---------------------------------------------------------------------------------------


def test_an_fc_layer_runs_once_and_every_other_layer_once_an_image() -> None:
    """Runs: 81 to fill, 32 pixel tiles of 72 columns, 32 to drain; 1024 reads of 6 + FILL; the fc
    layer 5 to fill, 1024 columns, 5 + 26 to drain. FETCH is 18, SETUP 3."""
    conv, pool, fc = 81 + 32 * 72 + 32, 1024 + 6, 5 + 1024 + 5 + 26
    alone, three = by_hand(1), by_hand(3)
    assert [layer.cycles for layer in alone.layers] == [21 + conv, 21 + pool, 21 + fc]
    expected = [18 + 3 * (3 + conv), 18 + 3 * (3 + pool), 21 + fc]
    assert [layer.cycles for layer in three.layers] == expected == [7278, 3117, 1081]
    assert [layer.runs for layer in three.layers] == [3, 3, 1]
    assert three.cycles == 1 + sum(expected)
    assert three.cycles_per_image == pytest.approx(three.cycles / 3)
    for before, after in pairwise(three.layers):
        assert after.start == before.end


def test_counters_are_sums_over_the_runs() -> None:
    three = by_hand(3)
    assert {part: three.total(part) for part in PARTS} == {
        "instruction": 2 * (18 + 3 * 3) + 21,
        "compute": 3 * (32 * 72 + 1030) + 1024,
        "act_stall": 0,
        "post_stall": 0,
        "expander_stall": 3 * 81 + 10,
        "drain": 3 * 32 + 26,
    }
    assert (three.stream_in, three.stream_out) == (3 * 8 * 16 * 16, 3 * 10)
    assert three.softmax == 3 * (10 + 7 + 3 + 17 * 10)
    assert three.macs == 3 * (16 * 72 * 256 + 10 * 1024)
    assert three.utilization == three.macs / (three.cycles * 128)
    fc = three.layers[-1]
    assert fc.array_share == 3 / 8
    assert fc.utilization == fc.macs / (fc.cycles * 128)
    assert three.layers[0].array_share == by_hand(1).layers[0].array_share


@pytest.mark.parametrize("scheme", ["xxh32", "dense"])
@pytest.mark.parametrize("mode", ["sram", "hash"])
def test_conflicts_and_waits_count_once_a_run(scheme: str, mode: str) -> None:
    config = DEFAULT.replace(batch=8, index_mode=mode)
    program = network(config, (2, 12, 12), PLAN, scheme)  # type: ignore[arg-type]
    alone, batch = analyze(program), analyze(program, 8)
    for one, all_ in zip(alone.layers, batch.layers, strict=True):
        runs = 1 if one.kind == "fc" else 8
        for name in (*PARTS[1:], "conflict_cycles", "expander_wait", "columns"):
            assert getattr(all_, name) == runs * getattr(one, name)
        assert sum(getattr(all_, part) for part in PARTS) == all_.cycles
        assert len(all_.tiles) == runs * len(one.tiles)
    assert batch.cycles == sequencer.START + sum(layer.cycles for layer in batch.layers)
    assert alone.full_batch_cycles == batch.full_batch_cycles == batch.cycles
    assert batch.cycles < 8 * alone.cycles


def test_one_image_takes_what_it_takes_without() -> None:
    plain, alone = by_hand(1, DEFAULT), by_hand(1)
    assert alone.layers == plain.layers
    assert (alone.cycles, alone.images, plain.full_batch_cycles) == (plain.cycles, 1, plain.cycles)


@pytest.mark.parametrize(
    ("images", "config", "says"),
    [
        (0, FOUR, "a batch of 0: default takes 1 … 4 images, batch = 4"),
        (5, FOUR, "a batch of 5: default takes 1 … 4 images, batch = 4"),
        (-1, DEFAULT, "a batch of -1: default takes one image at a time, batch = 1"),
        (2, DEFAULT, "a batch of 2: default takes one image at a time, batch = 1"),
    ],
)
def test_a_batch_that_the_engine_does_not_take_is_one_line(
    images: int, config: EngineConfig, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        by_hand(images, config)
    assert "\n" not in str(caught.value)


# --- energy ---------------------------------------------------------------------------------------


def test_what_brings_the_weights_of_an_fc_layer_happens_once() -> None:
    """The convolution brings its 16 x 72 weights for each image, the fc layer its 10240 once."""
    found = {row.name: row.count for row in by_hand(3).energy.rows}
    assert found == {
        "weight bank reads": 3 * 1152 + 10240,
        "tile buffer writes": 3 * 72 + 1024,
        "MAC multiplies": 3 * (16 * 72 * 256 + 10240),
        "MAC adds": 3 * (16 * 72 * 256 + 10240),
        "tile buffer reads": 3 * 72 * 32 + 1024,
        "activation reads": 3 * (8 * 46 * 46 + 16 * 256 + 1024),
        "activation writes": 3 * (16 * 256 + 16 * 64),
        "scale and bias reads": 3 * 16 * 32 + 10,
        "post multiplies": 3 * 16 * 256,
        "post adds": 3 * (16 * 256 + 10),
        "pool compares": 3 * 3 * 16 * 64,
    }


@pytest.mark.parametrize("mode", ["sram", "hash"])
def test_so_do_reads_of_its_index_and_its_hashes(mode: str) -> None:
    config = FOUR.replace(index_mode=mode)
    program = network(config, (300, 1, 1), [("fc", 40), ("fc", 10)], "xxh32")
    alone, four = ({r.name: r.count for r in analyze(program, n).energy.rows} for n in (1, 4))
    once = {"index reads"} if mode == "sram" else {"hash multiplies", "hash adds"}
    assert once <= alone.keys()
    for name in once | {"weight bank reads", "tile buffer writes", "tile buffer reads"}:
        assert four[name] == alone[name]
    for name in ("MAC multiplies", "activation reads", "activation writes", "post adds"):
        assert four[name] == 4 * alone[name]


def test_an_access_is_to_a_bank_with_the_lines_of_all_images() -> None:
    """Also where one image is alone in it."""
    for config in (DEFAULT, FOUR):
        rows = {row.name: row for row in by_hand(1, config).energy.rows}
        per_bit, _ = sram_pj_per_bit(config.batch * config.act_depth * 8)
        assert rows["activation reads"].pj == pytest.approx(8 * per_bit)
        assert rows["activation writes"].pj == rows["activation reads"].pj
    report = by_hand(4)
    assert report.nj_per_image == report.energy.nj / 4
    assert report.nj_per_image < by_hand(1).energy.nj


# --- what is shown --------------------------------------------------------------------------------


def shown(report: TimingReport) -> str:
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


def test_the_table_tells_of_a_batch() -> None:
    report = by_hand(3)
    text = shown(report)
    assert max(map(len, text.splitlines())) <= 100
    assert f"{report.cycles:,} cycles for a batch of 3 images = " in text
    assert f"an image: {report.cycles / 3:,.0f} cycles = " in text
    assert "fc layers can use 3/8 of the array (37.5%), and run once for all 3 images." in text
    assert "Energy of a batch of 3 images" in text
    assert "32,768 lines, in each of 4 pages" in text


def test_one_image_is_told_what_a_full_batch_would_give() -> None:
    alone, full = by_hand(1), by_hand(4)
    gain = alone.cycles * 4 / full.cycles
    line = f"a batch of 4: {full.cycles:,} cycles, {full.cycles / 4:,.0f} an image "
    assert line + f"({gain:.2f} x as fast): --batch 4\n" in shown(alone)
    assert "--batch" not in shown(full)
    assert "batch" not in shown(by_hand(1, DEFAULT))


def test_json_has_the_batch_and_an_images_share() -> None:
    report = by_hand(3)
    found = report.to_dict()
    names = ("batch", "cycles", "cycles_per_image", "full_batch_cycles")
    assert [found[name] for name in names] == [
        3, report.cycles, report.cycles / 3, by_hand(4).cycles,
    ]  # fmt: skip
    assert found["energy_nj_per_image"] == pytest.approx(found["energy_nj"] / 3)
    assert [layer["runs"] for layer in found["layers"]] == [3, 3, 1]


def test_the_trace_shows_each_run_where_it_is() -> None:
    report = by_hand(3)
    slices = [one for one in events(report) if one["ph"] == "X"]
    names = [one["name"] for one in slices if one["tid"] == 1]
    assert names == [
        "fetch conv16 image 0", "conv16 image 0", "set up conv16 image 1", "conv16 image 1",
        "set up conv16 image 2", "conv16 image 2",
        "fetch pool1 image 0", "pool1 image 0", "set up pool1 image 1", "pool1 image 1",
        "set up pool1 image 2", "pool1 image 2",
        "fetch fc10", "fc10",
    ]  # fmt: skip
    for track in range(1, len(TRACKS) + 1):
        one = sorted((s for s in slices if s["tid"] == track), key=lambda s: s["ts"])
        assert one
        for before, after in pairwise(one):
            assert before["dur"] > 0
            assert before["ts"] + before["dur"] <= after["ts"]
        assert one[-1]["ts"] + one[-1]["dur"] <= report.cycles
    sequencer_ = [one for one in slices if one["tid"] == 1]
    assert sum(one["dur"] for one in sequencer_) == report.cycles - sequencer.START
    drains = [one for one in slices if one["tid"] == TRACKS.index("post") + 1]
    starts = [one["ts"] for one in drains if one["name"].startswith("conv16")]
    assert [b - a for a, b in pairwise(starts)] == [3 + 2417] * 2
