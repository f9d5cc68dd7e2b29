"""Random words of a layer: how weights are shared, what they are, and how sums are requantized.

Strategies of ``tests.property.networks``. Words are drawn so that the proof accepts them: weights
are scaled until the accumulator bound holds, and biases take what room is left.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import SCHEMES, HashSpec
from hwsim.program.layers import MacLayer
from hwsim.program.program import Numbers

Draw = Any


# What is drawn for each channel is drawn by functions, of integers: hypothesis looks through every
# strategy that is made, and took longer for those of channels than for all else together.


def pick(draw: Draw, *choices: Any) -> Any:
    """One of them, the first in the simplest case."""
    return choices[draw(st.integers(0, len(choices) - 1))]


def usual(draw: Draw) -> bool:
    """Three times of four: what is legal and dull kills a network if it is common."""
    return int(draw(st.integers(0, 3))) < 3


# --- weights and their sharing ------------------------------------------------------------------


def seeds() -> st.SearchStrategy[int]:
    """Hash seeds, the ends of the range included."""
    return st.sampled_from([0, 1, 2**32 - 1]) | st.integers(0, 2**32 - 1)


@st.composite
def specs(draw: Draw, n_out: int, fan_in: int) -> HashSpec:
    """Any way to share the weights of an ``n_out x fan_in`` layer, from one real weight to all."""
    scheme = pick(draw, *sorted(SCHEMES, key=lambda name: name != "dense"))
    n = n_out * fan_in
    if scheme == "dense":
        return HashSpec(scheme, n_out, fan_in, n)
    if scheme == "xxh32":
        return HashSpec(scheme, n_out, fan_in, draw(st.integers(1, n)), draw(seeds()))
    banks = 2 ** draw(st.integers(0, 6))
    lines = draw(st.integers(1, max(1, n // banks)))
    return HashSpec(scheme, n_out, fan_in, banks * lines, draw(seeds()), banks)


@st.composite
def weights(draw: Draw, count: int, limit: int) -> NDArray[np.int32]:
    """``count`` ROM words in ±limit: equal, few distinct, sparse, noise, or all extreme."""
    style = pick(draw, "equal", "drawn", "tiny", "sparse", "noise", "extreme")
    # A layer of zeros is legal, and hides what is wrong in all others: the simplest word is 1.
    if style == "equal":
        any_word = draw(st.booleans())
        word = draw(st.integers(-limit, limit)) if any_word else pick(draw, 1, 0, -1, limit, -limit)
        return np.full(count, word, np.int32)
    if style == "drawn":
        word = st.sampled_from([1, 0, -1, limit, -limit]) | st.integers(-limit, limit)
        fill = st.nothing() if count <= 16 else word
        return draw(arrays(np.int32, count, elements=word, fill=fill))
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    if style == "tiny":
        return noise.integers(-1, 2, count).astype(np.int32)
    if style == "extreme":
        return noise.choice(np.array([-limit, limit], np.int32), count)
    values = noise.integers(-limit, limit + 1, count).astype(np.int32)
    return np.where(noise.random(count) < 0.1, values, 0) if style == "sparse" else values


def fitted(layer: MacLayer, config: EngineConfig, thin: bool) -> MacLayer:
    """The layer with weights small or few enough for the accumulator.

    ``thin`` zeroes every other nonzero word until the bound holds, which keeps extreme words
    extreme; the division that follows always suffices: |w| // d summed is at most Σ|w| / d.
    """
    limit = (1 << (config.acc_w - 1)) - 1

    def bound(words: NDArray[np.int32]) -> int:
        trial = dataclasses.replace(layer, weights=words)
        return int(trial.accumulator_bound(config.act_max).max())

    words = layer.weights.copy()
    while thin and bound(words) > limit and np.count_nonzero(words) > 1:
        words[np.flatnonzero(words)[1::2]] = 0
    divisor = -(-bound(words) // limit)
    if divisor > 1:
        words = (np.sign(words) * (np.abs(words) // divisor)).astype(np.int32)
    return dataclasses.replace(layer, weights=words)


# --- what codes mean ----------------------------------------------------------------------------


#: Steps of a hidden map. Those of 2^±64 are legal, but a layer that ends in their average has none.
_steps = (
    st.integers(0, 16).map(lambda f: 2.0**-f)
    | st.integers(-56, 56).map(lambda f: 2.0**-f)
    | st.floats(2.0**-56, 2.0**56, exclude_max=True)
)


def numbers(draw: Draw, config: EngineConfig) -> Numbers:
    """A step and a zero point of a hidden map."""
    zero = draw(st.integers(0, config.act_max)) if draw(st.booleans()) else 0
    return Numbers(draw(_steps), zero)


def clamps(draw: Draw, config: EngineConfig, zero: int) -> tuple[int, int]:
    """(lo, hi): a ReLU, a ReLU6, no activation, or any two codes in order."""
    top = config.act_max
    kind = pick(draw, "relu", "none", "relu", "none", "relu", "none", "relu6", "any")
    if kind == "relu":
        return zero, top
    if kind == "none":
        return 0, top
    if kind == "relu6":
        return zero, draw(st.integers(zero, top))
    low, high = sorted((draw(st.integers(0, top)), draw(st.integers(0, top))))
    return low, high


# --- requantization -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Post:
    """What every channel of a layer shares: its engine and its clamps.

    ``live`` channels have an output in the middle of their range, and pass a gradient.
    """

    config: EngineConfig
    lo: int
    hi: int
    live: bool

    @property
    def largest(self) -> int:
        """The largest multiplier."""
        return (1 << (self.config.mult_w - 1)) - 1


def multiplier(draw: Draw, post: Post) -> int:
    """A live channel's is large; of any other it is legal, zero and negative included."""
    top = post.largest
    if post.config.requantization != "up" and draw(st.booleans()):
        # Products of few bits: many of them are halves.
        return int(pick(draw, 1 << 30, 1 << 30, 3 << 29, 1 << 29, -(1 << 30)))
    if post.live:
        return int(draw(st.integers(top // 2, top)) * pick(draw, 1, 1, 1, -1))
    m = draw(st.integers(0, top)) if draw(st.booleans()) else pick(draw, 1, top)
    return int(-m if draw(st.integers(0, 3)) == 3 else m)


def shift_and_bias(draw: Draw, post: Post, reach: int) -> tuple[int, int]:
    """(s, b) for products within ±reach.

    Mostly near the shift at which they just fill ACT_W bits, with up to 8 bits of gain, so that
    outputs vary, saturate and fall below lo; now and then anything that is legal.
    """
    config, top = post.config, post.config.act_max
    if config.requantization != "up" and draw(st.booleans()):
        return halves(draw, post, reach)
    s_max = config.acc_w + config.mult_w - 1
    natural = reach.bit_length() - config.act_w
    room = (1 << s_max) - 1 - reach
    if post.live:
        s = min(max(natural - draw(st.integers(-1, 2)), 0), s_max)
        middle = (post.lo + (post.hi - post.lo) // pick(draw, 2, 4)) << s
        return s, min((1 << (s - 1) if s else 0) + middle, room)
    shift = natural - draw(st.integers(0, 8)) if usual(draw) else draw(st.integers(0, s_max))
    s = min(max(shift, 0), s_max)
    if usual(draw):
        offset = pick(draw, 0, 1, -1, post.lo, post.hi, top // 2, top, -top) << s
    else:
        offset = draw(st.integers(-room, room))
    return s, min(max((1 << (s - 1) if s else 0) + offset, -room), room)


def halves(draw: Draw, post: Post, reach: int) -> tuple[int, int]:
    """(s, b) that round products within ±reach twice, to codes around one of the layer's."""
    s_max = post.config.acc_w + post.config.mult_w - 1
    room = (1 << s_max) - 1 - reach
    natural = reach.bit_length() - post.config.act_w
    s = min(max(32, natural + draw(st.integers(-3, 1))), 31 + draw(st.integers(1, 12)), s_max)
    code = draw(st.integers(post.lo, post.hi))
    b = (1 << 30) + (1 << (s - 1)) + (code << s)
    return s, min(b, max(room, 0))


def channels(draw: Draw, post: Post, bounds: list[int]) -> dict[str, NDArray[Any]]:
    """Multipliers, shifts and biases of channels whose sums stay within ±bounds."""

    def one(bound: int) -> tuple[int, int, int]:
        m = multiplier(draw, post)
        return m, *shift_and_bias(draw, post, bound * abs(m))

    if draw(st.booleans()):  # equal channels make ties
        rows = [one(max(bounds))] * len(bounds)
    else:
        rows = [one(bound) for bound in bounds]
    return arrays_of(rows)


def arrays_of(rows: list[tuple[int, int, int]]) -> dict[str, NDArray[Any]]:
    """Rows of (m, s, b) as a layer's fields."""
    m, s, b = zip(*rows, strict=True)
    return dict(
        multiplier=np.array(m, np.int32), shift=np.array(s, np.int32), bias=np.array(b, np.int64)
    )


def last_biases(draw: Draw, config: EngineConfig, bounds: list[int]) -> dict[str, NDArray[Any]]:
    """Fields of a last layer whose sums stay within ±bounds: biases, and no requantization."""
    limit = (1 << (config.acc_w - 1)) - 1
    rows = []
    for bound in bounds:
        room = limit - bound
        if not usual(draw):
            wanted = draw(st.integers(-room, room))
        elif draw(st.booleans()):
            wanted = draw(st.integers(-bound, bound))
        else:
            wanted = pick(draw, 0, 0, 1, -1, room, -room)
        rows.append((0, 0, min(max(wanted, -room), room)))
    return arrays_of(rows)
