"""Every proof holds, is not vacuous, and rejects its mutants. `make formal`, partly `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formal.proofs import PROOFS
from tests.formal.sby import Mutation, Proof, replaced, run

pytestmark = [pytest.mark.formal, pytest.mark.slow]

#: Proofs that take a few seconds each: of the bus, the buffers, the arbiters, lines of post, check
#: bits, what a wrong word stops, and the short ones of skipping.
SMALL = {
    "skid", "fifo", "stream_gate", "axil", "mulhi", "bank_arbiter_3x2", "stream_out", "hash",
    "post", "code_8", "code_64", "parity", "ecc_ram", "stop",
    "weight_bank", "index_key_sram", "slots_plain", "floor",
}  # fmt: skip


def marks(proof: Proof) -> list[pytest.MarkDecorator]:
    return [pytest.mark.small] if proof.name in SMALL else []


ALL = [pytest.param(proof, id=proof.name, marks=marks(proof)) for proof in PROOFS]
MUTANTS = [
    pytest.param(proof, mutation, id=f"{proof.name}-{number}", marks=marks(proof))
    for proof in PROOFS
    for number, mutation in enumerate(proof.mutations)
]


@pytest.mark.parametrize("proof", ALL)
def test_the_property_is_proved(proof: Proof, tmp_path: Path) -> None:
    result = run(proof, "prove", tmp_path)
    assert result.status == "PASS", result.log


@pytest.mark.parametrize("proof", ALL)
def test_the_property_is_not_vacuous(proof: Proof, tmp_path: Path) -> None:
    result = run(proof, "cover", tmp_path)
    assert result.status == "PASS", result.log


@pytest.mark.parametrize(("proof", "mutation"), MUTANTS)
def test_the_proof_rejects_a_mutant(proof: Proof, mutation: Mutation, tmp_path: Path) -> None:
    result = run(proof, "mutant", tmp_path, mutation)
    assert result.status == "FAIL", result.log


@pytest.mark.small
def test_the_small_proofs_are_proofs() -> None:
    assert {proof.name for proof in PROOFS} >= SMALL


@pytest.mark.small
def test_a_mutation_must_match_exactly_once() -> None:
    mutation = Mutation("file", "a", "b")
    assert mutation.apply("xax") == "xbx"
    for text in ("", "aa"):
        with pytest.raises(ValueError, match="not once"):
            mutation.apply(text)


@pytest.mark.small
def test_a_constant_must_be_there() -> None:
    header = "localparam integer GAP = 12;\nlocalparam integer WINDOW = 16;\n"
    assert replaced(header, {"WINDOW": 2}) == header.replace("16", "2")
    with pytest.raises(ValueError, match="WIN 0 times"):
        replaced(header, {"WIN": 2})
