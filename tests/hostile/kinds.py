"""All kinds of files that are damaged. Every one is small, so that a case takes milliseconds."""

from __future__ import annotations

from tests.hostile.answers import Answer
from tests.hostile.artefact import Artefact
from tests.hostile.artefacts import Card, Checkpoint, Configuration, Image, Network, Rows

KINDS: list[type[Artefact]] = [Image, Network, Card, Rows, Checkpoint, Configuration, Answer]
