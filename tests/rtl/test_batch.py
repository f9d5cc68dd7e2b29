"""Batches in the Verilog engine: random networks, values of every image and every counter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program import proof
from hwsim.program.layers import PoolLayer, Window
from hwsim.program.memory_map import MAX_RUNS
from hwsim.program.program import Program
from hwsim.program.wires import FeatureMap
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.bare import BareEngine
from tests.rtl.batches import (
    ENGINES,
    Asked,
    Truth,
    batch_difference,
    check,
    networks,
    series,
)
from tests.rtl.configs import FULL
from tests.rtl.graphs import draw, image_of
from tests.rtl.machine import cycles
from tests.rtl.test_equality import Bench
from tests.unit.test_timing import mac

pytestmark = pytest.mark.rtl

#: Random programs of each engine.
GRAPHS = 100 if FULL else 60


def agreement(config: EngineConfig, bench: Bench, examples: int = 10) -> Callable[[], None]:
    """The property of one engine: batches have the values of their images and their own cycles."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        program = data.draw(networks(config))
        asked = data.draw(series(program))
        with bench.running(program) as engine:
            check(engine, Truth(program), asked, slow=True)

    return agree


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_batches_agree_in_every_value_and_every_counter(config: EngineConfig) -> None:
    bench = Bench()
    try:
        agreement(config, bench, 60 if FULL else 10)()
    finally:
        bench.close()


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_random_graphs_agree_in_batches(config: EngineConfig) -> None:
    """Programs of plain fields and words, whose maps stand anywhere, on the plain machine."""
    with BareEngine(config, wake_up=6) as engine:
        for seed in range(GRAPHS):
            machine = draw(f"batch {seed}", config)
            engine.take(machine)
            # Full and smaller batches in turn; what one leaves must not matter to the next.
            count = 1 + (config.batch - 1 + 3 * seed) % config.batch
            images = np.stack([image_of(machine, f"{seed} {n}") for n in range(count)])
            limit = 4 * count * cycles(machine)[1] + 20 * images.size + 20_000
            found = engine.run_batch(images, maps=True, idles=seed % 3 or None, limit=limit)
            difference = batch_difference(machine, images, found)
            assert difference is None, f"program {seed}: {difference}: {machine.rows}"


def test_a_layer_may_begin_the_last_run_of_lines_that_the_engine_remembers() -> None:
    """For every image: once it ran for the first, all runs are taken.

    Found by a random network: places are looked at anew for each run of a layer.
    """
    config, shape = ENGINES[0], (1, 2, 3)
    copies = [PoolLayer(f"pool{n}", shape, shape, Window((1, 1))) for n in range(MAX_RUNS - 1)]
    last = mac("fc", shape, HashSpec("dense", 3, 6, 18))
    weights = np.arange(18, dtype=np.int32)
    layers = [*copies, dataclasses.replace(last, weights=weights, scale=1 / config.act_max)]
    program = Program.chain(config, layers, shape)
    places = tuple(FeatureMap(shape, 100 * n) for n in range(MAX_RUNS))
    program = program.replace(maps=places)
    proof.check(program)
    noise = np.random.default_rng(1)
    asked = [Asked(noise.integers(0, 256, (images, *shape))) for images in (1, 4, 2)]
    with RtlEngine(program, wake_up=2) as engine:
        assert check(engine, Truth(program), asked, slow=True) == 3
