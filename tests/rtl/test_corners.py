"""Shapes that random networks seldom draw, each for one thing that only it makes the engine do."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost.timing import analyze
from hwsim.engine.reference import run as oracle
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, MacLayer, PoolLayer, Shape, Window
from hwsim.program.program import Program
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.compare import check

pytestmark = pytest.mark.rtl

CONFIG = load_config("tiny")


def conv(source: Shape, channels: int) -> MacLayer:
    """A 1x1 convolution of whatever comes."""
    return _mac("conv", "conv", source, (channels, *source[1:]), source[0], False)


def fc(source: Shape, classes: int) -> MacLayer:
    """The last layer."""
    return _mac("fc", "fc", source, (classes, 1, 1), int(np.prod(source)), True)


def _mac(name: str, kind: str, source: Shape, target: Shape, fan_in: int, last: bool) -> MacLayer:
    n = target[0]
    noise = np.random.default_rng(n)
    return MacLayer(
        name=name, kind=kind, in_shape=source, out_shape=target,
        window=Window.square(1) if kind == "conv" else None,
        spec=HashSpec("dense", n, fan_in, n * fan_in), weight_scale=np.array([2.0**-7]),
        scale=2.0**-15 if last else 2.0**-8, hi=CONFIG.act_max,
        weights=noise.integers(-127, 128, n * fan_in).astype(np.int32), last=last,
        multiplier=np.full(n, 0 if last else 128, np.int32),
        shift=np.full(n, 0 if last else 13, np.int32), bias=np.zeros(n, np.int64),
    )  # fmt: skip


def agree(source: Shape, *layers: Layer) -> None:
    """The network, with a last layer behind it, has the values and the cycles of the simulator."""
    last = fc(layers[-1].out_shape, 3)

    program = Program.chain(CONFIG, (*layers, last), source)
    image = np.random.default_rng(4).integers(0, CONFIG.act_max + 1, source)
    with RtlEngine(program, wake_up=3) as engine:
        run = engine.run(image, maps=True, limit=200_000)
    check(program, run, oracle(program, image), analyze(program))


def test_a_slot_waits_for_the_drain_of_the_one_before() -> None:
    one = conv((1, 5, 5), 4)
    agree((1, 5, 5), one)
    timed = analyze(Program.chain(CONFIG, (one, fc(one.out_shape, 3)), (1, 5, 5))).layers[0]
    assert timed.post_stall > 0


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 6, 7, 8, 12, 15])
def test_a_pool_takes_every_stride_that_the_instruction_holds(stride: int) -> None:
    side = 2 * stride + 3
    source = (2, side, side)
    agree(source, PoolLayer("pool", source, (2, 3, 3), Window.square(3, stride)))


def test_a_row_tile_may_be_narrower_than_the_array() -> None:
    agree((3, 4, 4), conv((3, 4, 4), 5))


def test_one_pixel_is_an_image() -> None:
    agree((1, 1, 1), conv((1, 1, 1), 1))


def test_one_layer_is_a_network() -> None:
    source = (2, 3, 3)
    program = Program.chain(CONFIG, (fc(source, 5),), source)
    image = np.arange(18).reshape(source)
    with RtlEngine(program) as engine:
        run = engine.run(image)
    check(program, run, oracle(program, image), analyze(program))
