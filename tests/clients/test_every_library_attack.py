"""docs/libraries.md says what becomes of every attack of three libraries: it becomes of it here."""

from __future__ import annotations

from functools import cache

import pytest

from tests.clients.libraries.attempts import (
    CLAMP,
    FAILS,
    RUNS,
    UNTRIED,
    Case,
    Fate,
    Hung,
    Victim,
    attempt,
    fate,
    victims,
)
from tests.clients.libraries.known import LIBRARIES, cases
from tests.clients.libraries.reasons import REASONS
from tests.clients.table import PATH, listed, row

pytestmark = [pytest.mark.clients, pytest.mark.slow]

#: Named by the issue that asked for ``outside``: they look beyond [0, 1] on their way.
BEYOND = {"NIFGSM", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA"}
MODULES = {"torchattacks": "torchattacks", "Foolbox": "foolbox", "ART": "art"}
#: Every library's attacks are dealt to as many tests, so that several workers share them.
PARTS = 3


def cases_of(library: str) -> list[Case]:
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")
    return cases(library)


@cache
def models() -> dict[str, Victim]:
    return victims()


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_page_lists_every_attack_and_no_other(library: str) -> None:
    every = cases_of(library)
    page = listed(PATH.read_text(), library)
    assert len(every) >= 20, "the library was not looked through"
    assert [cells[0] for cells in page] == [case.name for case in every]
    named = {name for of, name in REASONS if of == library}
    assert {cells[0] for cells in page if cells[1] in (FAILS, UNTRIED)} == named
    if library == "torchattacks":
        assert {cells[0] for cells in page if cells[1] == CLAMP} >= BEYOND


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_fate_of_every_attack_is_what_the_page_says(library: str, part: int) -> None:
    every = cases_of(library)[part::PARTS]
    found = [(case, fate(case, models())) for case in every if not case.compiles]
    rows = {case.name: row(case, became.kind) for case, became in found}
    rows |= {case.name: row(case, RUNS) for case in every if case.compiles}
    page = listed(PATH.read_text(), library)[part::PARTS]
    assert page == [rows[case.name] for case in every], "python -m tests.clients.table"
    for _, became in found:
        check_causes(became)


def check_causes(became: Fate) -> None:
    """Whatever runs on an ordinary network runs on the engine that clamps; errors are known."""
    assert not became.engines_fault, became.name
    if became.kind == CLAMP:
        assert 'there is Engine(program, outside="clamp")' in became.engine
    if became.kind in (FAILS, UNTRIED):
        error = REASONS[became.library, became.name].error
        assert error in became.engine
        assert error in became.clamped
        assert error in became.float


def test_of_the_attacks_that_compile_themselves_one_runs_here() -> None:
    kind = [case for case in cases_of("Foolbox") if "BrendelBethge" in case.name]
    assert len(kind) == 4
    assert [case.name for case in kind if not case.compiles] == ["L2BrendelBethgeAttack"]


@pytest.mark.parametrize("library", ["torchattacks", "ART"])
def test_no_other_attack_is_left_to_the_writer_of_the_page(library: str) -> None:
    left = [case.name for case in cases_of(library) if case.compiles]
    assert left == (["BrendelBethgeAttack"] if library == "ART" else [])


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_left_out_is_still_in_the_library(library: str) -> None:
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")
    import art.attacks.evasion
    import foolbox.attacks
    import torchattacks

    homes = {"torchattacks": torchattacks, "Foolbox": foolbox.attacks, "ART": art.attacks.evasion}
    assert [name for name in LIBRARIES[library].NO_CASE if not hasattr(homes[library], name)] == []


def test_an_attack_that_hangs_is_an_error_and_no_fate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.clients.libraries.attempts.GUARD", 0.2)

    def hang(victim: object) -> None:
        while True:
            pass

    with pytest.raises(Hung, match="has not ended"):
        attempt(Case("a library", "an attack", hang), victims()["float"])  # type: ignore[arg-type]
