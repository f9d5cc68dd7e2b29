"""Flipped bits in program memory: Python foresees what the Verilog does, and nothing ever hangs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from hwsim.bus.constants import CAUSE_CODES
from hwsim.faults.clock import cycles
from hwsim.faults.execute import execute
from hwsim.faults.instructions import Walk, walk
from hwsim.faults.words import Words
from hwsim.numbers.config import EngineConfig, load_config
from tests.rtl.bare import BareEngine, difference
from tests.rtl.configs import FULL
from tests.rtl.graphs import draw, image_of
from tests.rtl.machine import Machine

pytestmark = pytest.mark.rtl

TINY = load_config("tiny")
#: Odd array, few tables, half the codes: what the fields of ``tiny`` do not reach.
OTHER = TINY.replace(
    name="odd", rows=3, cols=4, banks=4, act_w=5, wgt_w=6, mult_w=12, index_mode="hash",
    chan_depth=100, prog_depth=11, act_depth=1000, softmax=False, lut_tables=3,
)  # fmt: skip
#: Faulty programs on each engine, a few for each random network.
PROGRAMS, EACH = (5000, 25) if FULL else (150, 15)


Bench = tuple[EngineConfig, BareEngine]


@pytest.fixture(scope="module", params=[TINY, OTHER], ids=lambda config: config.name)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BareEngine(request.param) as engine:
        yield request.param, engine


def whole(
    config: EngineConfig, machine: Machine, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The machine's memories to their last lines, random words where it has none."""
    bits = {
        "weights.mem": (config.wgt_depth // config.banks, config.banks, config.wgt_w),
        "index.mem": (config.idx_depth, config.rows, 1 + config.addr_w),
        "scale.mem": (config.chan_depth, 1, config.mult_w + 6),
        "bias.mem": (config.chan_depth, 1, config.acc_w + config.mult_w),
        "lut.mem": (config.lut_tables << config.act_w, 1, config.act_w),
        "program.mem": (16 * config.prog_depth, 1, 32),
    }
    if config.index_mode == "hash":
        del bits["index.mem"]
    own, found = machine.memories(), {}
    for name, (lines, fields, width) in bits.items():
        words = rng.integers(0, 1 << width, (lines, fields), np.uint64)
        if name == "program.mem":
            words[:] = 0
        if name in own:
            words[: len(own[name])] = own[name]
        found[name] = words
    return found


def flipped(rng: random.Random, memory: np.ndarray, instructions: int) -> np.ndarray:
    """One to three bits of the program, its end and what stands behind it included."""
    words = memory.copy()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        line = rng.randrange(min(len(words), 16 * (instructions + 1)))
        words[line, 0] ^= np.uint64(1 << rng.randrange(32))
    return words


def foreseen(
    config: EngineConfig, memories: dict[str, np.ndarray], beats: int
) -> tuple[Words, Walk]:
    words = Words(config, {name: words.view(np.int64) for name, words in memories.items()})
    return words, walk(config, words.program, beats)


def test_flipped_bits_of_the_program_do_in_verilog_what_python_says(bench: Bench) -> None:
    """Status, instructions that ran, cycles, and logits; behind them the true program is exact."""
    config, engine = bench
    seen: Counter[str] = Counter()
    for network in range(PROGRAMS // EACH):
        rng, machine = random.Random(f"flips {network}"), draw(f"flips {network}", config)
        memories = whole(config, machine, np.random.default_rng(network))
        image = image_of(machine, network)
        engine.take(machine)
        for name, words in memories.items():
            engine.write(name, 0, words)
        for _ in range(EACH):
            program = flipped(rng, memories["program.mem"], len(machine.rows))
            words, said = foreseen(config, memories | {"program.mem": program}, image.size)
            time = cycles(words, said.rows)
            engine.write("program.mem", 0, program)
            run = engine.run(image, limit=time + 20 * image.size + 5000)
            where = f"network {network}: {said.cause}, {len(said.rows)} instructions"
            status = CAUSE_CODES[said.cause] if said.cause else 0
            assert (run.status, len(run.layers)) == (status, len(said.rows)), where
            if said.rows:
                assert sum(layer["total"] for layer in run.layers) + 1 == time, where
            if said.cause is None:
                answer = execute(words, said.rows, image[None])
                if answer.defined:
                    assert run.logits.tolist() == answer.logits[0].tolist(), where
                seen["other logits"] += not answer.defined
            seen[said.cause or "logits"] += 1
        engine.write("program.mem", 0, memories["program.mem"])
        run = engine.run(image, maps=True, limit=1_000_000)
        assert difference(machine, image, run) is None
    assert min(seen[cause] for cause in ("logits", "shape", "size", "place")) > 0, seen
    print(f"{config.name}: {sum(seen.values())} faulty programs, {dict(seen)}")
