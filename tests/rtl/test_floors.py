"""Floors in the Verilog: what is ready before waits, what takes longer is not stopped."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.rtl.counters import check
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.samples import small_network

pytestmark = pytest.mark.rtl

PROGRAM = small_network(load_config("tiny").replace(skip=True))
WORST = [layer.cycles for layer in analyze(PROGRAM).layers]


def images() -> list[np.ndarray]:
    """From full to empty."""
    random = np.random.default_rng(3)
    kept = np.linspace(1, 0, 12)
    return [random.integers(1, 256, (1, 6, 6)) * (random.random((1, 6, 6)) < k) for k in kept]


def taken(program: Program) -> np.ndarray:
    """Cycles of each layer in the Verilog, whose counters are those of the simulator."""
    engine, report = Engine(program), analyze(program)
    rows = []
    with RtlEngine(program) as rtl:
        for image in images():
            run = rtl.run(image)
            check(engine.image_report(report, image), run)
            rows.append([layer["total"] for layer in run.layers])
    return np.array(rows)


def test_behind_the_worst_case_all_images_take_the_same_time() -> None:
    assert np.ptp(taken(PROGRAM), axis=0).any()
    assert (taken(PROGRAM.with_floors(WORST)) == WORST).all()


@pytest.mark.parametrize("more", [-1, 0, 1, 1000])
def test_a_floor_is_met_to_the_cycle(more: int) -> None:
    plain = taken(PROGRAM)
    floors = np.median(plain, axis=0).astype(int) + more
    found = taken(PROGRAM.with_floors(floors))
    assert (found[:, [0, 2]] == np.maximum(plain, floors)[:, [0, 2]]).all()
    assert (found[:, 1] == plain[:, 1]).all()
