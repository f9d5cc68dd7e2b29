"""All that ``make hostile`` runs."""

from __future__ import annotations

from importlib.util import find_spec

from tests.fuzz.rounds import Subject
from tests.hostile import clusters, damage, kills

#: Each has a table in docs/reliability.md.
AREAS = ("mutations", "models", "kills", "clusters")


def subjects() -> list[Subject]:
    """Every subject of every area; those of clusters where dask is installed."""
    found: list[Subject] = [*damage.subjects(), *kills.subjects()]
    return [*found, *clusters.subjects()] if find_spec("distributed") else found
