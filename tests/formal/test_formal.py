"""Every proof holds, is not vacuous, and rejects its mutants. `make formal`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formal.proofs import PROOFS
from tests.formal.sby import Mutation, Proof, run

pytestmark = [pytest.mark.formal, pytest.mark.slow]

MUTANTS = [
    pytest.param(proof, mutation, id=f"{proof.name}-{number}")
    for proof in PROOFS
    for number, mutation in enumerate(proof.mutations)
]


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_the_property_is_proved(proof: Proof, tmp_path: Path) -> None:
    result = run(proof, "prove", tmp_path)
    assert result.status == "PASS", result.log


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_the_property_is_not_vacuous(proof: Proof, tmp_path: Path) -> None:
    result = run(proof, "cover", tmp_path)
    assert result.status == "PASS", result.log


@pytest.mark.parametrize(("proof", "mutation"), MUTANTS)
def test_the_proof_rejects_a_mutant(proof: Proof, mutation: Mutation, tmp_path: Path) -> None:
    result = run(proof, "mutant", tmp_path, mutation)
    assert result.status == "FAIL", result.log


def test_a_mutation_must_match_exactly_once() -> None:
    mutation = Mutation("file", "a", "b")
    assert mutation.apply("xax") == "xbx"
    for text in ("", "aa"):
        with pytest.raises(ValueError, match="not once"):
            mutation.apply(text)
