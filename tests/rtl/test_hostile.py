"""Programs that no compiler would write: a status with its cause, and the next image exact."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest

from hwsim.bus.constants import CAUSES
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.instruction import FIELDS
from tests.rtl.bare import BareEngine, difference
from tests.rtl.configs import FULL, SKIPPING_TINY
from tests.rtl.graphs import Drawing, draw, image_of
from tests.rtl.machine import Machine, Row

pytestmark = pytest.mark.rtl

CONFIG = load_config("tiny")
DEPTH = CONFIG.act_depth
#: Cycles in which every program has come to its end on ``tiny``.
BOUND = 200_000_000
SHAPE, SIZE, END, PLACE = "opcode or shape", "size", "end of program", "place"

#: A plane of the maps below: 4 rows of 6 codes, in lines of two.
PLANE = 12


class Plain(Drawing):
    """Words for the rows that are given, which a drawing then fills."""

    def __init__(self, rows: list[Row], config: EngineConfig = CONFIG) -> None:
        super().__init__(random.Random(8), config, ())
        for row in rows:
            if row["op"] != 3:
                self.words(row)
            self.machine.rows.append(row)
        self.machine.rows.append(dict(op=0))


def some(op: int, in_line: int, out_line: int, channels: tuple[int, int], **more: int) -> Row:
    """A layer from a map of 4 x 6 to one of the same sides."""
    row = dict(
        op=op, in_line=in_line, out_line=out_line, in_c=channels[0], out_c=channels[1], in_h=4,
        in_w=6, out_h=4, out_w=6, last=0, lo=0, hi=255, fill=0, pad_top=0, pad_left=0,
    )  # fmt: skip
    return row | more


def network(config: EngineConfig = CONFIG) -> Machine:
    """Every kind of layer once: image at 0, conv 2 at 24, its groups 3 at 72, pool 4 at 0, …"""
    window = dict(kernel_h=3, kernel_w=3, stride_h=1, stride_w=1, pad_top=1, pad_left=1)
    whole = dict(kernel_h=4, kernel_w=6, stride_h=1, stride_w=1)
    rows = [
        some(1, 0, 24, (2, 4), groups=1, fan_in=18, **window),
        some(1, 24, 72, (4, 4), groups=2, fan_in=18, **window),
        some(3, 72, 0, (4, 4), **window),
        some(6, 24, 120, (4, 4), in2_line=72),
        some(7, 120, 168, (4, 4), table=1),
        some(5, 168, 24, (4, 4)),
        some(4, 24, 300, (4, 4), out_h=2, out_w=3, kernel_h=2, kernel_w=2, stride_h=2, stride_w=2),
        some(4, 24, 0, (4, 4), last=1, out_h=1, out_w=1, **whole),
    ]
    return Plain(rows, config).machine


NETWORK = network()


@pytest.fixture(scope="module")
def engine() -> Iterator[BareEngine]:
    with BareEngine(CONFIG, wake_up=11) as engine:
        yield engine


def works(engine: BareEngine, seed: int = 0, machine: Machine = NETWORK) -> None:
    """The next image of the true program is exact."""
    engine.take(machine)
    image = image_of(machine, seed)
    assert difference(machine, image, engine.run(image, maps=True, limit=100_000)) is None


def forged(number: int, machine: Machine = NETWORK, **fields: int) -> Machine:
    """The network with other fields in one instruction."""
    found = copy.deepcopy(machine)
    found.rows[number] |= fields
    return found


CONV, GROUPED, POOL, ADD, LUT, AFFINE, AVERAGE, LAST = range(8)


@pytest.mark.parametrize(
    ("cause", "number", "fields"),
    [
        # Beyond the memory.
        (SIZE, CONV, {"in_line": DEPTH - 2 * PLANE + 1}),
        (SIZE, CONV, {"in_line": 2**32 - 1}),
        (SIZE, CONV, {"out_line": DEPTH - 4 * PLANE + 1}),
        (SIZE, CONV, {"out_line": 2**32 - 4 * PLANE}),
        (SIZE, ADD, {"in2_line": DEPTH - 4 * PLANE + 1}),
        (SIZE, POOL, {"out_line": 2**31}),
        # Source and target overlap.
        (PLACE, CONV, {"out_line": 0}),
        (PLACE, CONV, {"out_line": 2 * PLANE - 1}),
        (PLACE, GROUPED, {"out_line": 24 + 4 * PLANE - 1}),
        (PLACE, POOL, {"out_line": 72 - 4 * PLANE + 1}),
        (PLACE, ADD, {"out_line": 24}),
        (PLACE, ADD, {"out_line": 72}),
        # What nobody wrote.
        (PLACE, GROUPED, {"in_line": 25}),
        (PLACE, GROUPED, {"in_line": 200, "out_line": 0}),
        (PLACE, POOL, {"in_line": 73, "out_line": 200}),
        (PLACE, ADD, {"in2_line": 120, "out_line": 200}),
        (PLACE, LAST, {"in_line": 290}),
        (PLACE, LAST, {"in_line": 400}),
        # An opcode that there is not, groups, windows, bounds, tables.
        (SHAPE, CONV, {"op": 8}),
        (SHAPE, LUT, {"op": 15}),
        (SHAPE, GROUPED, {"groups": 0}),
        (SHAPE, GROUPED, {"groups": 3}),
        (SHAPE, GROUPED, {"groups": 1}),
        (SHAPE, GROUPED, {"groups": 8, "fan_in": 4}),
        (SHAPE, GROUPED, {"out_c": 3}),
        (SHAPE, CONV, {"kernel_h": 12, "fan_in": 72}),
        (SHAPE, CONV, {"kernel_w": 0}),
        (SHAPE, CONV, {"stride_h": 5}),
        (SHAPE, CONV, {"stride_w": 0}),
        (SHAPE, CONV, {"pad_top": 3}),
        (SHAPE, CONV, {"pad_left": 3}),
        (SHAPE, CONV, {"fill": 256}),
        (SHAPE, POOL, {"kernel_w": 12}),
        (SHAPE, POOL, {"kernel_h": 0}),
        (SHAPE, POOL, {"pad_top": 3}),
        (SHAPE, POOL, {"last": 1}),
        (SHAPE, AVERAGE, {"pad_left": 1}),
        (SHAPE, AVERAGE, {"stride_h": 0}),
        (SHAPE, AFFINE, {"out_h": 3}),
        (SHAPE, AFFINE, {"out_c": 3}),
        (SHAPE, ADD, {"last": 1, "in_h": 1, "in_w": 1, "out_h": 1, "out_w": 1}),
        (SHAPE, LUT, {"last": 1, "in_h": 1, "in_w": 1, "out_h": 1, "out_w": 1}),
        (SHAPE, LAST, {"out_h": 2}),
        (SHAPE, AFFINE, {"lo": 200, "hi": 199}),
        (SHAPE, CONV, {"hi": 256}),
        (SIZE, LUT, {"table": 4}),
        (SIZE, LUT, {"table": 255}),
        (SIZE, LUT, {"channel_base": CONFIG.chan_depth}),
        (SIZE, ADD, {"channel_base": CONFIG.chan_depth - 1}),
        (SIZE, AFFINE, {"channel_base": CONFIG.chan_depth - 3}),
        (SIZE, GROUPED, {"scheme": 1, "index_base": CONFIG.idx_depth - 35}),
        (END, LAST, {"op": 0}),
    ],
)
def test_a_program_that_cannot_run_is_refused(
    engine: BareEngine, cause: str, number: int, fields: dict[str, int]
) -> None:
    engine.take(forged(number, **fields))
    run = engine.run(image_of(NETWORK, 0), limit=100_000)
    assert CAUSES.get(run.status) == cause
    # Whatever came before it ran.
    assert len(run.layers) == (number if number else 0)
    works(engine)


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (CONV, {"in_line": DEPTH - 2 * PLANE}),
        (POOL, {"out_line": DEPTH - 4 * PLANE}),
        (POOL, {"out_line": 72 - 4 * PLANE}),
        (ADD, {"in2_line": 24}),
        (ADD, {"in2_line": 48}),
        (AVERAGE, {"out_line": 24 + 4 * PLANE}),
        (LUT, {"table": 3}),
        (LUT, {"channel_base": CONFIG.chan_depth - 1}),
        (ADD, {"channel_base": CONFIG.chan_depth - 2}),
        (GROUPED, {"scheme": 1, "index_base": CONFIG.idx_depth - 36}),
        (GROUPED, {"groups": 4, "fan_in": 9}),
        (POOL, {"kernel_h": 11, "kernel_w": 11, "stride_h": 15, "stride_w": 15}),
        (AVERAGE, {"kernel_h": 15, "kernel_w": 15}),
    ],
)
def test_what_is_just_inside_is_not_refused(
    engine: BareEngine, number: int, fields: dict[str, int]
) -> None:
    engine.take(forged(number, **fields))
    run = engine.run(image_of(NETWORK, 0), limit=200_000)
    # What follows may miss what this layer wrote elsewhere.
    assert len(run.layers) > number
    works(engine)


def scattered(count: int, gap: int) -> Machine:
    """An image and ``count`` maps, ``gap`` lines from one to the next."""
    point = dict(kernel_h=1, kernel_w=1, stride_h=1, stride_w=1)
    rows = [some(3, 0, 24 + gap, (2, 2), **point)]
    rows += [some(3, 0, (24 + gap) * n, (2, 2), **point) for n in range(2, count + 1)]
    rows.append(some(5, 0, 0, (2, 2)))
    rows[-1] |= dict(op=2, out_c=3, out_h=1, out_w=1, last=1, fan_in=48)
    return Plain(rows).machine


@pytest.mark.parametrize(("count", "gap", "fits"), [(3, 1, True), (4, 1, False), (9, 0, True)])
def test_what_was_written_is_remembered_as_four_runs(
    engine: BareEngine, count: int, gap: int, fits: bool
) -> None:
    machine = scattered(count, gap)
    engine.take(machine)
    image = image_of(machine, 1)
    run = engine.run(image, maps=True, limit=100_000)
    if fits:
        assert difference(machine, image, run) is None
    else:
        assert CAUSES.get(run.status) == PLACE
        assert len(run.layers) == 3
    works(engine)


def test_the_order_in_which_runs_join_does_not_matter(engine: BareEngine) -> None:
    """Maps in nine places behind an image, in any order; then all are read as one."""
    rng, plane = random.Random(3), 24
    point = dict(kernel_h=1, kernel_w=1, stride_h=1, stride_w=1)
    ran = 0
    for _ in range(40):
        places = rng.sample(range(1, 10), 9)
        rows = [some(3, 0, plane * place, (2, 2), **point) for place in places]
        rows.append(some(5, 0, 0, (2, 2)))
        rows[-1] |= dict(op=1, in_c=20, out_c=2, groups=2, fan_in=10, **point)
        rows[-1] |= dict(out_line=plane * 10)
        rows.append(some(5, plane * 10, 0, (2, 2)))
        rows[-1] |= dict(op=2, out_c=3, out_h=1, out_w=1, last=1, fan_in=48)
        machine = Plain(rows).machine
        engine.take(machine)
        image = image_of(machine, 1)
        run = engine.run(image, maps=True, limit=100_000)
        grown, fits = {0}, True
        for place in places:
            grown.add(place)
            fits = fits and len([n for n in grown if n - 1 not in grown]) <= 4
        if fits:
            assert difference(machine, image, run) is None
            ran += 1
        else:
            assert CAUSES.get(run.status) == PLACE
    assert 5 < ran < 40


def corrupted(engine: BareEngine, machine_that_works: Machine, count: int) -> set[int]:
    """Run ``count`` graphs with wrong fields; the statuses. Behind each, the true one is exact."""
    rng, config = random.Random(12), machine_that_works.config
    engine.take(machine_that_works)
    statuses = set()
    for number in range(count):
        drawn = rng.random() < 0.5
        machine = copy.deepcopy(draw(number, config)) if drawn else forged(0, machine_that_works)
        image = image_of(machine, number)
        for _ in range(rng.randint(1, 3)):
            row = rng.choice(machine.rows)
            name = rng.choice(sorted(FIELDS))
            top = (1 << FIELDS[name][2]) - 1
            near = min(top, max(0, row.get(name, 0) + rng.choice([-1, 1])))
            row[name] = rng.choice([0, 1, near, near, rng.randint(0, min(top, 64)), top])
        engine.machine = machine
        for memory, words in machine.memories().items():
            engine.write(memory, 0, words)
        first = machine.rows[0]
        if (first["in_c"], first["in_h"], first["in_w"]) != image.shape:
            continue
        engine.program.input_shape = image.shape  # type: ignore[misc]
        run = engine.run(image, limit=BOUND)
        assert run.status in (0, *CAUSES), machine.rows
        statuses.add(run.status)
        works(engine, number % 8, machine_that_works)
    return statuses


def test_no_corrupted_graph_hangs_the_engine(engine: BareEngine) -> None:
    """It ends in done or in an error; then the true program runs exactly."""
    assert {0, 1, 2, 5} <= corrupted(engine, NETWORK, 1000 if FULL else 200)


def test_none_hangs_an_engine_that_skips() -> None:
    """Lists and masks of a wrong program are left behind with it."""
    with BareEngine(SKIPPING_TINY, wake_up=12) as engine:
        assert {0, 1, 2, 5} <= corrupted(engine, network(SKIPPING_TINY), 1000 if FULL else 120)
