"""Loops over whole vectors against plain integers: codes, states, additions, depthwise sums."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba.core.errors import TypingError
from numpy.typing import NDArray

from hwsim.engine import reference
from hwsim.engine.depthwise_lanes import DepthwiseLanes, fills_vectors
from hwsim.engine.forms import even, group_of, surround
from hwsim.engine.forward import Datapath
from hwsim.engine.kernels import Accumulate
from hwsim.engine.requantizing import pools_vectors
from hwsim.numbers.hashing import HashSpec
from hwsim.numbers.vectors import LANES
from hwsim.program.layers import Layer, MacLayer, Window
from hwsim.program.program import Program
from hwsim.program.wires import FeatureMap, Input
from hwsim.units import post, post_add, post_vectors
from tests.by_hand import WIDE, add, affine, lut, mac, net, pool, reads, total

#: The least and the largest accumulator of 32 bits that float32 sums may hold, and their signs.
EDGE = (1 << 24) - 1


def _requantized(acc: int, m: int, b: int, s: int, lo: int, hi: int) -> tuple[int, int, int]:
    """(code, p, p >> s) in unbounded integers."""
    p = acc * m + b
    return min(max(p >> s, lo), hi), p, p >> s


@st.composite
def _channels(draw: Any) -> list[tuple[int, int, int]]:
    """Words (m, b, s) of some channels, the legal extremes among them."""
    words = st.tuples(
        st.integers(-(2**30), 2**30) | st.sampled_from([0, 1, 2**30, -(2**30)]),
        st.integers(-(2**60), 2**60) | st.integers(-(2**20), 2**20),
        st.integers(0, 62),
    )
    return draw(st.lists(words, min_size=1, max_size=20))


@given(
    _channels(),
    st.integers(1, 9),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.int32, np.uint8]),
)
def test_codes_and_states_are_those_of_integers(
    channels: list[tuple[int, int, int]], pixels: int, one: int, two: int, seed: int, kind: Any
) -> None:
    lo, hi = sorted((one, two))
    noise = np.random.default_rng(seed)
    m, b, s = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    bound = 255 if kind == np.uint8 else EDGE
    acc = noise.integers(-bound, bound, (pixels, len(m)), endpoint=True)
    # Where the code changes: floors below and above the exact sum differ there only.
    for c, (factor, bias, shift) in enumerate(channels):
        if factor:
            near = ((int(noise.integers(lo, hi + 1)) << shift) - bias) // factor
            acc[0, c] = np.clip(near + int(noise.integers(-1, 2)), -bound, bound)
    acc = np.abs(acc) if kind == np.uint8 else acc
    threshold = noise.integers(-(2**40), 2**40, len(m))
    words = post.words_of(m, b, s, threshold, np.full(len(m), bound))
    flat = acc.astype(kind).reshape(-1)
    out, same, state = (np.zeros(flat.size, np.uint8) for _ in range(3))
    post_vectors.requantize_bytes(flat, words, lo, hi, out)
    post_vectors.requantize_bytes_state(flat, words, lo, hi, same, state)
    wanted = []
    for pixel in acc.tolist():
        for c, value in enumerate(pixel):
            code, p, raw = _requantized(value, *channels[c], lo, hi)
            mark = (post.POSITIVE if p > threshold[c] else 0) | (
                post.UNSATURATED if raw <= hi else 0
            )
            wanted.append((code, mark))
    assert out.tolist() == same.tolist() == [code for code, _ in wanted]
    assert state.tolist() == [mark for _, mark in wanted]


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3),
    st.sampled_from([16, 48]), st.sampled_from([np.float32, np.int32]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_winners_of_windows_have_the_codes_of_integers(
    rows: int, columns: int, down: int, right: int, channels: int, kind: Any, seed: int
) -> None:
    noise = np.random.default_rng(seed)
    out_h, out_w = 2, 3
    height, width = (out_h - 1) * down + rows + 1, (out_w - 1) * right + columns
    acc = noise.integers(-EDGE, EDGE, (2, height, width, channels), endpoint=True)
    acc[0, 0, 0] = EDGE
    m, s = noise.integers(0, 2**12, channels), noise.integers(20, 30, channels)
    b, none = noise.integers(-(2**24), 2**24, channels), np.zeros(channels, np.int64)
    words = post.words_of(m, b, s, none, np.full(channels, EDGE))
    out = np.zeros((2, out_h, out_w, channels), np.uint8)
    kernel, stride = (rows, columns), (down, right)
    post_vectors.requantize_pool_bytes(acc.astype(kind), words, 3, 250, kernel, stride, out)
    codes = np.clip((acc * m + b) >> s, 3, 250)
    for y in range(out_h):
        for x in range(out_w):
            window = codes[:, y * down : y * down + rows, x * right : x * right + columns]
            assert np.array_equal(out[:, y, x], window.max((1, 2)))


@pytest.mark.parametrize(("act_w", "hi"), [(8, 255), (10, 200), (12, 255), (16, 100)])
@pytest.mark.parametrize("trusted", [("int8", "float32", "float64"), ("float32", "float64")])
def test_pools_of_vectors_are_those_of_the_oracle_at_every_width(
    act_w: int, hi: int, trusted: tuple[str, ...]
) -> None:
    """Codes that would fit bytes stand in wider maps where activations are wider."""
    noise = np.random.default_rng(act_w)
    rows = noise.integers(-3, 4, (LANES, 9)).tolist()
    conv = mac((1, 6, 6), rows, kernel=3, post=(40, 8, 100), act_w=act_w, hi=hi)
    pooled = pool(conv.out_shape, Window.square(2, 2, 0))
    program = net(conv, pooled, total(pooled.out_shape), act_w=act_w)
    datapath = Datapath(program, frozenset(trusted))
    stage = datapath.stages[0]
    assert stage.post is not None
    assert pools_vectors(stage, stage.post, LANES)
    images = noise.integers(0, 2**act_w, (3, 1, 6, 6))
    found = datapath.run(images.transpose(0, 2, 3, 1).astype(datapath.map_dtype)).logits
    assert found.tolist() == [list(reference.run(program, image).logits) for image in images]


def test_every_accumulator_near_every_code_is_requantized_exactly() -> None:
    """All sums of a range at slopes for which many products lie on a code's edge."""
    acc = np.arange(-70000, 70000, dtype=np.float32)
    for m, b, s in [(1, 0, 8), (3, 1, 9), (16384, 1 << 21, 22), (32767, (1 << 21) - 1, 23)]:
        multiplier, bias, shift, bound = (np.array([x]) for x in (m, b, s, 70000))
        words = post.words_of(multiplier, bias, shift, bias, bound)
        out = np.zeros(acc.size, np.uint8)
        post_vectors.requantize_bytes(acc, words, 0, 255, out)
        wanted = np.clip((acc.astype(np.int64) * m + b) >> s, 0, 255)
        assert np.array_equal(out, wanted)


@given(
    st.integers(-(2**30), 2**30),
    st.integers(-(2**30), 2**30),
    st.integers(-(2**40), 2**40),
    st.integers(0, 40),
    st.integers(0, 255),
    st.integers(0, 255),
)
def test_sums_of_all_pairs_of_codes_are_those_of_integers(
    m1: int, m2: int, bias: int, shift: int, a: int, b: int
) -> None:
    lo, hi = sorted((a, b))
    _assert_sums_of_all_pairs(m1, m2, bias, shift, lo, hi)


@pytest.mark.parametrize(
    ("m1", "m2", "bias", "shift"),
    [
        (1 << 14, 1 << 14, 1 << 14, 15),  # every other sum on a code's edge
        (1 << 14, -(1 << 13), 3 << 13, 14),
        (1 << 30, 1 << 29, -(1 << 29), 30),
        (32896, 32896, 0, 16),  # the last below 2^24, and the first beyond
        (32897, 32897, 1, 16),
        # Multiples of a number that float32 does not hold, right below codes' edges.
        ((1 << 30) - 1, (1 << 30) - 1, 0, 30),
        ((1 << 30) - 1, (1 << 30) - 1, (1 << 30) - 1, 30),
        ((1 << 31) - 1, -((1 << 31) - 1), 7 * ((1 << 31) - 1), 31),
        (0, 0, 0, 0),
    ],
)
def test_sums_on_the_edges_of_codes_are_those_of_integers(
    m1: int, m2: int, bias: int, shift: int
) -> None:
    _assert_sums_of_all_pairs(m1, m2, bias, shift, 0, 255)


@given(st.integers(1, 2**31 - 1), st.integers(-8, 8), st.integers(-8, 8), st.integers(-8, 8),
       st.integers(0, 33))  # fmt: skip
def test_sums_of_words_with_a_common_factor_are_those_of_integers(
    factor: int, m1: int, m2: int, bias: int, shift: int
) -> None:
    """Independent draws have none, and without one the ways that are exact are never taken."""
    most = (2**31 - 1) // max(abs(m1), abs(m2), 1)
    factor = min(factor, most)
    _assert_sums_of_all_pairs(factor * m1, factor * m2, factor * bias, shift, 0, 255)


def test_maps_of_one_scale_are_added_without_doubt() -> None:
    """Else half of all vectors would be computed twice."""
    words = post_add.add_words_of(np.array([1 << 14] * 2), np.array([1 << 13]), np.array([14]), 255)
    assert np.array_equal(words.low, words.high)


def _assert_sums_of_all_pairs(m1: int, m2: int, bias: int, shift: int, lo: int, hi: int) -> None:
    one, two = (x.reshape(-1).astype(np.uint8) for x in np.meshgrid(np.arange(256), np.arange(256)))
    one, two = one[:-3].copy(), two[:-3].copy()  # no whole number of vectors
    multiplier, shifts = np.array([m1, m2], np.int32), np.array([shift], np.int32)
    words = post_add.add_words_of(multiplier, np.array([bias]), shifts, 255)
    out = np.zeros(one.size, np.uint8)
    post_add.add_bytes(one, two, words, m1, m2, bias, shift, lo, hi, out)
    wanted = np.clip(
        (one.astype(np.int64) * m1 + two.astype(np.int64) * m2 + bias) >> shift, lo, hi
    )
    assert np.array_equal(out, wanted)


def _reading(layer: Layer, *sources: int) -> Program:
    """Three channels of the image, rewritten, of which a layer reads some, each as a map."""
    rewritten = lut((3, 5, 7), [(37 * a + 11) % 256 for a in range(256)])
    wires = (reads(0, to=1), reads(*((1, one) for one in sources), to=2), reads(2))
    maps = (FeatureMap((3, 5, 7), 0), FeatureMap((3, 5, 7), 64), FeatureMap((1, 5, 7), 128))
    image = Input((3, 5, 7), Fraction(1, 255))
    return Program(WIDE, (rewritten, layer, total((1, 5, 7))), image, wires, maps)


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize(
    ("layer", "sources"),
    [
        *((affine((1, 5, 7), (3, 2, 17), hi=255), (channel,)) for channel in range(3)),
        *(
            (add((1, 5, 7), 3, 2, 3, 5, hi=255), pair)
            for pair in itertools.product(range(3), repeat=2)
        ),
    ],
)
def test_one_channel_of_a_map_of_several_is_read_with_its_steps(
    layer: Layer, sources: tuple[int, ...], states: bool
) -> None:
    """Flat views of it stay views: a loop over vectors once read the neighbours' codes."""
    program = _reading(layer, *sources)
    images = np.random.default_rng(len(sources)).integers(0, 256, (4, 3, 5, 7))
    datapath = Datapath(program, frozenset(("int8", "float32", "float64")))
    found = datapath.run(images.transpose(0, 2, 3, 1).astype(np.uint8), states=states).logits
    assert found.tolist() == [list(reference.run(program, image).logits) for image in images]


def test_what_has_steps_is_no_vector() -> None:
    every_other = np.zeros(4 * LANES, np.uint8)[::2]
    words = post.words_of(*(np.ones(1, np.int64) for _ in range(5)))
    with pytest.raises(TypingError, match="flat contiguous arrays"):
        post_vectors.requantize_bytes(every_other, words, 0, 255, np.zeros(2 * LANES, np.uint8))


def _depthwise(
    noise: np.random.Generator, channels: int, sides: tuple[int, int], window: Window, fill: int
) -> MacLayer:
    out = window.out_sides(*sides)
    spec = HashSpec("dense", channels, window.size, channels * window.size)
    words = noise.integers(-127, 128, spec.real_weights).astype(np.int32)
    words[:: 1 + int(noise.integers(3))] = 127
    m = noise.integers(-3, 900, channels).astype(np.int32)
    shift = np.full(channels, 17, np.int32)
    bias = noise.integers(-(1 << 20), 1 << 20, channels)
    return MacLayer(
        "deep", "conv", (channels, *sides), (channels, *out), window, spec, words, m, shift, bias,
        last=False, weight_scale=np.array([2.0**-7]), scale=2.0**-5, hi=255, fill=fill,
        groups=channels,
    )  # fmt: skip


def _plain_sums(layer: MacLayer, maps: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Each group by the loops over integers that need no library."""
    around = torch.from_numpy(surround(layer, maps)).permute(0, 3, 1, 2)
    form = even(layer)
    parts = [
        Accumulate(group_of(form, c), 255, "int64")(around[:, c : c + 1])
        for c in range(layer.groups)
    ]
    return np.concatenate(parts, 3)


@pytest.mark.parametrize("channels", [16, 48])
@given(st.data())
def test_depthwise_lanes_give_the_sums_and_codes_of_integers(channels: int, data: Any) -> None:
    noise = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sides = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(data.draw(st.integers(0, kernel[k % 2] - 1)) for k in range(4))
    if any(sides[k] + padding[k] + padding[k + 2] < kernel[k] for k in range(2)):
        padding = (kernel[0] - 1, kernel[1] - 1) * 2
    layer = _depthwise(
        noise, channels, sides, Window(kernel, stride, padding), data.draw(st.integers(0, 255))
    )
    assert fills_vectors(layer, 255)
    maps = noise.integers(0, 256, (2, *sides, channels)).astype(np.uint8)
    maps[0] = 255
    lanes = DepthwiseLanes(layer)
    wanted = _plain_sums(layer, maps)
    assert np.array_equal(lanes.sums(maps), wanted)
    bound = layer.accumulator_bound(255)
    words = post.words_of(layer.multiplier, layer.bias, layer.shift, layer.bias, bound)
    out = np.zeros(wanted.shape, np.uint8)
    lanes.codes(maps, words, layer.lo, layer.hi, out)
    p = wanted * layer.multiplier.astype(np.int64) + layer.bias
    assert np.array_equal(out, np.clip(p >> layer.shift.astype(np.int64), 0, 255))
