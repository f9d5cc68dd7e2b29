"""Columns of zeros left out of convolutions: all counters against a machine stepped cycle by cycle.

The machine is in slow_slots.py; fully connected layers: test_skipping_properties.py.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.cost.images import Counters, ImageTiming
from hwsim.cost.skipping import VARYING
from hwsim.cost.timing import analyze
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from tests.property.networks import EXAMPLES
from tests.property.skipping_layers import Convolution, codes_of, convolution
from tests.property.slow_skipping import slow_layer
from tests.property.test_skipping_properties import property_test
from tests.property.test_timing_properties import programs
from tests.unit.test_timing import PARTS

#: Networks; HWSIM_SLOTS asks for more.
COUNT = int(os.environ.get("HWSIM_SLOTS", EXAMPLES))
PARTS_OF_COUNT = 10


def counters_of(program: Program, codes: dict[int, NDArray[np.int64]], count: int) -> Counters:
    """Of codes (N, C, H, W) that the layers read, by number of the layer."""
    timing = ImageTiming(program)
    wanted: dict[int, NDArray[np.generic]] = {}
    for number in timing.varying:
        read = codes[number]
        if number in timing.skipping:
            wanted[number] = read.reshape(count, -1) != 0
        else:
            wanted[number] = read.transpose(0, 2, 3, 1)
    return timing.counters(wanted, count)


def check(program: Program, codes: dict[int, NDArray[np.int64]], count: int) -> None:
    """All counters of all layers and images are the machine's."""
    found = counters_of(program, codes, count)
    for number, (layer, bound) in enumerate(
        zip(program.layers, analyze(program).layers, strict=True)
    ):
        # Of layers without weights of their own the machine does not count products.
        named = set(VARYING) - (set() if isinstance(layer, MacLayer) else {"macs", "columns"})
        for n in range(count):
            slow = slow_layer(layer, program.config, codes[number][n])
            ours = {name: int(found[name][n, number]) for name in named}
            assert ours == {name: slow[name] for name in named}, (layer.name, n)
            parts = [ours[part] if part in named else getattr(bound, part) for part in PARTS]
            assert sum(parts) == ours["cycles"]
            assert min(parts) >= 0


def kind_of(case: Convolution) -> str:
    """Whether it leaves columns out, and else why not."""
    if -(-case.layer.n_out // case.layer.groups) <= case.program.config.rows:
        return "one row-tile"
    return "left out" if case.need <= case.program.config.skip_masks else "no room"


@pytest.mark.parametrize("part", range(PARTS_OF_COUNT))
def test_a_convolution_equals_a_machine_stepped_cycle_by_cycle(part: int) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(part, COUNT, PARTS_OF_COUNT):
        case = convolution(seed)
        try:
            check(case.program, {0: case.codes, 1: case.rest}, len(case.codes))
        except AssertionError as error:
            raise AssertionError(f"convolution({seed}): {error}") from error
        kinds[kind_of(case)] += 1
    assert set(kinds) == {"one row-tile", "left out", "no room"} or COUNT < 300


def test_a_batch_takes_what_its_images_take_alone() -> None:
    for seed in range(40):
        case = convolution(seed)
        codes, count = {0: case.codes, 1: case.rest}, len(case.codes)
        found = counters_of(case.program, codes, count)
        for n in range(count):
            alone = counters_of(case.program, {k: v[n : n + 1] for k, v in codes.items()}, 1)
            for name, values in alone.items():
                assert (values[0] == found[name][n]).all(), (seed, n, name)


@property_test(1)
@given(programs(), st.integers(1, 40), st.integers(1, 30), st.randoms(use_true_random=False))
def test_layers_of_every_kind_equal_the_machine(
    program: Program, columns: int, masks: int, rng: object
) -> None:
    config = program.config.replace(skip=True, skip_columns=columns, skip_masks=masks)
    program = program.replace(config=config)
    codes = {
        number: np.stack([codes_of(rng, layer.in_shape) for _ in range(2)])  # type: ignore[arg-type]
        for number, layer in enumerate(program.layers)
    }
    check(program, codes, 2)
