"""Faults of program memory: what runs is the oracle's where a program says the same."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.cost.timing import analyze
from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.faults import Fault
from hwsim.faults.program_memory import run_program_faults
from hwsim.numbers.config import load_config
from hwsim.program.instruction import FIELDS, WORDS_PER_INSTRUCTION
from hwsim.program.layers import LutLayer, PoolLayer
from hwsim.program.program import Program
from tests.property.networks import Case, cases
from tests.rtl.samples import small_network

EXAMPLES = int(os.environ.get("HWSIM_EXAMPLES", "100"))
thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def flip(instruction: int, field: str, bit: int) -> Fault:
    word, low, _ = FIELDS[field]
    return Fault("program", WORDS_PER_INSTRUCTION * instruction + word, 0, low + bit)


def logits(program: Program, images: np.ndarray) -> list[list[int]]:
    return [list(reference.run(program, image).logits) for image in images]


@pytest.mark.slow
@thorough
@given(case=cases())
def test_a_program_without_faults_runs_as_the_oracle_says_and_in_the_cycles_of_the_timing(
    case: Case,
) -> None:
    run = run_program_faults(case.program, [], case.images)
    assert run.cause is None
    assert run.defined
    assert run.logits is not None
    assert run.logits.tolist() == logits(case.program, case.images)
    assert run.cycles == analyze(case.program).cycles


@pytest.mark.slow
@thorough
@given(case=cases(), data=st.data())
def test_a_flipped_bound_is_the_network_with_that_bound(case: Case, data: st.DataObject) -> None:
    program, top = case.program, case.program.config.act_max
    number = data.draw(st.integers(0, len(program.layers) - 1))
    layer = program.layers[number]
    name = data.draw(st.sampled_from(["lo", "hi"]))
    bit = data.draw(st.integers(0, 15))
    run = run_program_faults(program, [flip(number, name, bit)], case.images)
    if isinstance(layer, PoolLayer | LutLayer):
        before = {"lo": 0, "hi": top if isinstance(layer, LutLayer) else 0}
    else:
        before = {"lo": layer.lo, "hi": layer.hi}
    after = before | {name: before[name] ^ 1 << bit}
    if not isinstance(layer, PoolLayer) and not after["lo"] <= after["hi"] <= top:
        assert (run.cause, len(run.rows)) == ("shape", number if number else 0)
        return
    if not isinstance(layer, PoolLayer | LutLayer):
        layers = list(program.layers)
        layers[number] = dataclasses.replace(layer, **{name: after[name]})
        program = program.replace(layers=tuple(layers))
    assert run.logits is not None
    assert run.logits.tolist() == logits(program, case.images)


@thorough
@given(case=cases())
def test_a_program_whose_end_is_flipped_away_is_refused(case: Case) -> None:
    end = len(case.program.layers)
    run = run_program_faults(case.program, [flip(end, "op", 0)], case.images)
    assert (run.cause, len(run.rows)) == ("end", end)


@thorough
@given(case=cases())
def test_a_stuck_bit_that_holds_what_was_written_changes_nothing(case: Case) -> None:
    row = next(case.program.instructions())
    faults = [
        dataclasses.replace(flip(0, "op", bit), kind=f"stuck-{row['op'] >> bit & 1}")
        for bit in range(4)
    ]
    run = run_program_faults(case.program, faults, case.images)
    assert run.logits is not None
    assert run.logits.tolist() == logits(case.program, case.images)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("weights", 0, 0, 0), "not of weights"),
        (Fault("program", 1 << 20, 0, 0), "none has line 1048576"),
        (Fault("program", 0, 1, 0), "field 1"),
        (Fault("program", 0, 0, 32), "bit 32"),
    ],
)
def test_a_fault_that_program_memory_cannot_have_is_one_line(fault: Fault, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run_program_faults(small_network(load_config("tiny")), [fault], np.zeros((1, 1, 6, 6), int))
