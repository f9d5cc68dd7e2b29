"""Flips of a bit search on random programs: short trials are whole passes, whatever the graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine.module import Engine
from hwsim.faults import inject
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.search import Flip
from hwsim.program.program import Program
from tests.property.networks import EXAMPLES, Case, cases
from tests.strays import strays


def memories_of(program: Program) -> list[str]:
    """What of a program a search can flip; programs without weights have nothing."""
    found = ["weights"] if program.mac_layers else []
    hashed = any(layer.spec.scheme != "dense" for layer in program.mac_layers)
    return found + (["index"] if hashed and program.config.index_mode == "sram" else [])


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(cases(), st.data())
def test_trials_and_kept_flips_answer_what_the_program_with_the_faults_answers(
    case: Case, data: st.DataObject
) -> None:
    memories = memories_of(case.program)
    if not memories:
        return
    # Check bits change no value, and the search refuses them.
    program = case.program.replace(config=case.program.config.replace(ecc="none"))
    images = torch.from_numpy(case.pixels())
    victim = EngineVictim(program, images, memories)
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(victim.parts) - 1))
        found = strays(victim, number)[:200]
        if found and data.draw(st.booleans()):
            # An index to the word of another layer, and then that word, which two layers read.
            for flip in data.draw(st.sampled_from(found)):
                victim.logits()
                victim.keep([flip])
        part = victim.parts[number]
        words = st.integers(0, part.words - 1)
        bits = st.integers(0, part.bits - 1)
        pairs = data.draw(st.lists(st.tuples(words, bits), min_size=1, max_size=3, unique=True))
        flips = [Flip(number, *pair) for pair in pairs]
        trial = victim.trial(flips)
        victim.keep(flips)
        faulty = Engine(inject(program, victim.faults))
        wanted = faulty.integer_logits(images).double().numpy() * program.logit_scale
        np.testing.assert_array_equal(trial, wanted)
        np.testing.assert_array_equal(victim.logits(), wanted)
