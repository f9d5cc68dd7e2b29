"""Flipped bits in program memory: Python foresees what the Verilog does, and nothing ever hangs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hwsim.numbers.config import EngineConfig
from tests.rtl.bare import BareEngine
from tests.rtl.configs import FULL, SKIPPING_TINY
from tests.rtl.program_faults import EACH, ENGINES, OTHER, SAME, WHOLE, compare

pytestmark = pytest.mark.rtl

#: Random networks, and faulty programs of each.
NETWORKS, PROGRAMS = (WHOLE // EACH, EACH) if FULL else (10, 15)
#: Networks of many layers.
LONG = 40 if FULL else 3
Bench = tuple[EngineConfig, BareEngine]


@pytest.fixture(scope="module", params=[*ENGINES, SKIPPING_TINY], ids=lambda config: config.name)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BareEngine(request.param) as engine:
        yield request.param, engine


def test_flipped_bits_of_the_program_do_in_verilog_what_python_says(bench: Bench) -> None:
    """Status, instructions that ran, cycles, and logits; behind them the true program is exact."""
    seen = compare(*bench, NETWORKS, PROGRAMS)
    assert sum(seen.values()) == NETWORKS * PROGRAMS
    assert min(seen[one] for one in (SAME, OTHER, "opcode or shape", "size", "place")) > 0, seen


def test_so_they_do_in_programs_of_many_layers(bench: Bench) -> None:
    """Up to the depth of program memory, where one bit may skip or repeat a great deal."""
    config, engine = bench
    seen = compare(config, engine, LONG, 6, (config.prog_depth // 3, config.prog_depth - 3))
    assert sum(seen.values()) == LONG * 6
