"""docs/faults.md: its tables are put there by the commands that measure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.faults.guards import bounds_of
from hwsim.networks.open import open_program
from tests.docs_claims.page import Page
from tests.docs_claims.rendered import Row, row, tables
from tools.tables.protection import CONFIG, NETWORK


def guarded(memory: str, guard: str, attacker: str, network: str = "MNIST, 1/16") -> Row:
    """A row of the study protection."""
    places = {"MNIST, 1/16": "protection", "ResNet-20, 1/16": "protection-resnet20-h16"}
    (rows, _) = tables(places[network])
    return row(rows, network=network, memory=memory, guard=guard, attacker=attacker)


def cost(guard: str, network: str = NETWORK) -> Row:
    """A row of the table of costs; of the shares that of the weights comes first."""
    (rows,) = tables("guard-costs", "docs/faults.md")
    return row(rows, network=network, guard=f"`{guard}`")


def _claims() -> Iterator[str]:
    """What a bound can do, from the network's words."""
    program = open_program(NETWORK, CONFIG)
    bounds = bounds_of(program)
    beyond, words, rows = [], [], []
    for number, bound in bounds.items():
        layer = program.layers[number]
        stored = layer.weights.astype(np.int64)  # type: ignore[union-attr]
        half = program.config.wgt_max + 1
        flipped = np.where(stored < 0, stored + half, stored - half)
        beyond.append(int((np.abs(flipped) > bound).sum()))
        words.append(len(stored))
        virtual = np.abs(layer.virtual_weights.astype(np.int64))  # type: ignore[union-attr]
        rows += (virtual.max(1) / bound).tolist()
    yield f"only {sum(beyond) / sum(words):.1%} of the words"
    largest = int(np.argmax(words))
    yield f"{beyond[largest] / words[largest]:.1%} of the largest layer's"
    yield f"{sum(beyond[:2]) / sum(words[:2]):.0%} of the first\ntwo's"
    yield f"the many words that a row reads is {np.mean(rows):.0%} of the layer's in the mean"


PAGE = Page(
    "docs/faults.md",
    _claims,
    fixed={
        "the 95% interval of its mean accuracy": "the method's level",
        "share of trials that change any answer is ± 5 points": "SHARE of the campaigns",
        "takes 9% more LUTs of `small`": "the table of synthesis.md, to which it points",
    },
)
