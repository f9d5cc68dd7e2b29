"""Rows of a campaign: a block of trials with random faults, a pure function of its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.faults import Fault
from hwsim.faults.draw import draw
from hwsim.faults.guards import Guard, GuardChoice, SeenWords
from hwsim.faults.program_memory import run_program_faults
from hwsim.faults.protection import behind_check_bits
from hwsim.faults.trials import Trials
from hwsim.files.content import canonical, digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.subject import DataChoice, OpenedNetwork, open_subject
from hwsim.program.digest import program_digest
from hwsim.program.instruction import WORDS_PER_INSTRUCTION
from hwsim.program.layers import MacLayer
from hwsim.rom.memfile import MemFile
from hwsim.rom.words import WordReader
from hwsim.studies.runner.task import Row, version

ROWS = "hwsim.studies.upsets.rows:block"
#: Of signatures: upsets do not know it, so that any will do.
KEY = 0x2545F491


@dataclass(frozen=True)
class Target:
    """What is upset: a network and the images that it answers meanwhile, as a user named them.

    protect: what guards its memories, as ``GuardChoice.of`` takes it.
    """

    model: str
    config: str | None = None
    bits: int | None = None
    data: str | None = None
    calibration: str | None = None
    bounds: tuple[float, float] | None = None
    images: int = 1000
    protect: str = "none"

    def opened(self) -> OpenedNetwork:
        """The network and all of its images."""
        data, calibration = (
            None if one is None else Path(one) for one in (self.data, self.calibration)
        )
        choice = DataChoice(data, calibration, self.bounds)
        return open_subject(self.model, self.config, self.bits, choice=choice)


@dataclass(frozen=True, eq=False)
class Bench:
    """A network that is ready for trials: labels of its images, and the classes it answers.

    guard: where its engine has no check bits but something else.
    """

    trials: Trials
    reader: WordReader
    labels: NDArray[np.int64]
    clean: NDArray[np.int64]
    digest: str
    guard: Guard | None = None


def bench(opened: OpenedNetwork, images: int, protect: str = "none") -> Bench:
    """The network with its clean answers. Raises InputError as ``GuardChoice``."""
    network, samples = opened.network, opened.test.take(images)
    program, choice, guard = network.program, GuardChoice.of(protect), None
    choice.check(program, ())
    if choice.kind in ("parity", "secded"):
        program = program.replace(config=program.config.replace(ecc=choice.kind))
    elif choice.kind != "none":
        guard = choice.on(program, KEY)
    grid = Engine(program).grid(network.inputs(samples))
    trials = Trials(program, grid, None if guard is None else guard.bounds)
    facts = [program_digest(program).tolist(), _of(samples)]
    return Bench(
        trials, WordReader(program), np.asarray(samples.labels), trials.logits.argmax(1),
        digest(facts), guard,
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
        keep(found, bench(found.opened(), found.images, found.protect))
    return _kept[text]


@version(3)
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
    whether the engine stopped with an error status (then nobody got an answer), correct and changed
    answers, images whose logits moved, sums and products that wrapped, words that check bits
    corrected or a guard noticed, words without a fault that it zeroed besides, and how many faults
    hit which layer and which bit.
    """
    ready = _ready(target)
    if ready.digest != content:
        raise InputError(
            f"a worker has another {target['model']} than this machine: give all machines the same "
            "files"
        )
    file = stored_file(ready, memory)
    found = []
    for number in range(first, first + count):
        # Memories, rates and models are no part of the seed's sequence: trials pair by number.
        random = np.random.default_rng([seed, number])
        faults = draw(file, model, random, rate or 0.0, flips)  # type: ignore[arg-type]
        facts = _outcome(ready, memory, faults)
        hits = {
            "layers": _hits(_names(ready, faults)), "bits": _hits([str(f.bit) for f in faults])
        }  # fmt: skip
        found.append({"faults": len(faults)} | facts | hits)
    return {"trials": found}


def stored_file(ready: Bench, memory: str) -> MemFile:
    """A memory with its check bits, which are bits as others."""
    file = ready.reader.files[f"{memory}.mem"]
    return replace(file, width=ready.trials.program.config.stored_bits(file.width))


def _outcome(ready: Bench, memory: str, faults: Sequence[Fault]) -> dict[str, Any]:
    """What becomes of one set of faults in one memory."""
    program, corrected, zeroed = ready.trials.program, 0, 0
    if program.config.ecc != "none":
        behind = behind_check_bits(program, faults)
        if any(_read(ready, place) for place in behind.stops):
            return _CAUGHT | {"corrected": len(behind.corrected)}
        faults, corrected = behind.faults, len(behind.corrected)
    if ready.guard is not None:
        seen = ready.guard.behind(faults)[memory] if faults else SeenWords({})
        corrected, zeroed = seen.noticed, seen.zeroed
        if seen.stops:
            return _CAUGHT | {"corrected": corrected}
        faults = _flips(ready, memory, seen)
    sums = products = 0
    if memory == "program":
        run = run_program_faults(program, faults, ready.trials.images.transpose(0, 3, 1, 2))
        if run.logits is None:
            return _CAUGHT | {"corrected": corrected}
        logits = run.logits
    else:
        answers = ready.trials.run(faults)
        logits, sums, products = answers.logits, answers.sums, answers.products
    classes, clean = logits.argmax(1), ready.trials.logits
    same = logits.shape == clean.shape
    moved = (logits != clean).any(1).sum() if same else len(clean)
    return {
        "caught": False,
        "correct": int((classes == ready.labels).sum()),
        "changed": int((classes != ready.clean).sum()),
        "moved": int(moved),
        "sums": sums,
        "products": products,
        "corrected": corrected,
        "zeroed": zeroed,
    }


def _flips(ready: Bench, memory: str, seen: SeenWords) -> list[Fault]:
    """What a guard gives a layer, as flips."""
    found = []
    for (line, field), word in seen.words.items():
        changed = word ^ ready.reader.written(f"{memory}.mem", line, field)
        bits = [bit for bit in range(changed.bit_length()) if changed >> bit & 1]
        found += [Fault(memory, line, field, bit) for bit in bits]  # type: ignore[arg-type]
    return found


#: Of a trial that ends in an error status.
_CAUGHT: dict[str, Any] = dict(
    caught=True, correct=0, changed=0, moved=0, sums=0, products=0, zeroed=0
)


def _read(ready: Bench, place: tuple[str, int, int]) -> bool:
    """Whether a layer reads a word: all but the filling of the weights, and unused words there."""
    memory, line, field = place
    if memory != "weights":
        return True
    number = ready.reader.owner("weights.mem", line)
    layer, where = ready.trials.program.layers[number], ready.reader.places[number]
    assert isinstance(layer, MacLayer)
    address = (line - where.weight_base) * ready.trials.program.config.banks + field
    if address >= layer.spec.real_weights:
        return False
    return len(ready.trials.readers_of(number)(address)[0]) > 0


def _hits(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(names))


def _names(ready: Bench, faults: Sequence[Fault]) -> list[str]:
    layers = ready.trials.program.layers
    names = [layer.name for layer in layers]
    if faults and faults[0].memory == "program":
        return [[*names, "end"][f.line // WORDS_PER_INSTRUCTION] for f in faults]
    return [names[ready.reader.owner(f"{f.memory}.mem", f.line)] for f in faults]
