"""Accuracy of a trained network on the engine, kept in its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hwsim.engine.module import Engine
from hwsim.models import zoo
from hwsim.models.datasets.dataset import load_dataset
from hwsim.models.loop import accuracy
from hwsim.networks.open import open_network, pixels, place


def measure(
    name: str,
    bits: Sequence[int] = (8,),
    config: str = "default",
    on_bits: Callable[[int], None] = lambda bits: None,
) -> zoo.Card:
    """Count the hits on the whole test set with ``bits``-wide words, and write them into the card.

    name: of the zoo, or the path of what ``hwsim train`` wrote. Raises HwsimError, also for test
    data other than that of the card.
    """
    where = place(name)
    card = zoo.card(*where)
    test = load_dataset(card.dataset, "test")
    zoo.check_test_data(card, test.digest)
    found = dict(card.fixed_accuracy)
    for width in bits:
        on_bits(width)
        engine = Engine(open_network(name, config, width).program)
        found[width] = accuracy(engine, pixels(test), torch.from_numpy(test.labels))
    ordered = {width: found[width] for width in sorted(found, reverse=True)}
    return zoo.save_card(card.model_copy(update={"fixed_accuracy": ordered}), zoo.home(*where))
