"""What guards cost, counted by hand on a small network."""

from __future__ import annotations

import pytest

from hwsim.cost.energy import add_pj, multiply_pj, sram_pj_per_bit
from hwsim.cost.timing import analyze
from hwsim.faults.guard_costs import guard_cost
from hwsim.faults.guards import GuardChoice
from hwsim.numbers.config import load_config
from tests.images import small_program

CONFIG = load_config("tiny")


def test_check_bits_cost_what_the_engine_with_them_costs() -> None:
    for ecc in ("parity", "secded"):
        cost = guard_cost(small_program(), GuardChoice.of(ecc))
        plain = analyze(small_program())
        coded = analyze(small_program(CONFIG.replace(ecc=ecc)))
        assert cost.cycles == 0
        assert cost.nj == pytest.approx(coded.energy.nj - plain.energy.nj)
        more = coded.allocated_bits["index_sram"] - plain.allocated_bits["index_sram"]
        assert cost.weight_bits + cost.index_bits == more


def test_clipping_costs_a_bound_a_layer_and_two_comparisons_a_word_read() -> None:
    cost = guard_cost(small_program(), GuardChoice.of("clip"))
    (reads,) = [
        row.count for row in analyze(small_program()).energy.rows if row.name == "weight bank reads"
    ]
    assert (cost.weight_bits, cost.index_bits, cost.cycles) == (3 * 7, 0, 0)
    assert reads > 0
    assert cost.nj == pytest.approx(2 * reads * add_pj(CONFIG.wgt_w) / 1000)


@pytest.mark.parametrize("stored", [True, False])
def test_a_signature_costs_a_pass_over_the_weights_and_nothing_but_adds_over_indices(
    stored: bool,
) -> None:
    """7, 12 and 15 words in 2 banks: 4 + 6 + 8 lines; indices: 2 tiles of 9 lines and 3 of 27."""
    config = CONFIG.replace(index_mode="sram" if stored else "hash")
    assert (config.banks, config.rows) == (2, 2)
    cost = guard_cost(small_program(config), GuardChoice.of("signature:4:3"))
    word_groups, index_groups = 2 * (1 + 2 + 2), 2 * (5 + 21) * stored
    assert cost.weight_bits == 3 * word_groups
    assert cost.index_bits == 3 * index_groups
    assert cost.cycles == 4 + 6 + 8 + 1
    lines, width, stored_lines = 18, config.wgt_w, 99 * stored
    macro = sram_pj_per_bit(lines * 2 * width)[0]
    wanted = lines * 2 * (macro * width + add_pj(width + 2))
    wanted += stored_lines * 2 * add_pj(1 + config.addr_w + 2)
    wanted += (lines + stored_lines) * (6 * multiply_pj(32, 32) + 4 * add_pj(32))
    kept = 3 * (word_groups + index_groups)
    wanted += kept * sram_pj_per_bit(kept)[0]
    assert cost.nj == pytest.approx(wanted / 1000)
