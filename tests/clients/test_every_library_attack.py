"""docs/libraries.md says what becomes of every attack of three libraries: it becomes of it here."""

from __future__ import annotations

from functools import cache

import pytest

from tests.clients.libraries.attempts import (
    CLAMP,
    FAILS,
    UNTRIED,
    Case,
    Fate,
    Hung,
    attempt,
    victims,
)
from tests.clients.libraries.known import LIBRARIES, fates
from tests.clients.libraries.reasons import REASONS
from tests.clients.table import PATH, listed, rows

pytestmark = [pytest.mark.clients, pytest.mark.slow]

#: Named by the issue that asked for ``outside``: they look beyond [0, 1] on their way.
BEYOND = {"NIFGSM", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA"}
MODULES = {"torchattacks": "torchattacks", "Foolbox": "foolbox", "ART": "art"}


def found_in(library: str) -> list[Fate]:
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")
    return _fates(library)


@cache
def _fates(library: str) -> list[Fate]:
    return fates(library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_fate_of_every_attack_is_what_the_page_says(library: str) -> None:
    found = found_in(library)
    assert len(found) >= 20, "the library was not looked through"
    assert listed(PATH.read_text(), library) == rows(found), "python -m tests.clients.table"
    # Whatever runs on an ordinary network runs on the engine that clamps.
    assert [fate.name for fate in found if fate.engines_fault] == []
    for fate in found:
        if fate.kind == CLAMP:
            assert 'there is Engine(program, outside="clamp")' in fate.engine
        if fate.kind in (FAILS, UNTRIED):
            error = REASONS[library, fate.name].error
            assert error in fate.engine
            assert error in fate.clamped
            assert error in fate.float
    failing = {(library, fate.name) for fate in found if fate.kind in (FAILS, UNTRIED)}
    assert failing == {key for key in REASONS if key[0] == library}, "a reason without a failure"
    if library == "torchattacks":
        assert {fate.name for fate in found if fate.kind == CLAMP} >= BEYOND


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
