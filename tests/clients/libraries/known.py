"""The three libraries, and the fates of all their attacks."""

from __future__ import annotations

from importlib.metadata import version

from tests.clients.libraries import from_art, from_foolbox, from_torchattacks
from tests.clients.libraries.attempts import Fate, fate, victims

LIBRARIES = {"torchattacks": from_torchattacks, "Foolbox": from_foolbox, "ART": from_art}
PACKAGES = {
    "torchattacks": "torchattacks",
    "Foolbox": "foolbox",
    "ART": "adversarial-robustness-toolbox",
}


def installed(library: str) -> str:
    """Its version."""
    return version(PACKAGES[library])


def fates(library: str, seed: int = 0) -> list[Fate]:
    """Of every attack of one library, in alphabetical order."""
    models = victims(seed)
    return [fate(case, models) for case in LIBRARIES[library].cases()]
