"""All kinds of files that are damaged. Every one is small, so that a case takes milliseconds."""

from __future__ import annotations

from tests.hostile.answers import Answer
from tests.hostile.artefact import Artefact
from tests.hostile.artefacts import Card, Checkpoint, Configuration, Image, Network, Rows
from tests.hostile.model_files import (
    Exported,
    ExternalOnnx,
    FloatOnnx,
    Inputs,
    OperatorOnnx,
    OwnOnnx,
    QdqOnnx,
    QuantOnnx,
    Tflite,
)

KINDS: list[type[Artefact]] = [Image, Network, Card, Rows, Checkpoint, Configuration, Answer]
#: What strangers hand over: a network, or inputs of one.
MODELS: list[type[Artefact]] = [
    QdqOnnx, OperatorOnnx, QuantOnnx, OwnOnnx, FloatOnnx, ExternalOnnx, Tflite, Exported, Inputs,
]  # fmt: skip
