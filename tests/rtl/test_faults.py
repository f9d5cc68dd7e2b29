"""The Verilog with flipped and stuck bits in its memories: values and cycles of both twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.engine.reference import run as oracle
from hwsim.faults import inject
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.simulator import RtlEngine
from tests.fault_corners import CORNERS, Corner
from tests.property.faults import faults, overflows
from tests.property.networks import images
from tests.rtl.compare import check
from tests.rtl.configs import FEW, FULL, HOLES, TWICE, WRAPS
from tests.rtl.tally import FAULTY
from tests.rtl.test_equality import Bench, networks

pytestmark = pytest.mark.rtl


@pytest.mark.parametrize("config", [*FEW, HOLES, TWICE, WRAPS], ids=lambda config: config.name)
def test_random_faults_have_the_same_values_and_cycles_in_all_three_twins(
    config: EngineConfig,
) -> None:
    bench = Bench()

    @settings(
        max_examples=80 if FULL else 25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        clean = data.draw(networks(config))
        image = data.draw(images(clean))
        as_maps = image.transpose(1, 2, 0)[None].astype(np.uint8 if config.act_w <= 8 else np.int32)
        for _ in range(3):
            program = inject(clean, data.draw(faults(clean) | overflows(clean)))
            report, trace = analyze(program), oracle(program, image)
            with bench.running(program) as engine:
                run = engine.run(image, maps=True, limit=2 * report.cycles + 20 * image.size + 9999)
                check(program, run, trace, report)
            answer = Engine(program).answer(as_maps)
            assert answer[0].tolist() == trace.logits
            FAULTY[config.name].add(program, run)

    try:
        agree()
    finally:
        bench.close()


@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.name)
def test_the_verilog_does_what_can_be_worked_out_by_hand(corner: Corner) -> None:
    program = inject(corner.program, corner.faults)
    with RtlEngine(program, wake_up=3) as engine:
        run = engine.run(corner.pixels, maps=True)
    check(program, run, oracle(program, corner.pixels), analyze(program))
    assert run.logits.tolist() == corner.logits
