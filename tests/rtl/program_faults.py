"""Flipped bits in program memory, in the Verilog and as Python foresees them.

python -m tests.rtl.program_faults     10,000 faulty programs, the table of docs/rtl.md
"""

from __future__ import annotations

import random
import sys
from collections import Counter

import numpy as np

from hwsim.bus.constants import CAUSE_CODES, CAUSES
from hwsim.faults.clock import cycles
from hwsim.faults.execute import execute
from hwsim.faults.instructions import Walk, walk
from hwsim.faults.words import MemoryWords
from hwsim.files import markdown
from hwsim.numbers.config import EngineConfig, load_config
from tests.rtl.bare import BareEngine, difference
from tests.rtl.graphs import draw, image_of
from tests.rtl.machine import Machine

TINY = load_config("tiny")
#: Odd array, computed indices, few tables, depths that are no powers of two.
ODD = TINY.replace(
    name="odd", rows=3, cols=4, banks=4, act_w=5, wgt_w=6, mult_w=12, index_mode="hash",
    chan_depth=100, prog_depth=11, act_depth=1000, softmax=False, lut_tables=3,
)  # fmt: skip
ENGINES = (TINY, ODD)
#: Faulty programs of each random network; of each engine in a whole run.
EACH, WHOLE = 25, 5000
#: What becomes of a faulty program that is not refused.
SAME, OTHER, STALE = "the logits as without", "other logits", "logits of earlier images"


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
) -> tuple[MemoryWords, Walk]:
    words = MemoryWords(config, {name: words.view(np.int64) for name, words in memories.items()})
    return words, walk(config, words.program, beats)


def compare(
    config: EngineConfig,
    engine: BareEngine,
    networks: int,
    each: int,
    blocks: tuple[int, int] = (0, 6),
) -> Counter[str]:
    """Flip bits in random programs, run them, and hold the Verilog against what was foreseen.

    Status, instructions that ran, cycles, logits; behind the faulty programs of a network the true
    one is exact. Returns how many became what. Raises AssertionError at the first difference.
    """
    seen: Counter[str] = Counter()
    for network in range(networks):
        rng = random.Random(f"flips {network}")
        machine = draw(f"flips {network}", config, blocks=blocks)
        memories = whole(config, machine, np.random.default_rng(network))
        image = image_of(machine, network)
        engine.take(machine)
        for name, words in memories.items():
            engine.write(name, 0, words)
        first = engine.run(image, maps=True, limit=1_000_000)
        for _ in range(each):
            program = flipped(rng, memories["program.mem"], len(machine.rows))
            words, said = foreseen(config, memories | {"program.mem": program}, image.size)
            time = cycles(words, said.rows)
            engine.write("program.mem", 0, program)
            run = engine.run(image, limit=time + 20 * image.size + 5000)
            where = f"network {network}: {said.cause}, {len(said.rows)} instructions"
            status = CAUSE_CODES[said.cause] if said.cause else 0
            assert (run.status, len(run.layers)) == (status, len(said.rows)), where
            took = sum(layer["total"] for layer in run.layers) + 1
            if said.rows and not config.skip:
                assert took == time, where
            # An image without a zero takes longest, but for the one entry of a list of zeros.
            assert took <= time + len(said.rows) * config.skip, where
            if said.cause is not None:
                seen[CAUSES[status]] += 1
                continue
            answer = execute(words, said.rows, image[None])
            found = run.logits.tolist()
            assert not answer.defined or found == answer.logits[0].tolist(), where
            same = found == first.logits.tolist()
            seen[(SAME if same else OTHER) if answer.defined else STALE] += 1
        engine.write("program.mem", 0, memories["program.mem"])
        run = engine.run(image, maps=True, limit=1_000_000)
        assert difference(machine, image, run) is None
    return seen


def table() -> str:
    """What became of the faulty programs of a whole run."""
    found = {}
    for config in ENGINES:
        with BareEngine(config) as engine:
            found[config.name] = compare(config, engine, WHOLE // EACH, EACH)
    causes = [CAUSES[code] for name, code in CAUSE_CODES.items() if name != "memory"]
    rows = [
        [one, *(f"{seen[one]:,}" for seen in found.values())]
        for one in (SAME, OTHER, STALE, *causes)
    ]
    rows.append(["programs", *(f"{sum(seen.values()):,}" for seen in found.values())])
    return markdown.table(["", *(f"`{name}`" for name in found)], rows)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
