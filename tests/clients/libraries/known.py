"""The three libraries, and all their attacks."""

from __future__ import annotations

from importlib.metadata import version

from tests.clients.libraries import from_art, from_foolbox, from_torchattacks
from tests.clients.libraries.attempts import Case

LIBRARIES = {"torchattacks": from_torchattacks, "Foolbox": from_foolbox, "ART": from_art}
PACKAGES = {
    "torchattacks": "torchattacks",
    "Foolbox": "foolbox",
    "ART": "adversarial-robustness-toolbox",
}


def installed(library: str) -> str:
    """Its version."""
    return version(PACKAGES[library])


def cases(library: str) -> list[Case]:
    """Every attack of one library, in alphabetical order."""
    return list(LIBRARIES[library].cases())
