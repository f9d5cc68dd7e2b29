"""Rows about flipped bits: what a search for the worst ones does to a machine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.faults.chase import JudgedFlips, Rules, chase, keep_all, random_flips
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.float_victim import FloatVictim
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
    described = subjects.card(one.network)
    learn = subjects.dataset(described.dataset, "train")
    batch = np.random.default_rng(seed).permutation(len(learn))[:images]
    x = one.grid.snap(pixels(learn.at(batch)))
    test, labels = subjects.images(one, samples, (0, 1))
    judged = JudgedFlips(test, labels.numpy())
    program = None if one.side == "float" else subjects.program(one)

    def victim() -> Victim:
        if program is not None:
            return EngineVictim(program, x, (memory,))
        shared = subjects.program(Subject.of(engine))
        return FloatVictim(copy.deepcopy(subjects.module(one)), shared, x)

    found = victim()
    clean, _ = judged.scores(found)
    objective = Objective.away(found.logits().argmax(1))
    kept, ended = chase(found, objective, judged, Rules(k_top, most, stop))
    flips = [flip for step in kept for flip in step.flips]
    other = victim()
    keep_all(other, random_flips(other, len(flips), seed))
    bits = 0
    steps = []
    for step in kept:
        bits += len(step.flips)
        steps.append({"bits": bits, "accuracy": step.accuracy})
    return {
        "clean": clean,
        "steps": steps,
        "ended": ended,
        "random": judged.scores(other)[0],
        "places": [{"layer": found.parts[f.part].layer, "bit": f.bit} for f in flips],
        "words": sum(part.words for part in found.parts),
        "bits": sum(part.words * part.bits for part in found.parts),
    }
