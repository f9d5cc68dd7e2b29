"""What the machine of plain integers costs on an engine that skips: stepped clock by clock.

Values are those of tests/rtl/machine.py; cycles and counters those of slow_machine.py in
tests/property and its neighbours, which know neither compiler nor timing model.
"""

from __future__ import annotations

import random

import numpy as np

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    PoolLayer,
    Window,
)
from hwsim.units import sequencer
from hwsim.units.softmax import cycles_softmax
from tests.property.skipping_layers import codes_of
from tests.property.slow_skipping import slow_layer
from tests.rtl.graphs import draw
from tests.rtl.machine import NAMES, Machine, Row, reads, shape_of
from tests.unit.test_timing import mac

#: Counters of the slow machine; it has no others.
COUNTED = ("compute", "act_stall", "post_stall", "expander_stall", "drain", "conflict_cycles",
           "expander_wait", "skipped")  # fmt: skip
KINDS = ("conv", "conv", "groups", "fc", "pool", "average", "lut", "add")


def layer_of(machine: Machine, row: Row) -> Layer:
    """A layer of the row's shape and addresses, without its words."""
    name, into, out = NAMES[row["op"]], shape_of(row, "in"), shape_of(row, "out")
    one, words = np.zeros(1, np.int32), np.zeros(1, np.int64)
    window = Window((1, 1))
    if name in ("conv", "pool", "average"):
        kernel, stride = ((row[f"{what}_h"], row[f"{what}_w"]) for what in ("kernel", "stride"))
        window = Window(kernel, stride, (row["pad_top"], row["pad_left"], 0, 0))
    if name == "fc":
        return mac("fc", into, machine.spec(row))
    if name == "conv":
        layer = mac("conv", into, machine.spec(row), groups=row["groups"])
        for what, value in dict(window=window, out_shape=out, fill=row["fill"]).items():
            object.__setattr__(layer, what, value)
        return layer
    if name == "pool":
        return PoolLayer(name, into, out, window)
    if name == "average":
        return AverageLayer(name, into, out, window, one, one, words, last=False, scale=1, hi=1)
    if name == "affine":
        return AffineLayer(name, into, one, one, words, last=False, scale=1, hi=1)
    if name == "lut":
        return LutLayer(name, into, one, scale=1)
    return AddLayer(name, into, one, one, words, scale=1, hi=1)


def skipping_cycles(machine: Machine, image: np.ndarray) -> tuple[list[dict[str, int]], int, int]:
    """As ``machine.cycles``, of one image."""
    config, layers = machine.config, []
    for row, codes in reads(machine, image):
        slow = slow_layer(layer_of(machine, row), config, codes)
        one = {name: slow[name] for name in COUNTED}
        layers.append(one | dict(instruction=sequencer.INSTRUCTION, total=slow["cycles"]))
    total = sequencer.START + sum(one["total"] for one in layers)
    classes = machine.rows[len(layers) - 1]["out_c"]
    return layers, total, cycles_softmax(classes) if config.softmax else 0


def network(seed: int, config: EngineConfig) -> tuple[Machine, list[np.ndarray]]:
    """Random layers behind each other, rather convolutions, and images for them.

    One of random codes, one sparse, one of zeros, one without a zero, and the first again.
    """
    rng = random.Random(f"skipping {seed}")
    kinds = tuple(one for one in KINDS if one not in ("add",) or config.rows > 1)
    if config.act_w > 8:
        kinds = tuple(one for one in kinds if one != "lut")
    wide = rng.choice([rng.randint(1, 6), rng.randint(1, 20), rng.randint(60, 90)])
    shape = (rng.randint(1, 5), rng.randint(1, 5 if wide > 20 else 9), wide)
    machine = draw(f"skipping {seed}", config, kinds, (1, 4), shape)
    shape, top = shape_of(machine.rows[0], "in"), config.act_max
    noise = np.random.default_rng(seed)
    first = noise.integers(0, top + 1, shape) * (noise.random(shape) < rng.random() ** 2)
    some = np.minimum(codes_of(rng, shape), top)
    return machine, [
        first,
        some,
        np.zeros(shape, np.int64),
        noise.integers(1, top + 1, shape),
        first,
    ]
