"""Random graphs of every kind of layer on the Verilog engine: values, places and cycles.

Against tests/rtl/machine.py, which knows instructions and memories only: no compiler, no oracle.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from hwsim.bus.constants import CAUSES
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.instruction import OPCODES
from tests.rtl.bare import BareEngine, difference
from tests.rtl.configs import ENGINES, FULL, TWICE
from tests.rtl.graphs import draw, image_of, kinds
from tests.rtl.machine import Machine, cycles, expected

pytestmark = pytest.mark.rtl

#: Random programs of each engine.
GRAPHS = 120 if FULL else 40
TINY = load_config("tiny")


def check(engine: BareEngine, machine: Machine, seed: int) -> None:
    """One image on it: every map, logit and counter."""
    image = image_of(machine, seed)
    engine.take(machine)
    # On an engine that skips a layer may take some more: the first cycles of a scan.
    _, total, _ = cycles(machine)
    limit = 2 * total + 20 * image.size + 10_000
    run = engine.run(image, maps=True, idles=seed % 3 or None, limit=limit)
    found = difference(machine, image, run)
    assert found is None, f"program {seed}: {found}: {machine.rows}"


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_random_graphs_agree_in_every_value_and_every_counter(config: EngineConfig) -> None:
    seen: Counter[int] = Counter()
    with BareEngine(config, wake_up=2) as engine:
        for seed in range(GRAPHS):
            machine = draw(seed, config)
            check(engine, machine, seed)
            seen.update(row["op"] for row in machine.rows)
    missing = {OPCODES[name] for name in kinds(config) if name != "groups"} - set(seen)
    assert not missing


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("add", {"add": False}),
        ("average", {"average": False}),
        ("affine", {"average": False}),
        ("groups", {"groups": False}),
        ("lut", {"lut_tables": 0}),
        ("lut", {"act_w": 9}),
    ],
)
def test_an_engine_without_a_unit_has_no_such_layers(option: str, gone: dict[str, int]) -> None:
    assert option in kinds(TINY)
    assert option not in kinds(TINY.replace(**gone))


def test_what_is_left_out_leaves_the_rest_as_it_is() -> None:
    """The smallest choice of units runs all that it still has."""
    config = TINY.replace(add=False, average=False, groups=False, lut_tables=0)
    with BareEngine(config, wake_up=3) as engine:
        for seed in range(GRAPHS // 2):
            check(engine, draw(seed, config), seed)


def test_the_widest_multiplier_is_exact() -> None:
    with BareEngine(config := TINY.replace(mult_w=31), wake_up=4) as engine:
        for seed in range(GRAPHS // 2):
            check(engine, draw(seed, config), seed)


def test_both_roundings_are_exact_layer_by_layer() -> None:
    """Most layers of a program round twice, with sums that are halves; the rest once."""
    config = TWICE
    halves: Counter[bool] = Counter()
    with BareEngine(config, wake_up=5) as engine:
        for seed in range(GRAPHS):
            machine = draw(seed, config)
            check(engine, machine, seed)
            once = dataclasses.replace(machine, rows=[row | {"away": 0} for row in machine.rows])
            image = image_of(machine, seed)
            maps = [expected(one, image)[0] for one in (machine, once)]
            halves[any((one != two).any() for one, two in zip(*maps, strict=True))] += 1
    assert halves[True] >= GRAPHS // 5


def test_an_engine_that_rounds_once_refuses_a_layer_that_rounds_twice() -> None:
    config = TWICE
    twice = next(
        machine
        for machine in (draw(seed, config) for seed in range(GRAPHS))
        if machine.rows[0].get("away")
    )
    plain = TWICE.replace(requantization="up")
    with BareEngine(plain) as engine:
        engine.take(twice)
        run = engine.run(image_of(twice, 0), limit=100_000)
        assert CAUSES[run.status] == "opcode or shape"
        machine = draw(1, plain)
        check(engine, machine, 1)


def test_the_comparison_names_the_first_wrong_value() -> None:
    machine = draw(3, TINY)
    with BareEngine(TINY) as engine:
        engine.take(machine)
        image = image_of(machine, 0)
        run = engine.run(image, maps=True, limit=100_000)
        assert difference(machine, image, run) is None
        machine.bias[-1] += 1
        found = difference(machine, image, run)
    assert found is not None
    assert "expected" in found
