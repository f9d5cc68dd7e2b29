"""Bad packets, bad programs, resets, random wake-up: a status, and the next image works."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.bus.constants import CAUSES, OUT_OF_CYCLES
from hwsim.cost.timing import analyze
from hwsim.engine.reference import Trace
from hwsim.engine.reference import run as oracle
from hwsim.numbers.config import load_config
from hwsim.program.instruction import FIELDS
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.compare import check
from tests.rtl.configs import FULL
from tests.rtl.samples import gradient_image, small_network

pytestmark = pytest.mark.rtl

PROGRAM = small_network(load_config("tiny"))
REPORT = analyze(PROGRAM)
#: Cycles in which every program has come to its end on ``tiny``: a layer reads its window at most
#: once for each line of a map or each pair of channels, and there are at most 32 layers.
BOUND = 200_000_000


@pytest.fixture
def engine() -> Iterator[RtlEngine]:
    with RtlEngine(PROGRAM, wake_up=7) as engine:
        yield engine


@cache
def expected(seed: int) -> Trace:
    return oracle(PROGRAM, gradient_image(seed))


def works(engine: RtlEngine, seed: int = 0, **streams: Any) -> None:
    """The next image is exact."""
    run = engine.run(gradient_image(seed), maps=True, limit=100_000, **streams)
    trace = (
        expected(seed)
        if engine.program is PROGRAM
        else oracle(engine.program, gradient_image(seed))
    )
    check(engine.program, run, trace, REPORT)


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


def test_a_reset_in_a_thousand_random_cycles_leaves_no_trace(engine: RtlEngine) -> None:
    last = engine.run(gradient_image()).simulated
    for number, cycle in enumerate(np.random.default_rng(5).integers(1, last, 1000)):
        run = engine.run(gradient_image(), limit=int(cycle))
        assert run.status == OUT_OF_CYCLES
        works(engine, number % 8)


@pytest.mark.parametrize("seed", range(20 if FULL else 8))
def test_what_registers_and_memories_wake_up_with_does_not_matter(seed: int) -> None:
    with RtlEngine(PROGRAM, wake_up=seed + 100) as engine:
        works(engine)


WORDS = np.concatenate(list(memory_values(PROGRAM, "program.mem"))).astype(np.uint64)
Changes = dict[str, tuple[int, int]]


def forge(changes: Changes) -> NDArray[np.uint64]:
    """The program memory with other fields: name -> (instruction, value)."""
    words = WORDS.copy()
    for name, (instruction, value) in changes.items():
        word, low, width = FIELDS[name]
        mask = ((1 << width) - 1) << low
        line = 16 * instruction + word
        words[line] = np.uint64((int(words[line, 0]) & ~mask) | value << low)
    return words


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("opcode or shape", {"op": (0, 9)}),
        ("opcode or shape", {"op": (1, 15)}),
        ("opcode or shape", {"out_c": (2, 0)}),
        ("opcode or shape", {"scheme": (2, 3)}),
        ("opcode or shape", {"stride_w": (1, 0)}),
        ("opcode or shape", {"in_c": (0, 2)}),
        ("opcode or shape", {"fan_in": (0, 8)}),
        ("opcode or shape", {"fan_in": (2, 46)}),
        ("opcode or shape", {"fan_in": (2, 45 + 2**16)}),
        ("opcode or shape", {"out_h": (2, 2)}),
        ("opcode or shape", {"out_w": (2, 3)}),
        ("opcode or shape", {"out_c": (1, 6)}),
        ("opcode or shape", {"real_weights": (2, 0)}),
        ("opcode or shape", {"last": (0, 1)}),
        ("size", {"in_h": (0, 60000)}),
        ("size", {"in_w": (0, 65535)}),
        ("size", {"out_h": (0, 60000)}),
        ("size", {"out_w": (1, 65535)}),
        ("size", {"in_c": (0, 3), "kernel_h": (0, 11), "kernel_w": (0, 11), "fan_in": (0, 363)}),
        ("size", {"index_base": (0, 8192 - 26)}),
        ("size", {"index_base": (2, 2**32 - 1)}),
        ("size", {"weight_base": (2, 4096 - 15)}),
        ("size", {"real_weights": (2, 8193)}),
        ("size", {"channel_base": (2, 511)}),
        ("size", {"weight_base": (2, 2**32 - 1)}),
        ("size", {"real_weights": (0, 2**31)}),
        ("end of program", {"op": (2, 0)}),
        ("end of program", {"op": (0, 0)}),
    ],
)
def test_a_program_that_cannot_run_is_refused(
    engine: RtlEngine, cause: str, changes: Changes
) -> None:
    engine.write("program.mem", 0, forge(changes))
    run = engine.run(gradient_image(), limit=50_000)
    assert CAUSES.get(run.status) == cause
    engine.write("program.mem", 0, WORDS)
    works(engine)


@pytest.mark.parametrize(
    "changes",
    [
        {"index_base": (0, 8192 - 27)},
        {"weight_base": (2, 4096 - 16)},
        {"channel_base": (2, 512 - 4)},
        {"real_weights": (2, 8192 - 12)},
    ],
)
def test_a_layer_may_fill_a_memory_to_its_last_line(engine: RtlEngine, changes: Changes) -> None:
    engine.write("program.mem", 0, forge(changes))
    assert engine.run(gradient_image(), limit=50_000).status == 0


@st.composite
def plausible(draw: Any) -> Changes:
    """A layer that is consistent, but not with its neighbours."""
    side, some, line = st.integers(1, 9), st.integers(0, 15), st.integers(0, 200)
    number = draw(st.integers(0, 2))
    op = draw(st.integers(1, 7))
    groups = draw(st.integers(1, 3)) if op == 1 else 1
    in_c, in_h, in_w = groups * draw(st.integers(1, 4)), draw(side), draw(side)
    kernel_h, kernel_w = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    point = op >= 5
    out_h, out_w = (in_h, in_w) if point else (1, 1) if op == 2 else (draw(side), draw(side))
    lo = draw(st.integers(0, 255))
    row = dict(
        op=op, last=int(op in (2, 4, 5) and draw(st.booleans())), scheme=draw(st.integers(0, 2)),
        log2_hash_banks=draw(st.integers(0, 31)), kernel_h=kernel_h, kernel_w=kernel_w,
        stride_h=draw(some), stride_w=draw(some), pad_top=draw(st.integers(0, kernel_h - 1)),
        pad_left=draw(st.integers(0, kernel_w - 1)), groups=groups, in_c=in_c, in_h=in_h,
        in_w=in_w, out_c=in_c if op > 2 else groups * draw(st.integers(1, 33)), out_h=out_h,
        out_w=out_w, real_weights=draw(st.integers(1, 99)), lo=lo, hi=draw(st.integers(lo, 255)),
        fill=draw(st.integers(0, 255)), in_line=draw(line), in2_line=draw(line),
        out_line=draw(line), table=draw(st.integers(0, 4)),
        fan_in=in_c * in_h * in_w if op == 2 else in_c // groups * kernel_h * kernel_w,
        prob_shift=draw(st.integers(0, 255)),
    )  # fmt: skip
    return {name: (number, value) for name, value in row.items()}


@st.composite
def edits(draw: Any) -> Changes:
    """Fields that hold something else, here and there."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3, unique=True))
    found = {}
    for name in names:
        top = (1 << FIELDS[name][2]) - 1
        near = st.integers(0, min(top, 64)) | st.integers(max(0, top - 2), top)
        found[name] = draw(st.integers(0, 3)), draw(near | st.integers(0, top))
    return found


def test_no_corrupted_program_hangs_the_engine() -> None:
    """It ends in done or in an error; then the true program runs exactly."""
    held = [RtlEngine(PROGRAM, wake_up=3)]

    @settings(max_examples=1000 if FULL else 150, deadline=None)
    @given(
        changes=plausible() | edits(),
        flips=st.lists(st.tuples(st.integers(0, len(WORDS) - 1), st.integers(0, 31)), max_size=2),
    )
    def ends(changes: Changes, flips: list[tuple[int, int]]) -> None:
        words = forge(changes)
        for line, bit in flips:
            words[line] ^= np.uint64(1 << bit)
        engine = held[0]
        engine.write("program.mem", 0, words)
        run = engine.run(gradient_image(), limit=BOUND)
        engine.write("program.mem", 0, WORDS)
        assert run.status in (0, *CAUSES)
        works(engine)

    try:
        ends()
    finally:
        held[0].close()


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
