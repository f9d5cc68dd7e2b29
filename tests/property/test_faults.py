"""Programs with random faults: the fast path computes what the oracle reads out of the memories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.engine import moved_inputs
from hwsim.engine.module import Engine
from hwsim.engine.reference_lines import execute_lines
from hwsim.faults import faulty_stage, inject
from hwsim.faults.trials import Trials
from tests.property.faults import any_faults
from tests.property.networks import EXAMPLES, Case, cases


@pytest.mark.slow
@settings(max_examples=3 * EXAMPLES, deadline=None)
@given(cases(), st.data())
def test_the_fast_path_of_a_program_with_faults_equals_the_oracle(
    case: Case, data: st.DataObject
) -> None:
    found = data.draw(any_faults(case.program))
    program = inject(case.program, found)
    engine = Engine(program)
    maps = case.images.transpose(0, 2, 3, 1).astype(engine.datapath.map_dtype)
    tape = engine.datapath.run(maps, kept_maps=True)
    by_name = {stage.name: n for n, stage in enumerate(engine.datapath.stages[:-1])}
    codes = engine.datapath.feature_maps(maps)
    for n, image in enumerate(case.images.tolist()):
        outcomes = execute_lines(program, image)
        for layer, outcome in zip(program.layers[:-1], outcomes[:-1], strict=True):
            if layer.name in by_name:
                got = codes[by_name[layer.name]][n].transpose(2, 0, 1)
                assert (got == np.array(outcome.output)).all(), layer.name
        assert tape.logits[n].tolist() == [value[0][0] for value in outcomes[-1].output]


@pytest.mark.slow
@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(cases(), st.data())
def test_trials_answer_what_an_engine_with_the_faults_answers(
    case: Case, data: st.DataObject
) -> None:
    """Whether sums are corrected or computed again with the changed weights, or moved inputs."""
    engine = Engine(case.program)
    maps = case.images.transpose(0, 2, 3, 1).astype(engine.datapath.map_dtype)
    trials = Trials(case.program, maps)
    clean = engine.answer(maps)
    for _ in range(3):
        found = data.draw(any_faults(case.program))
        program = inject(case.program, found)
        expected = Engine(program).answer(maps)
        outcomes = [
            one
            for image in case.images if program.held is not None
            for one in execute_lines(program, image.tolist())
        ]  # fmt: skip
        # Moved inputs one by one, however many there are; or what was measured says how.
        every = dict.fromkeys(moved_inputs.THEIRS, 1e-2)
        for again, theirs in ((False, every), (True, moved_inputs.THEIRS)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(faulty_stage, "cheaper_again", lambda *_, again=again: again)
                patch.setattr(moved_inputs, "THEIRS", theirs)
                answers = trials.run(found)
            assert answers.sums == sum(one.sums for one in outcomes)
            assert answers.products == sum(one.products for one in outcomes)
            assert (answers.logits == expected).all()
            assert answers.moved.tolist() == np.flatnonzero((expected != clean).any(1)).tolist()
