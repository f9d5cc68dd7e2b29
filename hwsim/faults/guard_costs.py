"""What a guard takes of an inference: bits, cycles, and energy by the engine's cost model.

Check bits are the engine's own and are priced as wider words (``hwsim.cost``). Clipping and
signatures stand in no Verilog; what they would take is counted from what they do, event by event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.cost.energy import add_pj, multiply_pj, sram_pj_per_bit
from hwsim.cost.timing import analyze
from hwsim.faults.guards import GuardChoice, without_check_bits
from hwsim.faults.signature import SignatureRule
from hwsim.program.layers import MacLayer
from hwsim.program.program import Placement, Program

#: 32-bit operations of one xxHash32 of two words: a line and a key make 32 signs.
HASH_MULTIPLIES, HASH_ADDS, SIGNS = 6, 4, 32
#: Cycles from a line's address to its words.
READ = 1


@dataclass(frozen=True)
class GuardCost:
    """weight_bits, index_bits: more than without. cycles, nj: more of an inference."""

    weight_bits: int
    index_bits: int
    cycles: int
    nj: float


def guard_cost(program: Program, choice: GuardChoice) -> GuardCost:
    """What ``choice`` takes of a program's engine, which has no check bits.

    Clipping holds one magnitude a layer and compares each word that a bank answers with it, up and
    down. A signature reads all lines of the weights in front of every image, one a cycle, and adds
    up the words of each bank; indices it adds up as they come. Where a group is bad, as many cycles
    again as it has words.
    """
    plain = without_check_bits(program)
    if choice.kind == "clip":
        layers = len(program.mac_layers)
        width = program.config.wgt_w
        reads = sum(row.count for row in analyze(plain).energy.rows if row.name == BANK_READS)
        return GuardCost(layers * (width - 1), 0, 0, 2 * reads * add_pj(width) / 1000)
    if choice.kind == "signature":
        return _signature(plain, SignatureRule(choice.group, choice.bits))
    before = analyze(plain)
    after = analyze(plain.replace(config=plain.config.replace(ecc=choice.kind)))
    mode = "index_sram" if program.config.index_mode == "sram" else "hash"
    words = after.allocated_bits["hash"] - before.allocated_bits["hash"]
    more = after.allocated_bits[mode] - before.allocated_bits[mode]
    return GuardCost(
        words, more - words, after.cycles - before.cycles, after.energy.nj - before.energy.nj
    )


#: Of the energy's rows that which counts words from the banks.
BANK_READS = "weight bank reads"


def _signature(program: Program, rule: SignatureRule) -> GuardCost:
    config = program.config
    weights, indices = _lines(program)
    more = math.ceil(math.log2(rule.group))
    width = config.wgt_w
    total = sum(weights)
    word_groups = sum(math.ceil(n / rule.group) for n in weights) * config.banks
    index_groups = sum(math.ceil(n / rule.group) for n in indices) * config.rows
    per_bit, _ = sram_pj_per_bit(total * config.banks * width)
    pj = total * config.banks * (per_bit * width + add_pj(width + more))
    pj += sum(indices) * config.rows * add_pj(1 + config.addr_w + more)
    hashes = total * math.ceil(config.banks / SIGNS)
    hashes += sum(indices) * math.ceil(config.rows / SIGNS)
    pj += hashes * (HASH_MULTIPLIES * multiply_pj(32, 32) + HASH_ADDS * add_pj(32))
    kept = (word_groups + index_groups) * rule.bits
    pj += kept * sram_pj_per_bit(kept)[0] if kept else 0.0
    return GuardCost(
        word_groups * rule.bits, index_groups * rule.bits, total + READ if total else 0, pj / 1000
    )


def _lines(program: Program) -> tuple[list[int], list[int]]:
    """Lines of weights and of stored indices, layer by layer."""
    places: list[Placement] = [
        place
        for layer, place in zip(program.layers, program.placements(), strict=True)
        if isinstance(layer, MacLayer)
    ]
    stored = program.config.index_mode == "sram"
    return (
        [place.weight_lines for place in places],
        [place.index_lines for place in places if stored],
    )
