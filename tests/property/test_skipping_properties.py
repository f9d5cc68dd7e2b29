"""Zero skipping: cycles and counters of each image against a machine stepped cycle by cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.cost.images import ImageTiming
from hwsim.cost.skipping import VARYING
from hwsim.cost.timing import analyze
from hwsim.engine import reference
from hwsim.engine.module import Engine
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer, Shape
from hwsim.program.program import Program
from tests.property.networks import EXAMPLES, Case, cases
from tests.property.slow_skipping import slow_layer
from tests.property.test_timing_properties import configs, specs
from tests.unit.test_timing import PARTS, mac

#: Counters of the machine that an image decides.
COUNTED = set(VARYING) - {"columns", "macs"}


def property_test(share: float) -> settings:
    count = max(1, int(EXAMPLES * share))
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def shapes(draw: Any) -> Shape:
    """Maps of any sides; vectors, which have a line a channel; one code."""
    return draw(
        st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 19))
        | st.tuples(st.integers(1, 70), st.just(1), st.just(1))
        | st.just((1, 1, 1))
    )


@st.composite
def codes(draw: Any, shape: Shape) -> NDArray[np.int64]:
    """A map: blank, one point, full, of any density, with blank or full lines."""
    style = draw(st.sampled_from(["random", "blank", "point", "full", "lines", "last"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if style == "blank":
        return np.zeros(shape, np.int64)
    if style == "full":
        return np.ones(shape, np.int64)
    if style == "lines":
        return np.broadcast_to(rng.integers(0, 2, (*shape[:2], 1)), shape).astype(np.int64)
    if style == "random":
        return (rng.random(shape) < draw(st.floats(0, 1))).astype(np.int64)
    found = np.zeros(shape, np.int64)
    found.flat[-1 if style == "last" else rng.integers(found.size)] = 1
    return found


@st.composite
def fc_layers(draw: Any) -> tuple[Program, NDArray[np.int64]]:
    """One fc layer on an engine that skips, and maps for it, (N, C, H, W)."""
    config: EngineConfig = draw(configs()).replace(skip=True)
    shape = draw(shapes())
    fan_in = int(np.prod(shape))
    outputs = draw(st.just(1) | st.integers(1, 40))
    program = Program.chain(config, [mac("fc", shape, draw(specs(outputs, fan_in)))], shape)
    images = draw(st.lists(codes(shape), min_size=1, max_size=4))
    return program, np.stack(images)


@property_test(2)
@given(fc_layers())
def test_a_layer_equals_a_machine_stepped_cycle_by_cycle(
    case: tuple[Program, NDArray[np.int64]],
) -> None:
    program, images = case
    (layer,), config = program.layers, program.config
    found = ImageTiming(program).counters({0: images.reshape(len(images), -1) != 0}, len(images))
    (bound,) = analyze(program).layers
    for n, image in enumerate(images):
        slow = slow_layer(layer, config, image)
        assert {name: int(found[name][n, 0]) for name in COUNTED} == {
            name: slow[name] for name in COUNTED
        }
        assert found["columns"][n, 0] == slow["compute"]
        parts = [slow[part] for part in PARTS if part not in ("instruction", "act_stall")]
        assert sum(parts) + bound.instruction == slow["cycles"]
        assert slow["drain"] == bound.drain
        # The list of a map of zeros gets its one entry a cycle later than any other.
        assert slow["cycles"] <= bound.cycles + (not image.any())
        if image.all():
            assert slow["cycles"] == bound.cycles
            assert slow["post_stall"] == bound.post_stall


@property_test(1)
@given(fc_layers(), st.integers(0, 2**32 - 1))
def test_one_zero_more_is_never_slower(case: tuple[Program, NDArray[np.int64]], seed: int) -> None:
    program, images = case
    wanted = images.reshape(len(images), -1) != 0
    fewer = wanted & (np.random.default_rng(seed).random(wanted.shape) < 0.9)
    timing = ImageTiming(program)
    before = timing.counters({0: wanted}, len(images))["cycles"][:, 0]
    after = timing.counters({0: fewer}, len(images))["cycles"][:, 0]
    assert (after <= before + ~fewer.any(1)).all()


@pytest.mark.slow
@property_test(2)
@given(case=cases(7), data=st.data())
def test_a_network_takes_what_the_machine_takes_and_answers_the_same(
    case: Case, data: st.DataObject
) -> None:
    plain = case.program.skipping(False)
    columns = data.draw(st.just(8192) | st.integers(1, 40))
    masks = data.draw(st.just(4096) | st.integers(1, 40))
    skipping = dict(skip=True, skip_columns=columns, skip_masks=masks)
    program = plain.replace(config=plain.config.replace(**skipping))
    engine, x = Engine(program), torch.from_numpy(case.pixels())
    logits = engine.integer_logits(x)
    assert torch.equal(logits, Engine(plain).integer_logits(x))
    cycles, counters = engine.cycles(x), engine.counters(x)
    assert cycles.dtype == np.int64
    assert (cycles == counters["cycles"]).all()
    for n, image in enumerate(case.images):
        trace = reference.run(program, image)
        assert logits[n].tolist() == trace.logits == reference.run(plain, image).logits
        for number, layer in enumerate(program.layers):
            slow = slow_layer(layer, program.config, _read(program, number, image, trace))
            named = COUNTED | ({"columns", "macs"} if isinstance(layer, MacLayer) else set())
            ours = {name: int(counters[name][n, number]) for name in named}
            assert ours == {name: slow[name] for name in named}, layer.name
        alone = engine.counters(x[n : n + 1])
        assert all((alone[name][0] == counters[name][n]).all() for name in VARYING)


def _read(
    program: Program, number: int, image: NDArray[np.int64], trace: reference.Trace
) -> NDArray[np.int64]:
    """The first map that a layer read, put together of what layers wrote."""
    place, channels = program.wires[number].sources[0], program.layers[number].in_shape[0]
    if place.map == 0:
        return image[place.channel : place.channel + channels]
    found = np.zeros(program.maps[place.map].shape, np.int64)
    for wire, written in zip(program.wires[:number], trace.feature_maps, strict=False):
        if wire.target is not None and wire.target.map == place.map:
            first = wire.target.channel
            found[first : first + len(written)] = written
    return found[place.channel : place.channel + channels]


@property_test(0.5)
@given(case=cases())
def test_without_skipping_all_images_take_what_the_report_says(case: Case) -> None:
    program = case.program.skipping(False)
    cycles = Engine(program).cycles(torch.from_numpy(case.pixels()))
    due = [layer.cycles for layer in analyze(program).layers]
    assert cycles.tolist() == [due] * len(case.images)
