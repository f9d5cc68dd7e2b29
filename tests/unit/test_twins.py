"""Every unit of rtl/ that computes or costs cycles has a Python file of its name, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim import units
from hwsim.rtl.tree import RTL

#: Python files that are no unit.
NO_UNIT = {
    "average": "sums of windows: the array, with weights of one",
    "post_add": "additions: lanes of post with two products, whose twin is post",
    "post_away": "the other rounding of post, whose twin is post",
    "post_vectors": "post in vectors of a processor, whose twin is post",
    "post_wrap": "post of words that no proof covers, whose twin is post",
    "schedule": "how units take turns within a layer: the recurrences, no hardware",
}

#: Modules in rtl/units without a file of their own -> the twin that has their part, and why.
PARTS = {
    "act_bank": ("act_buffer", "one bank of it: its READ"),
    "act_lanes": ("act_buffer", "ADDRESS and ALIGN of a read"),
    "act_path": ("act_buffer", "ties reader, buffer and lanes together"),
    "act_reader": ("act_buffer", "which element is read next: the cycles of a strided column"),
    "argmax": ("post", "compares in the cycle in which post writes a logit"),
    "conflicts": ("expander", "COMPARE: which rows want one bank or word"),
    "exp_lut": ("softmax", "its table, written by it"),
    "floor": ("sequencer", "when a layer may end, on an engine that skips"),
    "i_round": ("index", "the cycles of a row-tile before its first column"),
    "index_hash": ("index", "its source `hash`"),
    "index_key": ("index", "COLUMN: its column and product, on an engine that skips"),
    "index_sram": ("index", "its source `sram`"),
    "instruction": ("sequencer", "takes the words of an instruction: FETCH and SETUP"),
    "logit_path": ("softmax", "ties argmax, output stream and softmax together"),
    "mac_control": ("mac_array", "the cycles of a slot"),
    "mac_path": ("mac_array", "ties control, array, memories and post together"),
    "mac_row": ("mac_array", "a row of it: BROADCAST to SHADOW"),
    "masks": ("slots", "which columns are left of a window"),
    "post_lane": ("post", "a lane of it: BROADCAST to CLAMP"),
    "replay": ("slots", "where a column stands that was looked up"),
    "tile_buffer": ("expander", "WRITE, its last stage"),
    "turns": ("expander", "TURNS, its stages in front of the column register"),
    "weight_bank": ("expander", "one bank: its READ"),
    "weight_banks": ("expander", "all of them"),
    "weight_path": ("expander", "ties index source, expander and banks together"),
}

FOLDER = Path(units.__file__).parent
TWINS = sorted({path.stem for path in FOLDER.glob("*.py")} - {"__init__", *NO_UNIT})
VERILOG = {path.stem.removeprefix("hne_"): path for path in (RTL / "units").glob("hne_*.v")}


@pytest.mark.parametrize("name", TWINS)
def test_twins_name_each_other(name: str) -> None:
    python = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    above = VERILOG[name].read_text(encoding="utf-8").split("\nmodule ", 1)[0]
    assert f"(twin: rtl/units/hne_{name}.v)" in python.split('"""')[1].replace("\n", " ")
    assert f"(twin: hwsim/units/{name}.py)" in above.replace("\n// ", " ")


def test_a_unit_is_a_twin_or_part_of_one() -> None:
    assert set(VERILOG) == {*TWINS, *PARTS}
    assert not set(TWINS) & set(PARTS)
    assert {twin for twin, _ in PARTS.values()} <= set(TWINS)


def test_what_is_no_unit_has_no_verilog() -> None:
    assert not set(NO_UNIT) & set(VERILOG)
    assert all((FOLDER / f"{name}.py").is_file() for name in NO_UNIT)
