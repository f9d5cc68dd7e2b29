"""What guards of memories cost: check bits for docs/rtl.md, all of them for docs/faults.md."""

from __future__ import annotations

from functools import cache

import torch

from hwsim import compile, load_config
from hwsim.cost.timing import analyze
from hwsim.faults.guard_costs import guard_cost
from hwsim.faults.guards import GuardChoice
from hwsim.files import markdown
from hwsim.models import zoo
from hwsim.networks.open import open_program
from hwsim.numbers.ecc import ECC, check_bits
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files

NETWORK, CONFIG = "mnist-cnn-h16", "default"
#: Networks whose guards docs/faults.md compares.
GUARDED = {"mnist-cnn-h16": (1, 28, 28), "resnet20-h16": (3, 32, 32)}


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


#: What guards a memory, as docs/faults.md compares it.
GUARDS = ("parity", "secded", "clip", "signature:64", "signature:512")


def guards() -> str:
    """Bits, cycles and energy of what guards weights and indices, by network."""
    rows = []
    for name, shape in GUARDED.items():
        # Bits, cycles and energy depend on sizes alone: any images will do to compile.
        noise = torch.rand(8, *shape, generator=torch.Generator().manual_seed(0))
        program = compile(zoo.load(name).eval(), noise, load_config(CONFIG))
        report = analyze(program)
        weights = report.allocated_bits["hash"]
        indices = report.allocated_bits["index_sram"] - weights
        for guard in GUARDS:
            cost = guard_cost(program, GuardChoice.of(guard))
            rows.append([
                name, f"`{guard}`", f"{cost.weight_bits:,}", f"{cost.weight_bits / weights:.2%}",
                f"{cost.index_bits:,}", f"{cost.index_bits / indices:.2%}", f"{cost.cycles:,}",
                f"{cost.cycles / report.cycles:.2%}", f"{cost.nj / report.energy.nj:.2%}",
            ])  # fmt: skip
    head = ["network", "guard", "bits more, weights", "share", "bits more, indices", "share",
            "cycles more", "share", "energy more"]  # fmt: skip
    return markdown.table(head, rows)
