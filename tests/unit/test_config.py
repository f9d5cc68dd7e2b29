"""Engine configurations: the only place sizes live, and nothing illegal gets past."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import ConfigError
from hwsim.numbers.config import EngineConfig, config_names, load_config

TINY = Path(__file__).parents[2] / "configs" / "tiny.toml"


def edited(tmp_path: Path, *lines: str, without: str = "\0") -> str:
    kept = [line for line in TINY.read_text().splitlines() if not line.startswith(without)]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join([*kept, *lines]))
    return str(path)


def test_the_four_configurations_load_smallest_first() -> None:
    assert config_names() == ["tiny", "small", "default", "wide"]
    arrays = [(load_config(n).rows, load_config(n).cols) for n in config_names()]
    assert arrays == [(2, 2), (8, 4), (16, 8), (32, 16)]


def test_small_hashes_its_indices() -> None:
    assert load_config("small").index_mode == "hash"
    assert load_config("small").verilog_parameters()["INDEX_MODE"] == 1
    assert load_config("default").verilog_parameters()["INDEX_MODE"] == 0


def test_a_file_of_ones_own_takes_its_name_from_the_file(tmp_path: Path) -> None:
    config = load_config(edited(tmp_path))
    assert config.name == "mine"
    assert config == load_config("tiny").replace(name="mine")


@pytest.mark.parametrize(
    ("line", "dropped", "words"),
    [
        ("colour = 3", "\0", "colour"),
        ("", "banks", "banks"),
        ("rows = 4", "rows", "banks (2) must be at least rows (4)"),
        ("banks = 3", "banks", "power of two"),
        ("cols = 3", "cols", "cols must be a power of two"),
        ("act_w = 3", "\0", "act_w"),
        ("wgt_w = 17", "\0", "wgt_w"),
        ("acc_w = 40", "\0", "acc_w"),
        ('rows = "2"', "rows", "rows"),
        ("rows = 2.0", "rows", "rows"),
        ('index_mode = "rom"', "\0", "index_mode"),
        ("clock_mhz = 0.0", "clock_mhz", "clock_mhz"),
        ("clock_mhz = 1000000001", "clock_mhz", "clock_mhz"),
        ("clock_mhz = inf", "clock_mhz", "clock_mhz"),
        ("softmax = 1", "softmax", "softmax"),
        ('act_w = "8"', "\0", "act_w"),
        ("act_w = [8]", "\0", "act_w"),
        ("wgt_w = 2000-01-01", "\0", "wgt_w"),
        ("wgt_depth = 8193", "wgt_depth", "wgt_depth (8193) must be a multiple of banks"),
        ("this is not toml", "\0", "not a readable TOML file"),
    ],
)
def test_illegal_fields_are_one_line_that_names_them(
    tmp_path: Path, line: str, dropped: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(edited(tmp_path, line, without=dropped))
    message = str(caught.value)
    assert words in message
    assert "mine.toml" in message
    assert "\n" not in message


def test_unknown_names_list_the_choice() -> None:
    with pytest.raises(ConfigError, match="tiny, small, default, wide"):
        load_config("huge")
    with pytest.raises(ConfigError, match="does not exist"):
        load_config("absent.toml")


def test_names_cannot_leave_the_folder() -> None:
    with pytest.raises(ConfigError, match="unknown configuration"):
        load_config("../configs/tiny")


@pytest.mark.parametrize(("bits", "acc"), [(4, 32), (8, 32), (10, 32), (11, 48), (16, 48)])
def test_the_accumulator_follows_the_word_width(bits: int, acc: int) -> None:
    config = load_config("default").with_bits(bits)
    assert (config.act_w, config.wgt_w, config.acc_w) == (bits, bits, acc)
    assert config.act_max == 2**bits - 1
    assert config.wgt_max == 2 ** (bits - 1) - 1


def test_a_given_accumulator_is_kept() -> None:
    assert load_config("default").replace(wgt_w=16, acc_w=32).acc_w == 32


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config("tiny").rows = 4  # type: ignore[misc]


def test_every_field_but_name_and_clock_is_a_parameter() -> None:
    fields = {name.upper() for name in EngineConfig.model_fields} - {"NAME", "CLOCK_MHZ"}
    assert set(load_config("tiny").verilog_parameters()) == fields
