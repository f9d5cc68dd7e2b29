"""Accuracy of a trained network on the engine, kept in its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    tally = KeptHits(test, digest([card.sha256, test.digest, BATCH, versions()]))
    for width in bits:
        engine = Engine(open_network(name, config, width).program)

        def show(done: int, width: int = width) -> None:
            on_progress(width, done, len(test))

        found[width] = tally.hits(engine, show) / len(test)
    ordered = {width: found[width] for width in sorted(found, reverse=True)}
    made = zoo.save_card(card.model_copy(update={"fixed_accuracy": ordered}), zoo.home(*where))
    tally.forget()
    return made


class KeptHits:
    """Hits of engines on a test set, batch by batch, in one file of hwsim's cache.

    One file for all engines, so that there is no moment at which some of them are forgotten, the
    others not. test: counted on. key: of the network, the test set and the versions; what another
    call with this key has not finished is kept, too.
    """

    def __init__(self, test: Dataset, key: str) -> None:
        self.test, self.key = test, key
        self.path = writable_folder("measured") / f"{key[:32]}.json"
        self._mine: set[str] = set()

    def hits(self, engine: Engine, on_progress: Callable[[int], None]) -> int:
        """Test images that the engine gets right."""
        images, labels = pixels(self.test), torch.from_numpy(self.test.labels)
        mine = fingerprint(engine.program)
        self._mine.add(mine)
        done, hits = self.counts().get(mine, (0, 0))
        on_progress(done)
        while done < len(labels):
            right = labels[done : done + BATCH]
            hits += round(accuracy(engine, images[done : done + BATCH], right) * len(right))
            done += len(right)
            keep(self.path, self.key, {"counts": {**self.counts(), mine: (done, hits)}})
            on_progress(done)
        return hits

    def forget(self) -> None:
        """The card has what was counted here."""
        others = {name: pair for name, pair in self.counts().items() if name not in self._mine}
        if others:
            keep(self.path, self.key, {"counts": others})
        else:
            self.path.unlink(missing_ok=True)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Fingerprint of a program -> (images done, hits); nothing where nothing is usable."""
        try:
            data = kept(self.path, self.key) or {"counts": {}}
            found = {name: (int(done), int(hits)) for name, (done, hits) in data["counts"].items()}
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}
        size = len(self.test)
        return {
            name: (done, hits) for name, (done, hits) in found.items()
            if 0 <= hits <= done <= size and (done == size or done % BATCH == 0)
        }  # fmt: skip
