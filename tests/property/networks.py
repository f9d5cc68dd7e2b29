"""Random networks: hypothesis strategies for programs that the proof accepts, and their images.

    @settings(max_examples=100)
    @given(cases())
    def test_fast_path_equals_the_oracle(case: Case) -> None:
        for image in case.images: ...

A program is a graph: chains, residual blocks, skips over any distance, an addition of a map to
itself, branches, slices that may overlap, and concatenations within each other, of whatever layers
there are, in any order in which they may run. Maps stand where the allocator puts them, or one
behind the other.

Programs are built valid, never filtered (``words`` says how). A network costs the oracle some ten
milliseconds an image, so a property test may afford several hundred; the example count belongs into
each test's ``settings(max_examples=...)``, with EXAMPLES as the number for an everyday run. Simple
choices come first in every strategy, so that a failure shrinks to one dense layer with equal
weights where it can.

Of a test's examples hypothesis draws a sixth anew and makes the others of them by copying parts
around: of 300 programs about 100 have a graph of their own. A test that needs many graphs asks for
three times as many examples.

What is never drawn: steps of hidden maps outside 2^±56 and weights' own rows of steps in a hashed
layer; more than about thirty layers or twenty maps; sides beyond 40, and beyond 17 on both axes;
more than 2000 virtual weights in a layer, so no fan-in beyond that, and no size at which kernels
change their way (``single_layers``); maps with room between them, or in an order in memory that is
neither of the two; what needs more than four runs of written lines; words of a last layer that
nobody reads (m, s); one layer object in two places; padding behind the image that is not the map's
zero point, and clamps of a table; programs that are to be refused (tests/unit/test_proof.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program import proof
from hwsim.program.layers import AddLayer, AverageLayer, LutLayer, Shape
from hwsim.program.memory_map import MAX_RUNS
from hwsim.program.program import Program
from hwsim.program.wires import FeatureMap, Input, image_first, map_lines, plane_lines
from tests.property.graphs import Sketch, block, finish, streamed
from tests.property.layer_draws import CHANNELS, VECTORS
from tests.property.words import Draw, pick, seeds, specs

__all__ = [
    "EXAMPLES",
    "Case",
    "as_pixels",
    "batches",
    "cases",
    "configs",
    "crowds",
    "images",
    "programs",
    "seeds",
    "specs",
]

#: Examples for an everyday run of one property; a thorough one multiplies it. Fewer where
#: HWSIM_EXAMPLES asks for fewer.
EXAMPLES = min(100, int(os.environ.get("HWSIM_EXAMPLES", "100")))
#: Largest image side, of two that are alike.
SIDE = 11

_base = cache(load_config)


@dataclass(frozen=True)
class Case:
    """A program and images for it: int64 (N, C, H, W) in 0 … 2^ACT_W − 1, N = 1 … 5."""

    program: Program
    images: NDArray[np.int64]

    def pixels(self) -> NDArray[np.float32]:
        """The same images as an Engine takes them: float32 values, exactly on the input grid."""
        return as_pixels(self.program, self.images)


def as_pixels(program: Program, images: NDArray[np.int64]) -> NDArray[np.float32]:
    """Integer activations as float32 values that grid back to the same integers."""
    image = program.input
    return ((images - image.zero) * float(image.scale)).astype(np.float32)


# --- configurations -----------------------------------------------------------------------------


_widths = st.sampled_from([8, 4, 16]) | st.integers(4, 16)


@st.composite
def configs(draw: Draw) -> EngineConfig:
    """A shipped configuration with any word widths, sometimes with another array and banks.

    Now and then without what is optional.
    """
    acc_w = pick(draw, 32, 48)
    most = min(32, 64 - acc_w)
    changes: dict[str, Any] = dict(
        act_w=draw(_widths),
        wgt_w=draw(_widths),
        acc_w=acc_w,
        mult_w=draw(st.sampled_from([16, 8, most]) | st.integers(8, most)),
        requantization=pick(draw, "up", "up", "twice-away"),
        index_mode=pick(draw, "sram", "hash"),
        ecc=pick(draw, "none", "none", "parity", "secded"),
        skip=pick(draw, False, False, True),
    )
    if changes["requantization"] == "twice-away":
        changes |= dict(acc_w=32, mult_w=32, act_w=min(changes["act_w"], 8))
    base = _base(pick(draw, "tiny", "small", "default"))
    if draw(st.booleans()):
        rows = draw(st.integers(1, 16))
        least = (rows - 1).bit_length()
        changes |= dict(
            rows=rows,
            cols=2 ** draw(st.integers(0, 4)),
            banks=2 ** draw(st.integers(least, 6)),
        )
    if draw(st.integers(0, 4)) == 4:
        there = st.booleans()
        changes |= dict(add=draw(there), average=draw(there), groups=draw(there))
        changes |= dict(lut_tables=draw(st.integers(0, 3)))
    return base.replace(**changes)


def _with_room(config: EngineConfig, program: Program, tight: bool) -> EngineConfig:
    """``config`` with memories at least as deep as the program needs, exactly so if ``tight``."""
    places = program.placements()
    end = places[-1]
    tiles = [layer.fan_in for layer in program.mac_layers if layer.kind == "conv"]
    tiles += [one.window.size for one in program.layers if isinstance(one, AverageLayer)]
    tiles += [2 for one in program.layers if isinstance(one, AddLayer)]
    needs = dict(
        tile_depth=max(tiles, default=1),
        wgt_depth=max(1, end.weight_base + end.weight_lines) * config.banks,
        idx_depth=max(1, end.index_base + end.index_lines),
        act_depth=max(one.line + map_lines(one.shape, config.cols) for one in program.maps),
        # As many lines hold the logits.
        chan_depth=max(end.channel_base + end.channels, program.classes),
        prog_depth=len(program.layers) + 1,
    )
    tables = [
        1 + place.table
        for layer, place in zip(program.layers, places, strict=True)
        if isinstance(layer, LutLayer)
    ]
    there = config.model_dump()
    found = {k: n if tight else max(n, there[k]) for k, n in needs.items()}
    if tight:
        found |= dict(lut_tables=max(tables, default=0))
    return config.replace(**found)


# --- programs -----------------------------------------------------------------------------------


@st.composite
def inputs(draw: Draw, config: EngineConfig) -> Input:
    """A picture, vector or series, of pixels in [0, 1] or of any other range."""
    side = st.integers(1, SIDE)
    kinds = ["picture", "picture", "picture", "vector", "series", "large", "deep"]
    kind = pick(draw, *kinds)
    shape: Shape
    if kind == "picture":
        shape = (draw(st.integers(1, CHANNELS)), draw(side), draw(side))
    elif kind == "deep":
        shape = (pick(draw, *VECTORS), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    elif kind == "vector":
        shape = (draw(st.integers(1, 40)), 1, 1)
    elif kind == "series":
        sides = (1, draw(st.integers(1, 40)))
        shape = (draw(st.integers(1, CHANNELS)), *(sides if draw(st.booleans()) else sides[::-1]))
    else:
        shape = (draw(st.integers(1, 2)), draw(st.integers(1, 17)), draw(st.integers(1, 17)))
    step = Fraction(1, config.act_max)
    if draw(st.booleans()):
        powers = st.integers(-4, 12).map(lambda f: Fraction(2) ** -f)
        step = draw(powers | st.floats(2.0**-16, 2.0**8).map(Fraction))
    return Input(shape, step, draw(st.just(0) | st.integers(0, config.act_max)))


def written_runs(program: Program) -> int:
    """The most disjoint runs of lines that were written at some time of an inference."""
    lines = set(_lines(program, 0, 0, program.input_shape[0]))
    most = 1
    for layer, wire in zip(program.layers, program.wires, strict=True):
        if wire.target is not None:
            place = wire.target
            lines |= set(_lines(program, place.map, place.channel, layer.out_shape[0]))
            most = max(most, sum(line - 1 not in lines for line in lines))
    return most


def _lines(program: Program, number: int, channel: int, channels: int) -> range:
    there = program.maps[number]
    plane = plane_lines(there.shape, program.config.cols)
    return range(there.line + channel * plane, there.line + (channel + channels) * plane)


def _one_behind_the_other(program: Program) -> Program:
    """The program with maps that share no line with each other, in the order of their writing."""
    maps, line = [], 0
    for one in program.maps:
        maps.append(FeatureMap(one.shape, line))
        line += map_lines(one.shape, program.config.cols)
    return program.replace(maps=tuple(maps))


@st.composite
def programs(
    draw: Draw,
    engines: st.SearchStrategy[EngineConfig] | None = None,
    pictures: Callable[[EngineConfig], st.SearchStrategy[Input]] = inputs,
    middle: bool = False,
) -> Program:
    """A program that ``hwsim.program.proof.check`` accepts: up to four blocks and an answer.

    ``engines`` draws the configuration; its memories are deepened to what the program needs.
    ``pictures`` draws the image. ``middle``: with blocks behind fully connected layers, too.
    """
    config = draw(configs() if engines is None else engines)
    image = draw(pictures(config))
    sketch = Sketch.of(config, image)
    node = sketch.nodes[0]
    for _ in range(draw(st.integers(0, 4))):
        node = block(draw, sketch, node)
    if middle:
        node = streamed(draw, sketch, node)
    finish(draw, sketch, node)
    mixed = draw(st.just(0) | st.integers(0, 2**16 - 1))
    found = Program.graph(config, *image_first(image.shape, *sketch.graph(mixed)), image)
    if draw(st.integers(0, 3)) == 3 or written_runs(found) > MAX_RUNS:
        found = _one_behind_the_other(found)
    if written_runs(found) > MAX_RUNS:
        found = _one_behind_the_other(
            Program.graph(config, *image_first(image.shape, *sketch.graph(0)), image)
        )
    return found.replace(config=_with_room(config, found, tight=draw(st.booleans())))


# --- images -------------------------------------------------------------------------------------


@st.composite
def images(draw: Draw, program: Program) -> NDArray[np.int64]:
    """One image of ``program``, int64 (C, H, W): blank, full, extreme, faint, noise, drawn."""
    shape, top = program.input_shape, program.config.act_max
    style = draw(
        st.sampled_from(["zero", "full", "point", "drawn", "checker", "extreme", "faint", "noise"])
    )
    image = np.zeros(shape, np.int64)
    if style == "zero":
        return image + pick(draw, 0, program.input.zero)
    if style == "full":
        return image + top
    if style == "point":
        image[tuple(draw(st.integers(0, side - 1)) for side in shape)] = top
        return image
    if style == "drawn":
        return draw(arrays(np.int64, shape, elements=st.integers(0, top), fill=st.integers(0, top)))
    if style == "checker":
        return np.where(np.indices(shape).sum(0) % 2 == 0, 0, top)
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    if style == "extreme":
        return noise.integers(0, 2, shape) * top
    return noise.integers(0, 3 if style == "faint" else top + 1, shape)


@st.composite
def batches(draw: Draw, program: Program, largest: int = 5) -> NDArray[np.int64]:
    """1 … ``largest`` images of ``program``, int64 (N, C, H, W)."""
    return np.stack(draw(st.lists(images(program), min_size=1, max_size=largest)))


@st.composite
def crowds(draw: Draw, program: Program) -> NDArray[np.int64]:
    """1 … 70 images of ``program``, not more than three of them different."""
    few = draw(batches(program, 3))
    count = pick(draw, 1, 2, 7, 8, 9, 31, 33, 64, 70)
    return few[np.arange(count) % len(few)]


@st.composite
def cases(draw: Draw, largest: int = 5) -> Case:
    """A program with a batch of images."""
    program = draw(programs())
    return Case(program, draw(batches(program, largest)))


def for_engine(
    drawn: st.SearchStrategy[Program], config: EngineConfig
) -> st.SearchStrategy[Program]:
    """Those of ``drawn`` that fit into exactly this engine, as a simulation was built for it."""

    def fits(program: Program) -> bool:
        try:
            proof.check(program)
        except CompileError:
            return False
        return True

    return drawn.map(lambda program: program.replace(config=config)).filter(fits)
