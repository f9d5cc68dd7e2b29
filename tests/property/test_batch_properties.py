"""Batches on the machine stepped clock by clock: values are the oracle's, cycles the contract's.

The machine is in slow_batch.py; docs/timing.md has what a batch takes.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hwsim.cost.activity import Activity
from hwsim.cost.batching import batched_activity
from hwsim.cost.timing import analyze, walk
from hwsim.engine import reference
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.units import sequencer
from tests.property import slow_batch
from tests.property.batch_networks import Batch, batches, streams
from tests.property.networks import EXAMPLES
from tests.property.paged_memory import Cell, Room
from tests.rtl.samples import gradient_image, small_network

#: Counters of a layer that each of its runs adds to; a fetch is in two more.
RUN = ("compute", "act_stall", "post_stall", "expander_stall", "drain", "conflict_cycles",
       "expander_wait", "columns", "macs")  # fmt: skip
EVENTS = ("macs", "weight_reads", "tile_writes", "tile_reads", "act_reads", "act_writes",
          "requantized", "biased", "channel_reads", "compares", "table_reads")  # fmt: skip


def property_test(share: float) -> settings:
    health = list(HealthCheck)
    count = max(1, int(share * EXAMPLES))
    return settings(max_examples=count, deadline=None, suppress_health_check=health)


@property_test(1)
@given(batches())
def test_every_image_of_a_batch_has_the_values_that_it_has_alone(batch: Batch) -> None:
    program = batch.program
    found = slow_batch.run(program, batch.images)
    for number, image in enumerate(batch.images):
        due = reference.run(program, image).feature_maps
        for layer, mine, alone in zip(program.layers, found.maps, due, strict=True):
            np.testing.assert_array_equal(mine[number], alone, f"{layer.name}, image {number}")


@pytest.mark.slow
@property_test(0.6)
@given(batches())
def test_a_batch_takes_what_its_runs_take(batch: Batch) -> None:
    program, count = batch.program, len(batch.images)
    found = slow_batch.run(program, batch.images)
    alone = slow_batch.run(program, batch.images[:1])
    total = sequencer.START
    for layer, mine, single in zip(program.layers, found.layers, alone.layers, strict=True):
        runs = 1 if streams(layer) else count
        due = Counter({name: runs * single[name] for name in RUN})
        due["instruction"] = sequencer.FETCH + runs * sequencer.SETUP
        busy = single["cycles"] - sequencer.INSTRUCTION
        due["cycles"] = due["instruction"] + runs * busy
        if streams(layer):
            due["macs"] *= count
        assert mine == due, layer.name
        total += due["cycles"]
    assert found.cycles == total
    assert found.softmax == count * alone.softmax
    _model(program, count, found)


def _model(program: Program, count: int, found: slow_batch.Answers) -> None:
    """What is counted from formulas, layer by layer, and the events that energy is counted from."""
    report, clock = analyze(program, images=count), sequencer.START
    for mine, model in zip(found.layers, report.layers, strict=True):
        due = {name: getattr(model, name) for name in (*RUN, "instruction", "cycles")}
        assert {name: mine[name] for name in due} == due, model.name
        clock += mine["cycles"]
        assert model.end == clock
    assert (report.images, report.cycles) == (count, found.cycles)
    assert report.softmax == found.softmax
    assert report.stream_in == count * math.prod(program.input_shape)
    assert report.stream_out == count * program.classes
    events = sum(
        (batched_activity(one.activity, one.timing.kind, count) for one in walk(program)),
        Activity(),
    )
    due = {name: getattr(events, name) for name in EVENTS}
    assert {name: found.events[name] for name in EVENTS} == due


@pytest.mark.parametrize("images", [0, 3, -1])
def test_an_engine_takes_no_more_images_than_its_batch(images: int) -> None:
    program = small_network(load_config("tiny").replace(batch=2))
    assert analyze(program, images=2).images == 2
    with pytest.raises(InputError, match="batch"):
        analyze(program, images=images)


@pytest.mark.parametrize("turn", [0, 2])
def test_banks_that_are_turned_otherwise_are_noticed(
    monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """An image alone may have any turn; the columns of an fc layer want one bank an image."""
    cell = Room.cell

    def other(room: Room, image: int, c: int, y: int, x: int) -> Cell:
        return cell(room, image, c, y, x)._replace(bank=(x + turn * image) % room.cols)

    monkeypatch.setattr(Room, "cell", other)
    program = small_network(load_config("tiny").replace(batch=2))
    with pytest.raises(AssertionError, match="nobody wrote it"):
        slow_batch.run(program, [gradient_image(seed) for seed in range(2)])


def test_a_bank_has_one_port() -> None:
    memory = slow_batch.PagedMemory(2, 2, 1)
    memory.write({Cell(0, 0, 0): 5})
    memory.write({Cell(0, 1, 0): 6})
    with pytest.raises(AssertionError, match="two accesses"):
        memory.read([Cell(0, 0, 0), Cell(0, 1, 0)])
