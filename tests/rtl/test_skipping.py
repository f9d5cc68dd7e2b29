"""Engines that skip zeros: values and every counter, image by image, against Python machines.

Neither the compiler nor the timing model takes part: programs are rows of fields, values are plain
integers, cycles are stepped one clock edge at a time.
"""

from __future__ import annotations

from collections import Counter

import pytest

from hwsim.numbers.config import EngineConfig
from tests.rtl.bare import BareEngine, difference
from tests.rtl.configs import FULL, SKIPPING
from tests.rtl.skipping import network

pytestmark = pytest.mark.rtl

#: Random networks of each engine, five images each.
NETWORKS = 60 if FULL else 15
ENGINES = SKIPPING if FULL else SKIPPING[:2]
#: Cycles in which every one of them has come to its end.
BOUND = 20_000_000


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_networks_agree_in_every_value_and_every_counter_of_every_image(
    config: EngineConfig,
) -> None:
    """And the first image behind the others takes what it took in front of them."""
    seen: Counter[str] = Counter()
    with BareEngine(config, wake_up=5) as engine:
        for seed in range(NETWORKS):
            machine, images = network(seed, config)
            engine.take(machine)
            runs = []
            for number, image in enumerate(images):
                run = engine.run(image, maps=True, idles=number % 2 or None, limit=BOUND)
                found = difference(machine, image, run)
                assert found is None, f"network {seed}, image {number}: {found}: {machine.rows}"
                runs.append(run)
            assert runs[-1].layers == runs[0].layers
            for row, some, none in zip(machine.rows, runs[2].layers, runs[3].layers, strict=False):
                seen["skipped"] += some["skipped"] > 0
                seen["faster"] += some["total"] < none["total"]
                seen["layers"] += row["op"] in (1, 2)
    assert 0 < seen["faster"] <= seen["layers"]
    assert 0 < seen["skipped"] <= seen["layers"]
