"""Accuracy of a trained network on the engine, kept in its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.files.cache import writable_folder
from hwsim.files.content import digest
from hwsim.models import zoo
from hwsim.models.datasets.dataset import Dataset, load_dataset
from hwsim.models.loop import accuracy
from hwsim.networks.open import open_network, pixels, place, versions
from hwsim.runs.count import fingerprint
from hwsim.runs.unfinished import keep, kept

#: Images between two updates of the progress and of what an interrupted run keeps.
BATCH = 500

#: (width, images done, images in all).
Progress = Callable[[int, int, int], None]


def measure(
    name: str,
    bits: Sequence[int] = (8,),
    config: str = "default",
    on_progress: Progress = lambda width, done, total: None,
) -> zoo.Card:
    """Count the hits on the whole test set with ``bits``-wide words, and write them into the card.

    name: of the zoo, or the path of what ``hwsim train`` wrote. Interrupted, the same call goes on
    after the last batch: until the card is written, hwsim's cache keeps the hits. Raises
    HwsimError, also for test data other than that of the card.
    """
    where = place(name)
    card = zoo.card(*where)
    test = load_dataset(card.dataset, "test")
    zoo.check_test_data(card, test.digest)
    found = dict(card.fixed_accuracy)
    partials = []
    for width in bits:
        engine = Engine(open_network(name, config, width).program)
        key = digest([fingerprint(engine.program), test.digest, BATCH, versions()])
        partials.append(writable_folder("measured") / f"{key[:32]}.json")

        def show(done: int, width: int = width) -> None:
            on_progress(width, done, len(test))

        found[width] = _hits(engine, test, partials[-1], key, show) / len(test)
    ordered = {width: found[width] for width in sorted(found, reverse=True)}
    made = zoo.save_card(card.model_copy(update={"fixed_accuracy": ordered}), zoo.home(*where))
    for partial in partials:
        partial.unlink(missing_ok=True)
    return made


def _hits(
    engine: Engine, test: Dataset, partial: Path, key: str, on_progress: Callable[[int], None]
) -> int:
    """Test images that the engine gets right, counted batch by batch."""
    images, labels = pixels(test), torch.from_numpy(test.labels)
    done, hits = _resumed(partial, key, len(test))
    on_progress(done)
    while done < len(test):
        right = labels[done : done + BATCH]
        hits += round(accuracy(engine, images[done : done + BATCH], right) * len(right))
        done += len(right)
        keep(partial, key, {"done": done, "hits": hits})
        on_progress(done)
    return hits


def _resumed(partial: Path, key: str, total: int) -> tuple[int, int]:
    """(images done, hits) of an earlier run with the same key; zeros where nothing is usable."""
    try:
        data = kept(partial, key)
        if data is not None:
            done, hits = int(data["done"]), int(data["hits"])
            if 0 <= hits <= done <= total and (done == total or done % BATCH == 0):
                return done, hits
    except InputError:
        raise
    except (ValueError, LookupError, TypeError):
        pass  # nothing usable is kept: start anew
    return 0, 0
