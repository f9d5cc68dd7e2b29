"""Zero skipping: what engines and images say of it, layers by hand, energy, and distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.cost.distribution import Percentiles, costs, distribution
from hwsim.cost.images import ImageTiming, report_of
from hwsim.cost.timing import analyze
from hwsim.engine.cycles import counted, timing_of
from hwsim.engine.module import Engine
from hwsim.errors import ConfigError, ImageError
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.digest import program_digest
from hwsim.program.program import Program
from hwsim.rom.image import load, save
from hwsim.units import expander, index, mac_array, post, sequencer, skip
from tests.images import forge_manifest
from tests.rtl.samples import small_network
from tests.unit.test_timing import PARTS, mac

TINY = load_config("tiny")
SKIPS = TINY.replace(skip=True)
#: From the last served column to the end of a layer with 2 rows in its last row-tile.
TAIL = expander.FILL + sequencer.ISSUE + mac_array.FILL + 2 + post.FILL


# --- the engine -----------------------------------------------------------------------------------


def test_the_configuration_says_nothing_of_it_where_there_is_none() -> None:
    assert not {"skip", "skip_columns"} & TINY.model_dump().keys()
    assert TINY.verilog_parameters()["SKIP"] == 0
    found = SKIPS.replace(skip_columns=40)
    assert (found.model_dump()["skip"], found.model_dump()["skip_columns"]) == (True, 40)
    numbers = found.verilog_parameters()
    assert (numbers["SKIP"], numbers["SKIP_COLUMNS"]) == (1, 40)
    assert type(numbers["SKIP"]) is int
    assert found.replace(skip=False).replace(skip=True) == found
    with pytest.raises(ConfigError, match="skip_columns"):
        SKIPS.replace(skip_columns=0)


def test_digests_without_it_are_what_they_were() -> None:
    plain = small_network(TINY)
    other = plain.replace(config=TINY.replace(skip_columns=40))
    assert torch.equal(program_digest(plain), program_digest(other))
    assert not torch.equal(program_digest(plain), program_digest(plain.skipping()))
    assert torch.equal(program_digest(plain), program_digest(plain.skipping().skipping(False)))


def test_an_image_keeps_it_and_runs_on_either_engine(tmp_path: Path) -> None:
    program = small_network(SKIPS)
    save(program, tmp_path / "net.hne")
    assert load(tmp_path / "net.hne").config.skip
    assert not load(tmp_path / "net.hne", config=TINY).config.skip
    save(program.skipping(False), tmp_path / "plain.hne")
    assert load(tmp_path / "plain.hne", config=SKIPS).config.skip
    for file in sorted((tmp_path / "net.hne").glob("*.mem")):
        assert file.read_bytes() == (tmp_path / "plain.hne" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"skip": False}, "config.skip: is absent where nothing is skipped"),
        ({"skip_columns": 8}, "config.skip_columns: is absent where nothing is skipped"),
        ({"skip": True}, "config.skip_columns: Field required"),
    ],
)
def test_an_image_that_says_half_of_it_is_refused(
    tmp_path: Path, there: dict[str, object], words: str
) -> None:
    save(small_network(TINY), tmp_path / "net.hne")
    forge_manifest(tmp_path / "net.hne", lambda manifest: manifest["config"].update(there))
    with pytest.raises(ImageError) as found:
        load(tmp_path / "net.hne")
    assert words in str(found.value)


# --- layers by hand -------------------------------------------------------------------------------


def one_layer(
    shape: tuple[int, int, int], outputs: int = 2, columns: int = 8192, skip: bool = True
) -> Program:
    """A dense fc layer, its rows in 2 x 2."""
    config = TINY.replace(rows=2, cols=2, banks=2, skip=skip, skip_columns=columns)
    spec = HashSpec.for_rate("dense", outputs, int(np.prod(shape)), 1.0)
    return Program.chain(config, [mac("fc", shape, spec)], shape)


def cycles(program: Program, codes: list[int]) -> int:
    """Of one image, the codes in (c, y, x) order."""
    image = np.array(codes).reshape(1, *program.input_shape).transpose(0, 2, 3, 1)
    (row,) = Engine(program).cycles_of_codes(image)
    return int(row.sum())


def test_by_hand_one_column_of_eight() -> None:
    """Four lines of two codes, each one cycle; the list is complete one later."""
    known = skip.SCAN + 4 + 1
    depth = index.LATENCY["counter"] + index.COLUMN + expander.TURNS
    due = sequencer.INSTRUCTION + known + depth + 1 + TAIL
    assert cycles(one_layer((1, 2, 4)), [0, 0, 0, 9, 0, 0, 0, 0]) == due
    assert cycles(one_layer((1, 2, 4)), [0, 0, 0, 0, 0, 0, 0, 9]) == due
    # A second code in its line: the scan takes one more, and so does the array.
    assert cycles(one_layer((1, 2, 4)), [0, 0, 9, 9, 0, 0, 0, 0]) == due + 1
    # In another line the scan takes nothing more, and the first waits for the second no longer.
    assert cycles(one_layer((1, 2, 4)), [9, 0, 0, 9, 0, 0, 0, 0]) == due
    # Nothing: the one column of a code 0 is entered when the scan is over.
    assert cycles(one_layer((1, 2, 4)), [0] * 8) == due + 1


def test_by_hand_two_row_tiles() -> None:
    """The second takes the listed columns alone, and no less than the drain of the first."""
    first, second = one_layer((1, 2, 4)), one_layer((1, 2, 4), outputs=4)
    for codes, more in (([0, 5, 0, 5, 0, 0, 5, 0], 3), ([5] * 8, 8), ([0] * 8, 2)):
        assert cycles(second, codes) == cycles(first, codes) + more


def test_a_layer_wider_than_the_list_skips_nothing() -> None:
    shape = (1, 2, 4)
    plain = cycles(one_layer(shape, skip=False), [0] * 8)
    assert cycles(one_layer(shape, columns=7), [0] * 8) == plain + index.COLUMN
    assert timing_of(one_layer(shape, columns=7)).skipping == {}
    assert cycles(one_layer(shape, columns=8), [0] * 8) < plain + index.COLUMN + 8


def test_no_image_is_no_row() -> None:
    for config in (TINY, SKIPS):
        engine = Engine(small_network(config))
        assert engine.cycles(torch.zeros(0, 1, 6, 6)).shape == (0, 3)
        assert engine.cycles(torch.zeros(0, 1, 6, 6)).dtype == np.int64


# --- reports --------------------------------------------------------------------------------------


def images(count: int = 40) -> torch.Tensor:
    """Of all shares of zeros, the first without any and the second without anything else."""
    generator = torch.Generator().manual_seed(0)
    share = torch.linspace(0, 1, count).flip(0)[:, None, None, None]
    found = torch.rand(count, 1, 6, 6, generator=generator)
    found = torch.where(torch.rand(found.shape, generator=generator) < share, found, 0)
    found[0], found[1] = 1, 0
    return found


def test_the_report_of_an_image_adds_up() -> None:
    engine = Engine(small_network(SKIPS))
    report, counters = analyze(engine.program), engine.counters(images())
    for n, row in enumerate(engine.cycles(images())):
        mine = report_of(report, counters, n)
        assert mine.cycles == row.sum() + sequencer.START
        assert [layer.cycles for layer in mine.layers] == row.tolist()
        for layer in mine.layers:
            assert sum(getattr(layer, part) for part in PARTS) == layer.cycles
        fc = mine.layers[-1]
        assert fc.columns + fc.skipped == report.layers[-1].columns
        assert 0 < fc.utilization <= fc.array_share


@pytest.mark.parametrize("mode", ["sram", "hash"])
def test_the_energy_of_an_image_without_zeros_is_that_of_the_report(mode: str) -> None:
    config = SKIPS.replace(index_mode=mode)
    spec = HashSpec("xxh32", 6, 12, 20, 1)
    program = Program.chain(config, [mac("fc", (3, 2, 2), spec)], (3, 2, 2))
    timing, whole = ImageTiming(program), np.ones((1, 12), np.bool_)
    (full,) = timing.energy_nj({0: whole}, 1)
    assert full == pytest.approx(analyze(program).energy.nj)
    nothing, one = np.zeros((1, 12), np.bool_), np.eye(1, 12, dtype=np.bool_)
    few, same = timing.energy_nj({0: nothing}, 1), timing.energy_nj({0: one}, 1)
    assert few == same  # a map of zeros has its first column in the list
    assert 0 < few[0] < full
    parts = timing.energy_nj({0: np.eye(12, dtype=np.bool_)}, 12)
    first_and_sixth = np.isin(np.arange(12), (0, 5))[None]
    fixed = parts[0] + parts[5] - timing.energy_nj({0: first_and_sixth}, 1)[0]
    assert sum(parts) - 11 * fixed == pytest.approx(full)


def test_a_distribution_is_that_of_the_images() -> None:
    program = small_network(SKIPS)
    engine = Engine(program)
    found = counted(engine.datapath, engine.grid(images()), costs)
    spread = distribution(program, timing_of(program), found)
    totals = engine.cycles(images()).sum(1) + sequencer.START
    assert spread.images == 40
    assert spread.cycles == Percentiles.of(totals)
    assert spread.cycles.min == totals.min() <= spread.cycles.p5 <= spread.cycles.mean
    assert spread.cycles.p95 <= spread.cycles.max == totals.max()
    assert spread.plain_cycles == analyze(small_network(TINY)).cycles
    assert spread.speed_up == spread.plain_cycles / totals.mean()
    (layer,) = (one for one in spread.layers if one.name == "fc")
    assert layer.plain == analyze(small_network(TINY)).layers[-1].cycles
    # Even a list that is known at once is written nowhere faster.
    assert (found["bound"] <= found["cycles"]).all()
    assert 0 < spread.bound_share < 1
    assert layer.bound == found["bound"][:, 2].mean()
    assert 0 < layer.columns < 1
