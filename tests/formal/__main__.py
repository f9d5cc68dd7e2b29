"""Runs the proofs whose names begin so (or all) and prints the table of docs/formal.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.formal.proofs import PROOFS
from tests.formal.sby import Proof, Result, run


def row(proof: Proof, claim: str, proved: Result, cover: Result, mutants: list[Result]) -> str:
    """A line of the table; a result that is not what it must be is said in capitals."""
    method = f"bounded {proof.depth}" if proof.mode == "bmc" else f"induction {proof.depth}"
    rejected = [
        f"{mutation.fault}{'' if result.status == 'FAIL' else ' SURVIVES'}"
        for mutation, result in zip(proof.mutations, mutants, strict=True)
    ]
    cells = [
        f"`{proof.name}`",
        claim,
        ", ".join(f"{name} {value}" for name, value in proof.parameters.items()) or "full width",
        method + ("" if proved.status == "PASS" else f" {proved.status}"),
        f"{proof.cover_depth} cycles" + ("" if cover.status == "PASS" else f" {cover.status}"),
        "; ".join(rejected),
        f"{proved.seconds:.0f} + {cover.seconds:.0f} + {sum(r.seconds for r in mutants):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(names: list[str]) -> None:
    print("| proof | property | parameters | method | cover | mutants rejected | seconds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    before = ""
    for proof in PROOFS:
        if names and not any(proof.name.startswith(name) for name in names):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            where = Path(scratch)
            proved = run(proof, "prove", where / "prove")
            cover = run(proof, "cover", where / "cover")
            mutants = [
                run(proof, "mutant", where / f"mutant{number}", mutation)
                for number, mutation in enumerate(proof.mutations)
            ]
        claim = proof.claim + (f" ({proof.note})" if proof.note else "")
        print(
            row(proof, "the same" if claim == before else claim, proved, cover, mutants), flush=True
        )
        before = claim


main(sys.argv[1:])
