"""The table of the probability unit: one in Python, in the oracle, and in Verilog."""

from __future__ import annotations

import re

from hwsim.engine import reference
from hwsim.rtl.tree import module_file
from hwsim.units.softmax import EXP_LUT, verilog_table

TABLE = module_file("hne_exp_lut")


def test_committed_table_is_what_the_generator_writes() -> None:
    assert TABLE.read_text(encoding="utf-8") == verilog_table()


def test_table_is_that_of_the_oracle() -> None:
    assert tuple(EXP_LUT.tolist()) == reference.EXP_LUT


def test_verilog_leaves_out_zeros_only() -> None:
    entries = re.findall(r"8'd(\d+): power_o <= 17'd(\d+);", verilog_table())
    listed = {int(n): int(power) for n, power in entries}
    assert [listed.get(n, 0) for n in range(256)] == list(reference.EXP_LUT)
