"""Whatever attack of the libraries runs on a float network runs on the Engine that clamps."""

from __future__ import annotations

import pytest

from tests.clients.attempts import CASES, RUNS, TOO_LONG, fates, versions
from tests.clients.table import PATH

pytestmark = [pytest.mark.clients, pytest.mark.slow]

#: Named by the issue that asked for ``outside``: they look beyond [0, 1] on their way.
BEYOND: dict[str, set[str]] = {
    "torchattacks": {"NIFGSM", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA"},
    "Foolbox": set(),
    "ART": set(),
}
MODULES = {"torchattacks": "torchattacks", "Foolbox": "foolbox", "ART": "art"}


@pytest.mark.parametrize("library", list(CASES))
def test_every_attack_that_runs_on_the_float_network_runs_on_the_clamping_engine(
    library: str,
) -> None:
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")
    found = {fate.name: fate for fate in fates(library)}
    assert len(found) >= 20, "the library was not looked through"
    assert [f.name for f in found.values() if f.fault == "engine"] == []
    for name in BEYOND[library] & found.keys():
        if found[name].engine == TOO_LONG:
            continue  # a slow machine; another one tells
        assert 'outside="clamp"' in found[name].engine or "InputError" in found[name].engine
        assert found[name].clamped == RUNS


#: ART is not on the page yet: python -m tests.clients.table writes all three.
@pytest.mark.parametrize("library", ["torchattacks", "Foolbox"])
def test_the_page_lists_every_attack_of_the_library(library: str) -> None:
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")
    page = PATH.read_text()
    assert f"## {library} {versions()[library]}\n" in page, "python -m tests.clients.table"
    listed = page.split(f"## {library} ")[1].split("\n## ")[0]
    names = {row.split("|")[1].strip() for row in listed.splitlines() if row.startswith("| ")}
    assert names - {"attack"} == {case.name for case in CASES[library]()}
