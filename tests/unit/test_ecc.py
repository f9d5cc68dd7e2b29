"""Check bits: the code, what an engine with them costs, and what it makes of faults."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from hwsim.cost.timing import analyze
from hwsim.errors import ConfigError, ImageError, InputError
from hwsim.faults import Fault
from hwsim.faults.protection import behind_check_bits, stored
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.ecc import COLUMNS, Ecc, check_bits, check_of, decoded
from hwsim.rom.image import load, save
from hwsim.rom.memories import memory_values
from hwsim.rom.vendor import export, rams
from tests.images import forge_manifest, residual_program
from tests.rtl.samples import small_network

TINY = load_config("tiny")


def engine(ecc: Ecc) -> EngineConfig:
    return TINY.replace(ecc=ecc)


def read(ecc: Ecc, width: int, word: int, bits: tuple[int, ...]) -> tuple[int, bool]:
    """A word with flipped bits, as the memory answers."""
    written, flips = stored(ecc, width, word, bits)
    data = np.array([written], np.uint64)
    check = check_of(ecc, data, width) ^ np.uint64(flips)
    found, wrong = decoded(ecc, data, check, width)
    return int(found[0]), bool(wrong[0])


def test_columns_are_odd_distinct_and_none_of_a_check_bit() -> None:
    assert len(set(COLUMNS)) == 64
    assert all(column.bit_count() % 2 == 1 and column.bit_count() >= 3 for column in COLUMNS)


@pytest.mark.parametrize(
    ("width", "bits"),
    [(4, 4), (5, 5), (8, 5), (11, 5), (12, 6), (26, 6), (27, 7), (57, 7), (58, 8)],
)
def test_a_word_has_as_few_check_bits_as_hsiao_says(width: int, bits: int) -> None:
    assert check_bits("secded", width) == bits
    assert max(COLUMNS[:width]) < 1 << bits
    assert check_bits("parity", width) == 1
    assert check_bits("none", width) == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [4, 8, 14, 22, 48])
def test_secded_corrects_every_single_flip_and_finds_every_double_one(width: int) -> None:
    word = 0x5A5A5A5A5A5A & (1 << width) - 1
    places = range(width + check_bits("secded", width))
    assert read("secded", width, word, ()) == (word, False)
    for bit in places:
        assert read("secded", width, word, (bit,)) == (word, False)
    for pair in combinations(places, 2):
        assert read("secded", width, word, pair)[1]


def test_parity_finds_an_odd_number_of_flips_and_corrects_none() -> None:
    for bit in range(9):
        assert read("parity", 8, 0x5A, (bit,)) == (0x5A ^ (1 << bit) % 256, True)
    assert read("parity", 8, 0x5A, (0, 1)) == (0x5A ^ 3, False)


# --- what is left of faults -----------------------------------------------------------------------


def test_faults_behind_check_bits_are_gone_stop_or_pass() -> None:
    one = [Fault("weights", 0, 1, 3)]
    two = [*one, Fault("weights", 0, 1, 5)]
    bare, parity, secded = (small_network(engine(ecc)) for ecc in ("none", "parity", "secded"))
    place = ("weights", 0, 1)
    assert behind_check_bits(bare, one).faults == tuple(one)
    assert behind_check_bits(parity, one).stops == (place,)
    assert behind_check_bits(parity, two).faults == tuple(two)
    assert behind_check_bits(secded, one).corrected == (place,)
    assert behind_check_bits(secded, one).faults == ()
    assert behind_check_bits(secded, two).stops == (place,)


def test_a_bit_that_is_stuck_at_what_was_written_is_no_fault() -> None:
    program = small_network(engine("parity"))
    word = int(next(memory_values(program, "weights.mem"))[0, 0])
    kinds = [f"stuck-{word >> bit & 1}" for bit in range(8)]
    faults = [Fault("weights", 0, 0, bit, kind) for bit, kind in enumerate(kinds)]
    found = behind_check_bits(program, faults)
    assert (found.faults, found.stops, found.corrected) == ((), (), ())


@pytest.mark.parametrize("bit", range(8))
def test_flips_come_before_stuck_bits_as_inject_has_it(bit: int) -> None:
    """Whatever the order in which they are given."""
    program = small_network(engine("none"))
    word = int(next(memory_values(program, "weights.mem"))[0, 0])
    stuck = Fault("weights", 0, 0, bit, "stuck-0" if word >> bit & 1 else "stuck-1")
    flip = Fault("weights", 0, 0, bit)
    for faults in ([flip, stuck], [stuck, flip]):
        assert behind_check_bits(program, faults).faults == (flip,)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("weights", 0, 0, 13), "a word of weights has 13 bits, check bits included: no 13"),
        (Fault("weights", 9999, 0, 0), "has no line 9999"),
        (Fault("weights", 0, 2, 0), "field 2"),
        (Fault("lut", 0, 0, 0), "this program's lut has no line 0"),
    ],
)
def test_a_fault_outside_the_memory_is_one_line(fault: Fault, says: str) -> None:
    with pytest.raises(InputError, match=says):
        behind_check_bits(small_network(engine("secded")), [fault])


# --- the engine -----------------------------------------------------------------------------------


def test_the_configuration_says_nothing_of_it_where_there_is_none() -> None:
    assert "ecc" not in TINY.model_dump()
    assert TINY.verilog_parameters()["ECC"] == 0
    assert engine("secded").model_dump()["ecc"] == "secded"
    assert [engine(ecc).verilog_parameters()["ECC"] for ecc in ("none", "parity", "secded")] == [
        0, 1, 2,
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="ecc"):
        TINY.replace(ecc="triple")


def test_it_takes_bits_and_energy_and_no_cycle() -> None:
    reports = [analyze(residual_program(engine(ecc))) for ecc in ("none", "parity", "secded")]
    none, parity, secded = reports
    assert none.cycles == parity.cycles == secded.cycles
    assert none.memory_bits == parity.memory_bits == secded.memory_bits
    for way in ("hash", "dense"):
        bits = [report.allocated_bits[way] for report in reports]
        assert bits == [bits[0] * width // 8 for width in (8, 9, 13)]
    assert none.energy.nj < parity.energy.nj < secded.energy.nj


def test_an_image_keeps_it_and_another_engine_refuses_it(tmp_path: Path) -> None:
    program = small_network(engine("secded"))
    save(program, tmp_path / "net.hne")
    assert load(tmp_path / "net.hne").config.ecc == "secded"
    with pytest.raises(ImageError, match="with ecc = secded, but tiny has ecc = none") as found:
        load(tmp_path / "net.hne", config=TINY)
    assert "\n" not in str(found.value)


def test_an_image_that_says_that_there_is_none_is_refused(tmp_path: Path) -> None:
    save(small_network(TINY), tmp_path / "net.hne")
    forge_manifest(tmp_path / "net.hne", lambda manifest: manifest["config"].update(ecc="none"))
    with pytest.raises(ImageError, match=r"config\.ecc: is absent where it is none"):
        load(tmp_path / "net.hne")


def test_the_files_of_an_image_hold_no_check_bits(tmp_path: Path) -> None:
    for ecc in ("none", "secded"):
        save(small_network(engine(ecc)), tmp_path / f"{ecc}.hne")
    for file in sorted((tmp_path / "none.hne").glob("*.mem")):
        assert file.read_bytes() == (tmp_path / "secded.hne" / file.name).read_bytes()


def test_the_files_of_its_rams_hold_them_above_the_words(tmp_path: Path) -> None:
    program = small_network(engine("secded"))
    export(program, tmp_path / "rom", "mem")
    widths = {"weights": 8, "index": 14, "scale": 22, "bias": 48, "program": 32, "lut": 8}
    for ram in rams(program):
        width = widths[ram.name.split("_")[0]]
        assert ram.width == width + check_bits("secded", width)
        text = (tmp_path / "rom" / f"{ram.name}.mem").read_text().split()
        code = np.array([int(line, 16) for line in text], np.uint64)
        words = code & np.uint64((1 << width) - 1)
        np.testing.assert_array_equal(check_of("secded", words, width), code >> np.uint64(width))
        plain = (
            [part[:, ram.field] for part in memory_values(program, ram.memory)] if ram.used else []
        )
        for line, value in enumerate(np.concatenate(plain).tolist() if plain else []):
            assert int(words[line]) == value % (1 << width)


def test_words_too_wide_for_files_with_their_check_bits_are_one_line(tmp_path: Path) -> None:
    config = TINY.replace(mult_w=32, ecc="secded")
    with pytest.raises(ImageError, match="bias has words of 72 bits with their check bits"):
        export(small_network(config), tmp_path / "rom", "mem")
