"""All that ``make hostile`` runs."""

from __future__ import annotations

from tests.fuzz.rounds import Subject
from tests.hostile import damage


def subjects() -> list[Subject]:
    """Every subject of every area."""
    return [*damage.subjects()]
