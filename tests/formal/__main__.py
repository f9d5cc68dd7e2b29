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


def main(names: list[str]) -> None:
    """Run, print, and keep what all proofs took."""
    chosen = [proof for proof in PROOFS if not names or proof.name.startswith(tuple(names))]
    seconds: dict[str, list[int]] = {}
    print("| " + " | ".join(table.HEAD) + " |\n" + "|---" * len(table.HEAD) + "|", flush=True)
    claim = ""
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
        seconds[proof.name] = [round(one) for one in took]
        cells = table.cells(proof, seconds[proof.name], claim, proved, cover, mutants)
        print("| " + " | ".join(cells) + " |", flush=True)
        claim = table.claim(proof)
    found = measured.read("formal")
    kept = {proof.name: found["seconds"].get(proof.name) for proof in PROOFS} | seconds
    found["seconds"] = {name: row for name, row in kept.items() if row is not None}
    (measured.FOLDER / "formal.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
