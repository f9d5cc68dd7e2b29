"""Batches in the Verilog engine: random networks, values of every image and every counter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.numbers.config import EngineConfig
from tests.rtl.batches import ENGINES, Truth, check, networks, series
from tests.rtl.configs import FULL
from tests.rtl.test_equality import Bench

pytestmark = pytest.mark.rtl


def agreement(config: EngineConfig, bench: Bench, examples: int = 8) -> Callable[[], None]:
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
        agreement(config, bench, 100 if FULL else 8)()
    finally:
        bench.close()
