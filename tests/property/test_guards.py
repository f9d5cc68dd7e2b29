"""Guards on random programs: what layers are given is what each guard is defined to give.

Several flips fall into one word, one line or one group, check bits among them.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine.module import Engine
from hwsim.faults import Fault, inject
from hwsim.faults.guarded_victim import GuardedVictim
from hwsim.faults.guards import Guard, GuardChoice, SignatureGuard
from hwsim.faults.protection import behind_check_bits
from hwsim.faults.search import Flip
from hwsim.faults.trials import Trials
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from tests.property.networks import EXAMPLES, Case, cases
from tests.property.test_bit_flips import memories_of
from tests.property.words import Draw

GUARDS = st.sampled_from(["parity", "secded", "clip", "signature:2", "signature:3:3"])


@st.composite
def near(draw: Draw, guard: Guard, memory: str, most: int = 5) -> list[Fault]:
    """Flips of words near each other: of one word, one line, one group; top bits first."""
    file = guard.read.files[f"{memory}.mem"]
    width = file.width + guard.check_bits(memory)
    line, field = draw(st.integers(0, file.lines - 1)), draw(st.integers(0, file.fields - 1))
    places = [(line, field), (line, draw(st.integers(0, file.fields - 1)))]
    if isinstance(guard, SignatureGuard):
        number = guard.read.owner(f"{memory}.mem", line)
        own = guard.signatures.of(memory, number)
        at = np.array([line - own.first]), np.array([field])
        places += own.members(int(own.group_of(*at)[0]))
    bits = st.integers(max(0, file.width - 2), file.width - 1) | st.integers(0, width - 1)
    chosen = st.lists(st.tuples(st.sampled_from(places), bits), min_size=1, max_size=most,
                      unique=True)  # fmt: skip
    return [
        Fault(memory, line, field, bit)  # type: ignore[arg-type]
        for (line, field), bit in draw(chosen)
    ]


def plain(case: Case) -> Program:
    """The case's program, without check bits of its own."""
    return case.program.replace(config=case.program.config.replace(ecc="none"))


def words_of(guard: Guard, memory: str, faults: list[Fault]) -> dict[tuple[int, int], int]:
    words: dict[tuple[int, int], int] = {}
    for fault in faults:
        at = fault.line, fault.field
        words[at] = words.get(at, guard.stored(memory, at)) ^ 1 << fault.bit
    return {at: word for at, word in words.items() if word != guard.stored(memory, at)}


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(cases(), GUARDS, st.data())
def test_without_a_fault_no_guard_changes_anything(
    case: Case, name: str, data: st.DataObject
) -> None:
    guard = GuardChoice.of(name).on(plain(case), data.draw(st.integers(0, 2**32 - 1)))
    for memory in memories_of(guard.program):
        assert not guard.seen(memory, {}).words
        for number, bound in guard.bounds.items():
            layer = guard.program.layers[number]
            assert isinstance(layer, MacLayer)
            assert np.abs(layer.virtual_weights.astype(np.int64)).max(initial=0) <= bound


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(cases(), st.sampled_from(["parity", "secded"]), st.data())
def test_check_bits_give_what_the_engine_s_own_give(
    case: Case, ecc: str, data: st.DataObject
) -> None:
    guard = GuardChoice.of(ecc).on(plain(case))
    for memory in memories_of(guard.program):
        faults = data.draw(near(guard, memory))
        coded = guard.program.replace(config=guard.program.config.replace(ecc=ecc))
        wanted = behind_check_bits(coded, faults)
        seen = guard.seen(memory, words_of(guard, memory, faults))
        assert {(memory, *at) for at in seen.stops} == {*wanted.stops}
        given_: dict[tuple[int, int], int] = {}
        for fault in wanted.faults:
            at = fault.line, fault.field
            before = given_.get(at, guard.read.written(f"{memory}.mem", *at))
            given_[at] = before ^ 1 << fault.bit
        assert seen.words == given_


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(cases(), GUARDS, st.data())
def test_victims_and_trials_answer_what_the_guarded_program_answers(
    case: Case, name: str, data: st.DataObject
) -> None:
    program = plain(case)
    memories = memories_of(program)
    if not memories:
        return
    guard = GuardChoice.of(name).on(program, 7)
    images = torch.from_numpy(case.pixels())
    memory = data.draw(st.sampled_from(memories))
    faults = data.draw(near(guard, memory))
    seen = guard.seen(memory, words_of(guard, memory, faults))
    held = guard.with_words({memory: seen.words})
    wanted = Engine(held).integer_logits(images).numpy()
    trials = Trials(guard.program, Engine(program).grid(images), guard.bounds)
    flips = [
        Fault(memory, *at, bit)  # type: ignore[arg-type]
        for at, word in seen.words.items()
        for bit in range(64)
        if (word ^ guard.read.written(f"{memory}.mem", *at)) >> bit & 1
    ]
    np.testing.assert_array_equal(trials.run(flips).logits, wanted)
    if not guard.bounds:
        again = Engine(inject(program, flips)).integer_logits(images).numpy()
        np.testing.assert_array_equal(again, wanted)
    victim = GuardedVictim(guard, images, (memory,))
    number = data.draw(st.integers(0, len(victim.parts) - 1))
    part = victim.parts[number]
    some = st.tuples(st.integers(0, min(part.words, 40) - 1), st.integers(0, part.bits - 1))
    for _ in range(2):
        drawn = data.draw(st.lists(some, min_size=1, max_size=4, unique=True))
        moves = [Flip(number, word, bit) for word, bit in drawn]
        if victim._stops(moves):
            continue
        tried = victim.trial(moves)
        victim.keep(moves)
        long_way = Engine(victim.held(victim.faults)).integer_logits(images).double().numpy()
        np.testing.assert_array_equal(tried, long_way * program.logit_scale)
        np.testing.assert_array_equal(victim.logits(), long_way * program.logit_scale)
