"""Rows about flipped bits: what a search for the worst ones does to a machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from hwsim.faults.chase import JudgedFlips, Rules, chase, keep_all, random_flips
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.float_victim import FloatVictim
from hwsim.faults.guarded_victim import Knowing, key_of, victim_of
from hwsim.faults.guards import GuardChoice
from hwsim.faults.objective import Objective
from hwsim.faults.search import Victim
from hwsim.networks.open import pixels
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version


@version(1)
def search(
    subject: Mapping[str, Any],
    engine: Mapping[str, Any],
    memory: str,
    seed: int,
    images: int,
    samples: int,
    k_top: int,
    most: int,
    stop: float,
) -> Row:
    """Progressive bit search from one batch, and as many random flips beside it.

    engine: the machine whose program says whose weights are shared; the subject itself unless that
    is the float network. memory: ``weights`` or ``index``. seed: which ``images`` of the training
    images. samples: test images that judge. Row: clean, accuracy before; steps, {bits, accuracy}
    after each; ended; random, accuracy after as many random flips of the same memory; places,
    {layer, bit} of each flip; words, bits: of the memory.
    """
    one = Subject.of(subject)
    x, judged = looked_at(one, seed, images), judging(one, samples)
    program = None if one.side == "float" else subjects.program(one)

    def victim() -> Victim:
        if program is not None:
            return EngineVictim(program, x, (memory,))
        shared = subjects.program(Subject.of(engine))
        return FloatVictim(copy.deepcopy(subjects.module(one)), shared, x)

    return searched(victim(), victim, judged, Rules(k_top, most, stop), seed)


@version(1)
def guarded(
    subject: Mapping[str, Any],
    protect: str,
    attacker: Knowing,
    memory: str,
    seed: int,
    images: int,
    samples: int,
    k_top: int,
    most: int,
    stop: float,
) -> Row:
    """The same on an engine behind a guard.

    protect: the guard, as ``GuardChoice.of`` takes it. attacker: what he knows of it. Row: as
    ``search``; no accuracy behind a step that the engine answers with an error status, and none
    behind random flips where these do so.
    """
    one = Subject.of(subject)
    x, judged = looked_at(one, seed, images), judging(one, samples)
    choice, key, program = GuardChoice.of(protect), key_of(seed), subjects.program(one)

    def machine() -> Victim:
        return victim_of(program, x[:1], (memory,), choice, "adaptive", key)

    found = victim_of(program, x, (memory,), choice, attacker, key)
    return searched(found, machine, judged, Rules(k_top, most, stop), seed)


def looked_at(subject: Subject, seed: int, images: int) -> Tensor:
    """The training images that an attacker sees."""
    learn = subjects.dataset(subjects.card(subject.network).dataset, "train")
    batch = np.random.default_rng(seed).permutation(len(learn))[:images]
    return subject.grid.snap(pixels(learn.at(batch)))


def judging(subject: Subject, samples: int) -> JudgedFlips:
    """The test images that judge."""
    test, labels = subjects.images(subject, samples, (0, 1))
    return JudgedFlips(test, labels.numpy())


def searched(
    found: Victim, other: Callable[[], Victim], judged: JudgedFlips, rules: Rules, seed: int
) -> Row:
    """The row of one search. other: what takes as many random flips."""
    clean, _ = judged.scores(found)
    objective = Objective.away(found.logits().argmax(1))
    kept, ended = chase(found, objective, judged, rules)
    flips = [flip for step in kept for flip in step.flips]
    upset = other()
    keep_all(upset, random_flips(upset, len(flips), seed))
    bits = 0
    steps = []
    for step in kept:
        bits += len(step.flips)
        steps.append({"bits": bits, "accuracy": step.accuracy})
    return {
        "clean": clean,
        "steps": steps,
        "ended": ended,
        "random": None if upset.stopped else judged.scores(upset)[0],
        "places": [{"layer": found.parts[f.part].layer, "bit": f.bit} for f in flips],
        "words": sum(part.words for part in found.parts),
        "bits": sum(part.words * part.bits for part in found.parts),
    }
