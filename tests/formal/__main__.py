"""Runs the proofs whose names begin so (or all) and prints the table of docs/formal.md.

The seconds go to docs/measured/formal.json, from which ``python -m tools.tables`` writes the
table; proofs that were not named keep theirs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.formal import table
from tests.formal.proofs import PROOFS
from tests.formal.sby import Result, run
from tools.tables import measured


def main(names: list[str]) -> int:
    """Run, print, and keep what each proof took; 1 if one is not what it must be."""
    chosen = [proof for proof in PROOFS if not names or proof.name.startswith(tuple(names))]
    print("| " + " | ".join(table.HEAD) + " |\n" + "|---" * len(table.HEAD) + "|", flush=True)
    claim, wrong = "", 0
    for proof in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            where = Path(scratch)
            proved = run(proof, "prove", where / "prove")
            cover = run(proof, "cover", where / "cover")
            mutants: list[Result] = [
                run(proof, "mutant", where / f"mutant{number}", mutation)
                for number, mutation in enumerate(proof.mutations)
            ]
        took = [proved.seconds, cover.seconds, sum(one.seconds for one in mutants)]
        seconds = [round(one) for one in took]
        cells = table.cells(proof, seconds, claim, proved, cover, mutants)
        print("| " + " | ".join(cells) + " |", flush=True)
        claim = table.claim(proof)
        statuses = [proved.status, cover.status, *(mutant.status for mutant in mutants)]
        if statuses == ["PASS", "PASS"] + ["FAIL"] * len(mutants):
            keep(proof.name, seconds)
        else:
            wrong = 1
    return wrong


def keep(name: str, seconds: list[int]) -> None:
    """Write what a proof took beside what the others took, in the order of the page."""
    found = measured.read("formal")
    kept = found["seconds"] | {name: seconds}
    found["seconds"] = {proof.name: kept[proof.name] for proof in PROOFS if proof.name in kept}
    (measured.FOLDER / "formal.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
