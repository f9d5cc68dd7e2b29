"""Rows of a campaign: a block of trials with random faults, a pure function of its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.faults import Fault
from hwsim.faults.draw import draw
from hwsim.faults.trials import Trials
from hwsim.files.content import canonical, digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.subject import DataChoice, OpenedNetwork, open_subject
from hwsim.program.digest import program_digest
from hwsim.rom.words import WordReader
from hwsim.studies.runner.task import Row, version

ROWS = "hwsim.studies.upsets.rows:block"


@dataclass(frozen=True)
class Target:
    """What is upset: a network and the images that it answers meanwhile, as a user named them."""

    model: str
    config: str | None = None
    bits: int | None = None
    data: str | None = None
    calibration: str | None = None
    bounds: tuple[float, float] | None = None
    images: int = 1000

    def opened(self) -> OpenedNetwork:
        """The network and all of its images."""
        data, calibration = (
            None if one is None else Path(one) for one in (self.data, self.calibration)
        )
        choice = DataChoice(data, calibration, self.bounds)
        return open_subject(self.model, self.config, self.bits, choice=choice)


@dataclass(frozen=True, eq=False)
class Bench:
    """A network that is ready for trials: labels of its images, and the classes it answers."""

    trials: Trials
    reader: WordReader
    labels: NDArray[np.int64]
    clean: NDArray[np.int64]
    digest: str


def bench(opened: OpenedNetwork, images: int) -> Bench:
    """The network with its clean answers."""
    network, samples = opened.network, opened.test.take(images)
    engine = Engine(network.program)
    trials = Trials(network.program, engine.grid(network.inputs(samples)))
    facts = [program_digest(network.program).tolist(), _of(samples)]
    return Bench(
        trials, WordReader(network.program), np.asarray(samples.labels), trials.logits.argmax(1),
        digest(facts),
    )  # fmt: skip


def _of(samples: Samples) -> list[str]:
    return [digest(np.asarray(samples.labels).tolist()), samples.digest]


#: The bench of this process, by its target.
_kept: dict[str, Bench] = {}


def keep(target: Target, ready: Bench) -> None:
    """Let rows of this process use a bench that is there."""
    _kept.clear()
    _kept[canonical(asdict(target))] = ready


def _ready(target: dict[str, Any]) -> Bench:
    text = canonical(target)
    if text not in _kept:
        bounds = target["bounds"]
        found = Target(**{**target, "bounds": None if bounds is None else tuple(bounds)})
        keep(found, bench(found.opened(), found.images))
    return _kept[text]


@version(1)
def block(
    target: dict[str, Any],
    content: str,
    memory: str,
    model: str,
    rate: float | None,
    flips: int | None,
    seed: int,
    first: int,
    count: int,
) -> Row:
    """Trials ``first`` … ``first + count - 1`` of one memory.

    content: digest of program and images, which every machine must have. Of each trial: faults,
    correct and changed answers, images whose logits moved, sums and products that wrapped, and how
    many faults hit which layer and which bit.
    """
    ready = _ready(target)
    if ready.digest != content:
        raise InputError(
            f"a worker has another {target['model']} than this machine: give all machines the same "
            "files"
        )
    file = ready.reader.files[f"{memory}.mem"]
    found = []
    for number in range(first, first + count):
        # Memories, rates and models are no part of the seed's sequence: trials pair by number.
        random = np.random.default_rng([seed, number])
        faults = draw(file, model, random, rate or 0.0, flips)  # type: ignore[arg-type]
        answers = ready.trials.run(faults)
        classes = answers.logits.argmax(1)
        found.append(
            {
                "faults": len(faults),
                "correct": int((classes == ready.labels).sum()),
                "changed": int((classes != ready.clean).sum()),
                "moved": len(answers.moved),
                "sums": answers.sums,
                "products": answers.products,
                "layers": _hits(_names(ready, faults)),
                "bits": _hits([str(fault.bit) for fault in faults]),
            }
        )
    return {"trials": found}


def _hits(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(names))


def _names(ready: Bench, faults: Sequence[Fault]) -> list[str]:
    layers = ready.trials.program.layers
    return [layers[ready.reader.owner(f"{f.memory}.mem", f.line)].name for f in faults]
