"""The Verilog engine and the simulator agree: values and cycles, with zero tolerance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.engine.reference import run as oracle
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rtl.simulator import RtlEngine
from tests.property.networks import batches, for_engine, images, programs
from tests.rtl.compare import check, first_cycle_difference
from tests.rtl.configs import ENGINES, FULL, TWICE
from tests.rtl.samples import gradient_image, small_network
from tests.rtl.tally import RANDOM

pytestmark = pytest.mark.rtl


def networks(config: EngineConfig) -> st.SearchStrategy[Program]:
    """Random programs for exactly this engine, whose memories the simulation was built with."""
    return for_engine(programs(st.just(config)), config)


class Bench:
    """One simulation after the other of the same build; a failed one is replaced."""

    engine: RtlEngine | None = None

    @contextmanager
    def running(self, program: Program) -> Iterator[RtlEngine]:
        if self.engine is None:
            self.engine = RtlEngine(program, wake_up=1)
        else:
            self.engine.load(program)
        try:
            yield self.engine
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine = None


def agreement(config: EngineConfig, bench: Bench) -> Callable[[], None]:
    """The property of one engine: random networks have the simulator's values and counters."""

    @settings(
        max_examples=40 if FULL else 15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        program = data.draw(networks(config))
        idles = data.draw(st.none() | st.integers(0, 2**16))
        drawn = [data.draw(images(program))]
        if config.skip:
            # Cycles are of the image: behind others the first one takes what it took alone.
            drawn = [*drawn, *data.draw(batches(program, 3)), drawn[0]]
            floor = st.just(0) | st.integers(0, 500) | st.integers(0, 5000)
            program = program.with_floors([data.draw(floor) for _ in program.layers])
        report, timed = analyze(program), Engine(program)
        with bench.running(program) as engine:
            for image in drawn:
                limit = 2 * report.cycles + 20 * image.size + 10_000
                run = engine.run(image, maps=True, idles=idles, limit=limit)
                check(program, run, oracle(program, image), timed.image_report(report, image))
                if config in ENGINES:
                    RANDOM[config.name].add(program, run)

    return agree


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_random_networks_agree_in_every_value_and_every_counter(config: EngineConfig) -> None:
    bench = Bench()
    try:
        agreement(config, bench)()
    finally:
        bench.close()


def test_an_engine_that_rounds_twice_agrees_in_every_value_and_every_counter() -> None:
    bench = Bench()
    try:
        agreement(TWICE, bench)()
    finally:
        bench.close()


def test_the_comparison_names_the_first_wrong_value() -> None:
    program = small_network(load_config("tiny"))
    image = gradient_image()
    conv = program.mac_layers[0]
    words = conv.weights.copy()
    words[3] ^= 1
    wrong = dataclasses.replace(conv, weights=words)
    with RtlEngine(program.replace(layers=(wrong, *program.layers[1:]))) as engine:
        run = engine.run(image, maps=True)
    with pytest.raises(AssertionError, match=r"layer conv, channel \d+, y \d+, x \d+: expected"):
        check(program, run, oracle(program, image), analyze(program))


def test_the_comparison_names_the_first_wrong_counter() -> None:
    program = small_network(load_config("tiny"))
    with RtlEngine(program) as engine:
        run = engine.run(gradient_image())
    report = analyze(program)
    assert first_cycle_difference(report, run) is None
    layers = tuple(dataclasses.replace(one, drain=one.drain + 1) for one in report.layers)
    wrong = dataclasses.replace(report, layers=layers)
    assert first_cycle_difference(wrong, run) == "layer conv, drain: expected 18, got 17"
