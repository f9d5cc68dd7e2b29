"""Check bits in the Verilog: no value and no cycle changes, one flip is corrected, two stop."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from hwsim.bus.constants import CAUSE_CODES
from hwsim.faults.protection import stored
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.ecc import check_bits
from hwsim.numbers.hashing import table
from tests.rtl.bare import BareEngine, difference
from tests.rtl.configs import FULL
from tests.rtl.graphs import draw, image_of
from tests.rtl.machine import NAMES, Machine, expected
from tests.rtl.test_hostile import NETWORK

pytestmark = pytest.mark.rtl

TINY = load_config("tiny")
SECDED, PARITY = (
    TINY.replace(name="secded", ecc="secded"),
    TINY.replace(name="parity", ecc="parity"),
)
#: Wide words, an odd array, computed indices.
WIDE = TINY.replace(
    name="wide-secded", rows=3, cols=4, banks=4, act_w=6, wgt_w=12, acc_w=48, index_mode="hash",
    ecc="secded",
)  # fmt: skip
ENGINES = [SECDED, PARITY, WIDE] if FULL else [SECDED, PARITY]
NETWORKS = 100 if FULL else 20
MEMORY = CAUSE_CODES["memory"]
#: Cycles in which every faulty program of ``tiny`` has ended.
BOUND = 200_000_000

Bench = tuple[EngineConfig, BareEngine]


@pytest.fixture(scope="module", params=ENGINES, ids=lambda config: config.name)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Memories wake up with random bits: words that nobody wrote have wrong check bits."""
    with BareEngine(request.param, wake_up=5) as engine:
        yield request.param, engine


def widths(config: EngineConfig) -> dict[str, int]:
    post_w = config.acc_w + config.mult_w
    found = {
        "weights.mem": config.wgt_w,
        "index.mem": 1 + config.addr_w,
        "scale.mem": config.mult_w + (post_w - 1).bit_length(),
        "bias.mem": post_w,
        "program.mem": 32,
        "lut.mem": config.act_w,
    }
    return {name: width for name, width in found.items() if (name, config.index_mode) != _NONE}


_NONE = ("index.mem", "hash")


def used(machine: Machine, image: np.ndarray) -> dict[str, set[tuple[int, int]]]:
    """(line, field) of the words that an inference reads."""
    config, memories = machine.config, machine.memories()
    found = {
        name: {(line, field) for line in range(len(words)) for field in range(words.shape[1])}
        for name, words in memories.items()
        if name not in ("weights.mem", "lut.mem")
    }
    found["weights.mem"], found["lut.mem"] = set(), set()
    maps, _ = expected(machine, image)
    for number, row in enumerate(machine.rows[:-1]):
        name = NAMES[row["op"]]
        if name in ("conv", "fc"):
            lines, banks = _addresses(machine, row)
            found["weights.mem"] |= set(zip(lines.tolist(), banks.tolist(), strict=True))
        if name == "lut":
            # In the network below it reads what the layer before wrote, whose lines are full.
            first = row["table"] << config.act_w
            found["lut.mem"] |= {(first + int(code), 0) for code in np.unique(maps[number - 1])}
    return found


def _addresses(machine: Machine, row: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    address, _ = table(machine.spec(row))
    banks = machine.config.banks
    return row["weight_base"] + address.ravel() // banks, address.ravel() % banks


def test_values_and_cycles_are_those_without_check_bits(bench: Bench) -> None:
    config, engine = bench
    for number in range(NETWORKS):
        machine = draw(f"ecc {number}", config)
        image = image_of(machine, number)
        engine.take(machine)
        assert difference(machine, image, engine.run(image, maps=True, limit=2_000_000)) is None


@pytest.fixture
def network(bench: Bench) -> Machine:
    """Every kind of layer once, in the engine."""
    config, engine = bench
    if config.rows != 2:
        pytest.skip("the network is one for two rows and two columns")
    machine = Machine(
        config,
        NETWORK.rows,
        NETWORK.weights,
        NETWORK.index,
        NETWORK.scale,
        NETWORK.bias,
        NETWORK.lut,
    )
    engine.take(machine)
    return machine


def test_a_flipped_bit_is_corrected_or_stops_whoever_reads_it(
    bench: Bench, network: Machine
) -> None:
    """Of every memory; parity stops at one, SECDED corrects one and stops at two."""
    config, engine = bench
    image, rng = image_of(network, 0), random.Random(4)
    read = used(network, image)
    for name, width in widths(config).items():
        words = network.memories()[name]
        bits, stopped = width + check_bits(config.ecc, width), 0
        for _ in range(120 if FULL else 24):
            line, field = rng.randrange(len(words)), rng.randrange(words.shape[1])
            if rng.random() < 0.7:
                line, field = rng.choice(sorted(read[name]))
            word, count = int(words[line, field]), rng.choice([1, 2])
            flipped = rng.sample(range(bits), count)
            engine.poke(name, line, field, *stored(config.ecc, width, word, flipped))
            # Two flips pass a parity bit: whoever reads them may do anything, but must end.
            passes = config.ecc == "parity" and count == 2 and (line, field) in read[name]
            run = engine.run(image, maps=not passes, limit=BOUND)
            where = f"{name}, line {line}, field {field}, bits {flipped}"
            found = count == (1 if config.ecc == "parity" else 2)
            if found and (line, field) in read[name]:
                assert (run.status, run.logits.size) == (MEMORY, 0), where
                stopped += 1
            elif not passes:
                assert difference(network, image, run) is None, where
            engine.poke(name, line, field, word)
        assert stopped > 2, name
        assert difference(network, image, engine.run(image, maps=True, limit=100_000)) is None


def test_a_read_of_the_bus_is_corrected_and_stops_nobody(bench: Bench, network: Machine) -> None:
    config, engine = bench
    image, rng = image_of(network, 0), random.Random(5)
    for name, width in widths(config).items():
        words = network.memories()[name]
        bits = width + check_bits(config.ecc, width)
        for count in (1, 2):
            line, field = rng.randrange(len(words)), rng.randrange(words.shape[1])
            word = int(words[line, field])
            flipped = rng.sample(range(bits), count)
            engine.poke(name, line, field, *stored(config.ecc, width, word, flipped))
            answer = int(engine.peek(name, line, field))
            as_stored = word ^ sum(1 << bit for bit in flipped if bit < width)
            corrects = config.ecc == "secded" and count == 1
            assert answer == (word if corrects else as_stored), (name, flipped)
            engine.poke(name, line, field, word)
            assert int(engine.peek(name, line, field)) == word
    assert difference(network, image, engine.run(image, maps=True, limit=100_000)) is None
