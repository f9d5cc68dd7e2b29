"""Verilator finds nothing to say about any configuration, or about any module alone."""

from __future__ import annotations

import re
import subprocess

import pytest

from hwsim.numbers.config import EngineConfig, config_names, load_config
from hwsim.numbers.ecc import Ecc
from hwsim.rtl.build import verilator
from hwsim.rtl.tree import module_file, modules, search_options
from tests.rtl.configs import MANY, SKIPPING

pytestmark = pytest.mark.rtl

MODULES = modules()
#: Words of 64 bits; no tables; a single row, lane and bank.
WIDEST = [
    load_config("tiny").replace(act_w=16, wgt_w=16, acc_w=48),
    load_config("tiny").replace(rows=1, cols=1, banks=1, lut_tables=0),
]


def lint(top: str, **parameters: int | str) -> str:
    """What Verilator says with all warnings on; empty if nothing."""
    script, environment = verilator()
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    command = [
        script, "--lint-only", "-Wall", "--quiet-stats", "--default-language", "1364-2005",
        *search_options(), "--top-module", top, *values, str(module_file(top)),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stderr + done.stdout.partition("- V e r i l a t i o n")[0]


@pytest.mark.parametrize("name", config_names())
def test_named_configurations_are_clean(name: str) -> None:
    for mode, softmax in (("sram", True), ("hash", False)):
        config = load_config(name).replace(index_mode=mode, softmax=softmax)
        assert lint("hne_top", **config.verilog_parameters()) == ""


@pytest.mark.parametrize("config", MANY + SKIPPING, ids=lambda config: config.name)
def test_configurations_of_the_random_networks_are_clean(config: EngineConfig) -> None:
    assert lint("hne_top", **config.verilog_parameters()) == ""


def test_the_smallest_engine_is_clean() -> None:
    depths = dict.fromkeys(("tile_depth", "wgt_depth", "idx_depth", "act_depth", "chan_depth"), 1)
    config = load_config("tiny").replace(rows=1, cols=1, banks=1, prog_depth=2, **depths)
    skipping = config.replace(skip=True, skip_columns=1, skip_masks=1)
    for one in (config, skipping):
        assert lint("hne_top", **one.verilog_parameters()) == ""


def test_named_configurations_that_skip_are_clean() -> None:
    for name in config_names():
        config = load_config(name).replace(skip=True, index_mode="hash", ecc="secded")
        assert lint("hne_top", **config.verilog_parameters()) == ""


@pytest.mark.parametrize("ecc", ["parity", "secded"])
@pytest.mark.parametrize("config", [load_config("small"), load_config("tiny"), *WIDEST])
def test_an_engine_with_check_bits_is_clean(config: EngineConfig, ecc: Ecc) -> None:
    assert lint("hne_top", **config.replace(ecc=ecc).verilog_parameters()) == ""


@pytest.mark.parametrize("mode", ["sram", "hash"])
def test_an_engine_that_wakes_up_loaded_is_clean(mode: str) -> None:
    config = load_config("tiny").replace(index_mode=mode)
    assert lint("hne_top", INIT_DIR='"rom"', **config.verilog_parameters()) == ""


@pytest.mark.parametrize("module", MODULES)
def test_every_module_elaborates_alone(module: str) -> None:
    assert lint(module) == ""


@pytest.mark.parametrize(
    ("complaint", "wrong"),
    [
        ("ROWS_must_be", {"ROWS": 0}),
        ("BANKS_must_be", {"ROWS": 3, "BANKS": 2}),
        ("BANKS_must_be", {"BANKS": 6, "WGT_DEPTH": 6000}),
        ("COLS_must_be", {"COLS": 3}),
        ("WGT_DEPTH_must_be", {"WGT_DEPTH": 8191}),
        ("ACT_W_and_WGT_W_must_be", {"ACT_W": 3}),
        ("ACT_W_and_WGT_W_must_be", {"WGT_W": 17}),
        ("MULT_W_must_be", {"MULT_W": 7}),
        ("ACC_W_must_be", {"ACC_W": 40}),
        ("INDEX_MODE_must_be", {"INDEX_MODE": 2}),
        ("PROG_DEPTH_must_hold", {"PROG_DEPTH": 1}),
        ("SOFTMAX_must_be", {"SOFTMAX": 2}),
        ("SKIP_must_be", {"SKIP": 2}),
        ("ECC_must_be", {"ECC": 3}),
        ("REQUANTIZATION_must_be", {"REQUANTIZATION": 2}),
        ("REQUANTIZATION_must_be", {"REQUANTIZATION": 1, "ACT_W": 9}),
    ],
)
def test_an_illegal_parameter_set_stops_elaboration(complaint: str, wrong: dict[str, int]) -> None:
    assert f"hne_illegal_{complaint}" in lint("hne_top", **wrong)


@pytest.mark.parametrize("module", MODULES)
def test_files_follow_the_house_style(module: str) -> None:
    """One module of the file's name, standard header, spaces, 100 columns, a comment on top."""
    text = module_file(module).read_text(encoding="utf-8")
    header = "`resetall\n`timescale 1ns / 1ps\n`default_nettype none\n\n// "
    assert text.startswith(header)
    assert text.endswith("endmodule\n\n`resetall\n")
    assert text.count("\nmodule ") == 1
    assert f"\nmodule {module} " in text
    assert "\t" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("module", MODULES)
def test_every_parameter_says_what_it_is_for_and_costs(module: str) -> None:
    """A comment of its own above each, which is more than the name again."""
    header = module_file(module).read_text(encoding="utf-8").split("\n) (", 1)[0]
    comments: dict[str, str] = {}
    words: list[str] = []
    for line in header.split("\nmodule ", 1)[1].splitlines()[1:]:
        if found := re.match(r" *parameter .*?(\w+) =", line):
            comments[found[1]] = " ".join(words)
            words = []
        else:
            words.append(line.strip().removeprefix("// "))
    assert {name for name, said in comments.items() if len(said.split()) < 5} == set()
