"""What check bits cost, for docs/rtl.md: bits by memory, and a network's bits, energy, cycles."""

from __future__ import annotations

from functools import cache

from hwsim.cost.timing import analyze
from hwsim.files import markdown
from hwsim.networks.open import open_program
from hwsim.numbers.ecc import ECC, check_bits
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files

NETWORK, CONFIG = "mnist-cnn-h16", "default"


@cache
def _program() -> Program:
    return open_program(NETWORK, CONFIG)


def words() -> str:
    """Bits of a word of each memory, and its check bits."""
    program = _program()
    rows = [
        [f"`{name}`", str(file.width), *(str(check_bits(ecc, file.width)) for ecc in ECC[1:])]
        for name, file in memory_files(program).items()
    ]
    tables = program.config.act_w
    rows.append(["`lut.mem`", str(tables), *(str(check_bits(ecc, tables)) for ecc in ECC[1:])])
    return markdown.table(["memory", "bits of a word", *ECC[1:]], rows)


def costs() -> str:
    """Bits of weights and indices, energy and cycles of one inference."""
    program, rows, first = _program(), [], 0.0
    for ecc in ECC:
        report = analyze(program.replace(config=program.config.replace(ecc=ecc)))
        bits, energy = report.allocated_bits, report.energy.nj
        first = first or energy
        rows.append([
            f"`{ecc}`", f"{bits['index_sram']:,}", f"{bits['hash']:,}", f"{energy / 1000:,.1f} µJ",
            f"{energy / first - 1:.1%}", f"{report.cycles:,}",
        ])  # fmt: skip
    head = [f"{NETWORK} on `{CONFIG}`", "bits of weights and indices", "of weights alone",
            "energy", "more", "cycles"]  # fmt: skip
    return markdown.table(head, rows)
