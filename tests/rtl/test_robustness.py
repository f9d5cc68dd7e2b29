"""Bad packets, bad programs, resets, random wake-up: a status, and the next image works."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hwsim.config import load_config
from hwsim.memories import memory_files, memory_values
from hwsim.program import FIELDS, Program
from hwsim.reference import run as oracle
from hwsim.rtl import CAUSES, OUT_OF_CYCLES, RtlEngine
from hwsim.timing import analyze
from tests.rtl.compare import check
from tests.rtl.configs import FULL
from tests.rtl.samples import gradient_image, small_network

pytestmark = pytest.mark.rtl

PROGRAM = small_network(load_config("tiny"))
REPORT = analyze(PROGRAM)


@pytest.fixture
def engine() -> Iterator[RtlEngine]:
    with RtlEngine(PROGRAM, wake_up=7) as engine:
        yield engine


def works(engine: RtlEngine, seed: int = 0, **streams: Any) -> None:
    """The next image is exact."""
    image = gradient_image(seed)
    run = engine.run(image, maps=True, limit=100_000, **streams)
    check(engine.program, run, oracle(engine.program, image), REPORT)


@pytest.mark.parametrize("packet", [-1, 1])
@pytest.mark.parametrize("idles", [None, 3])
def test_a_packet_of_the_wrong_length_is_refused(
    engine: RtlEngine, packet: int, idles: int | None
) -> None:
    for seed in range(3):
        run = engine.run(gradient_image(), packet=packet, idles=idles, limit=10_000)
        assert CAUSES[run.status] == "packet length"
        assert not run.layers
        works(engine, seed)


def test_images_follow_each_other(engine: RtlEngine) -> None:
    for seed in range(8):
        works(engine, seed, idles=seed or None)


def test_a_reset_at_any_cycle_leaves_no_trace(engine: RtlEngine) -> None:
    last = engine.run(gradient_image()).simulated
    random = np.random.default_rng(5)
    cycles = range(1, last) if FULL else random.choice(np.arange(1, last), 150, replace=False)
    for number, cycle in enumerate(cycles):
        run = engine.run(gradient_image(), limit=int(cycle))
        assert run.status == OUT_OF_CYCLES
        if FULL or number % 3 == 0:
            works(engine, number)
    works(engine)


@pytest.mark.parametrize("seed", range(6 if FULL else 3))
def test_what_registers_and_memories_wake_up_with_does_not_matter(seed: int) -> None:
    with RtlEngine(PROGRAM, wake_up=seed + 100) as engine:
        works(engine)


class Forged:
    """A program whose instructions are not what its layers say."""

    def __init__(self, **changes: tuple[int, int]) -> None:
        self.changes = changes

    def __call__(self, engine: RtlEngine) -> None:
        """Write the program memory: field -> (instruction, value)."""
        words = np.concatenate(list(memory_values(PROGRAM, "program.mem"))).astype(np.uint64)
        for name, (instruction, value) in self.changes.items():
            word, low, width = FIELDS[name]
            mask = ((1 << width) - 1) << low
            line = 16 * instruction + word
            words[line] = np.uint64((int(words[line, 0]) & ~mask) | value << low)
        engine.write("program.mem", 0, words)


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("opcode or shape", {"op": (0, 9)}),
        ("opcode or shape", {"op": (1, 15)}),
        ("opcode or shape", {"out_c": (2, 0)}),
        ("opcode or shape", {"scheme": (2, 3)}),
        ("opcode or shape", {"stride": (1, 0)}),
        ("size", {"in_c": (0, 60000)}),
        ("size", {"out_h": (0, 60000)}),
        ("size", {"fan_in": (0, 257)}),
        ("size", {"channel_base": (2, 511)}),
        ("size", {"weight_base": (2, 2**32 - 1)}),
        ("size", {"real_weights": (0, 2**31)}),
        ("end of program", {"op": (2, 0)}),
        ("end of program", {"op": (0, 0)}),
        ("end of program", {"last": (0, 1)}),
    ],
)
def test_a_program_that_cannot_run_is_refused(
    engine: RtlEngine, cause: str, changes: dict[str, tuple[int, int]]
) -> None:
    Forged(**changes)(engine)
    run = engine.run(gradient_image(), limit=50_000)
    assert CAUSES.get(run.status) == cause
    engine.load(PROGRAM)
    works(engine)


@pytest.mark.parametrize(
    "name", ["weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem"]
)
def test_every_memory_reads_back(engine: RtlEngine, name: str) -> None:
    file = memory_files(PROGRAM)[name]
    expected = np.concatenate(list(memory_values(PROGRAM, name))).astype(np.int64).view(np.uint64)
    assert (engine.read(name) == expected & np.uint64((1 << file.width) - 1)).all()


def test_weights_can_be_rewritten_between_images(engine: RtlEngine) -> None:
    works(engine)
    first = PROGRAM.mac_layers[0]
    negated = dataclasses.replace(first, weights=-first.weights)
    defended: Program = PROGRAM.replace(layers=(negated, *PROGRAM.layers[1:]))
    engine.load(defended)
    works(engine)
