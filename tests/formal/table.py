"""The table of docs/formal.md: what is proved, from proofs.py, and what it took, as measured."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.files import markdown
from tests.formal.proofs import PROOFS
from tests.formal.sby import Proof, Result
from tools.tables import measured

HEAD = ("proof", "property", "parameters", "method", "cover", "mutants rejected", "seconds")


def claim(proof: Proof) -> str:
    """What is proved, and why a bounded proof suffices or what it leaves out."""
    return proof.claim + (f" ({proof.note})" if proof.note else "")


def cells(
    proof: Proof,
    seconds: Sequence[int],
    before: str = "",
    proved: Result | None = None,
    cover: Result | None = None,
    mutants: Sequence[Result] = (),
) -> list[str]:
    """A line of the table; a result that is not what it must be is said in capitals.

    before: the claim of the line above, which is not said twice.
    """
    method = f"bounded {proof.depth}" if proof.mode == "bmc" else f"induction {proof.depth}"
    survived = {n for n, result in enumerate(mutants) if result.status != "FAIL"}
    rejected = [
        f"{mutation.fault}{' SURVIVES' if number in survived else ''}"
        for number, mutation in enumerate(proof.mutations)
    ]
    return [
        f"`{proof.name}`",
        "the same" if claim(proof) == before else claim(proof),
        ", ".join(f"{name} {value}" for name, value in proof.parameters.items()) or "full width",
        method + _unless(proved),
        f"{proof.cover_depth} cycles" + _unless(cover),
        "; ".join(rejected),
        " + ".join(str(one) for one in seconds),
    ]


def _unless(result: Result | None) -> str:
    return "" if result is None or result.status == "PASS" else f" {result.status}"


def page_table() -> str:
    """All proofs, as `make formal` holds them, with the seconds that were measured last."""
    seconds, rows, before = measured.read("formal")["seconds"], [], ""
    for proof in PROOFS:
        rows.append(cells(proof, seconds[proof.name], before))
        before = claim(proof)
    return markdown.table(HEAD, rows).replace("---:", "---")
