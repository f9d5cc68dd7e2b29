"""Random networks and images for engines that take batches: hypothesis strategies.

What ``networks`` draws, and two things more: fully connected layers that are not at the end, with
any other layer between them, and series of many pixels, whose rows take several lines and which
strides and pools leave several pixels of.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Layer, MacLayer
from hwsim.program.program import Program
from hwsim.program.wires import Input
from tests.property.networks import configs, images, inputs, programs
from tests.property.words import Draw

#: More images than this are not drawn: each costs the slow machine its cycles.
MOST = 8


@dataclass(frozen=True)
class Batch:
    """images: int64 (N, C, H, W), 1 … BATCH of the engine."""

    program: Program
    images: NDArray[np.int64]


@st.composite
def engines(draw: Draw) -> EngineConfig:
    """Any array; of batches up to all of its columns, and now and then of one image."""
    config = draw(configs()).replace(skip=False)
    most = config.cols.bit_length() - 1
    small = st.sampled_from([1, 2, 3, 0]).map(lambda log2: min(log2, most))
    return config.replace(batch=2 ** draw(small | st.just(most)))


@st.composite
def long_series(draw: Draw, config: EngineConfig) -> Input:
    """One to three channels of few rows and up to 40 columns."""
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(5, 40))
    return Input(shape, Fraction(1, config.act_max), draw(st.just(0) | st.integers(0, 3)))


def pictures(config: EngineConfig) -> st.SearchStrategy[Input]:
    return long_series(config) | inputs(config)


def batch_programs(engines: st.SearchStrategy[EngineConfig]) -> st.SearchStrategy[Program]:
    return programs(engines, pictures, middle=True)


@st.composite
def several(draw: Draw, program: Program) -> NDArray[np.int64]:
    """1 … BATCH images of ``program``, rather more than one; up to two drawn, the rest noise."""
    most = min(program.config.batch, MOST)
    count = draw(st.just(most) | st.integers(1, most))
    drawn = [draw(images(program)) for _ in range(min(count, 2))]
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    shape, top = program.input_shape, program.config.act_max
    drawn += [noise.integers(0, top + 1, shape) for _ in range(count - len(drawn))]
    return np.stack(drawn)


@st.composite
def batches(draw: Draw) -> Batch:
    """A program with a batch of images."""
    program = draw(batch_programs(engines()))
    return Batch(program, draw(several(program)))


def streams(layer: Layer) -> bool:
    """Whether a layer runs once for all images."""
    return isinstance(layer, MacLayer) and layer.kind == "fc"
