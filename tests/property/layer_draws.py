"""Random layers of every kind, each for a map that is there. Strategies of ``networks``."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    LutLayer,
    MacLayer,
    Pair,
    PoolLayer,
    Shape,
    Window,
)
from hwsim.program.program import Numbers
from tests.property.words import (
    Draw,
    Post,
    channels,
    clamps,
    fitted,
    last_biases,
    multiplier,
    numbers,
    pick,
    shift_and_bias,
    specs,
    usual,
    weights,
)

#: Multiply-accumulates of a layer, and its virtual weights: some milliseconds in the oracle.
MAC_BUDGET, WEIGHT_BUDGET = 9_000, 2_000
#: Largest channel count of a convolution.
CHANNELS = 9
#: Channels of which nothing is left beside whole vectors (hwsim/numbers/vectors.py).
VECTORS = (16, 32)

Field = dict[str, int | float | bool]


@dataclass(frozen=True)
class Source:
    """A map, or some channels of one, that a layer may read; image: some of the input."""

    shape: Shape
    numbers: Numbers
    image: bool = False


def _out(draw: Draw, config: EngineConfig, wanted: Numbers | None) -> Numbers:
    return wanted or numbers(draw, config)


def _post(draw: Draw, config: EngineConfig, zero: int) -> Post:
    # Deep networks of channels that are anything are mostly dead: no image changes their logits.
    lo, hi = clamps(draw, config, zero)
    return Post(config, lo, hi, live=draw(st.integers(0, 15)) < 15)


def _fields(post: Post, out: Numbers) -> Field:
    return dict(lo=post.lo, hi=post.hi, scale=out.scale, zero=out.zero, last=False)


# --- windows ------------------------------------------------------------------------------------


def _padding(draw: Draw, side: int, kernel: int) -> Pair:
    """Before and behind an axis: less than the kernel each, enough together for one window."""
    before = draw(st.integers(0, kernel - 1))
    return before, draw(st.integers(max(0, kernel - side - before), kernel - 1))


def _stride(draw: Draw, most: int) -> int:
    return int(pick(draw, 1, 1, 2) if usual(draw) else draw(st.integers(1, most)))


@st.composite
def windows(draw: Draw, sides: Pair, kernels: list[Pair], stride: int, padded: bool) -> Window:
    """Any of ``kernels``, mostly square and small, with strides up to ``stride``."""
    # Without padding half of the time: four sides that are 0 by chance are rare, and pools that
    # are fused or convolutions that go straight to a library have none.
    padded = padded and draw(st.booleans())
    if not padded:
        kernels = [k for k in kernels if k[0] <= sides[0] and k[1] <= sides[1]]
    square = [k for k in kernels if k[0] == k[1] and k[0] <= 5] or kernels
    kernel = pick(draw, *(square if usual(draw) else kernels))
    # Small strides first: a large one leaves so little of a map that all behind it is dull.
    strides = (_stride(draw, stride), _stride(draw, stride))
    top = bottom = left = right = 0
    if padded:
        top, bottom = _padding(draw, sides[0], kernel[0])
        left, right = _padding(draw, sides[1], kernel[1])
    return Window(kernel, strides, (top, left, bottom, right))


@st.composite
def same_windows(draw: Draw, kernels: list[Pair], stride: Pair) -> Window:
    """A window that turns a side n into ⌈n / stride⌉, whatever its kernel."""
    kernel = pick(draw, *kernels)
    top, left = (draw(st.integers(0, side - 1)) for side in kernel)
    padding = (top, left, kernel[0] - 1 - top, kernel[1] - 1 - left)
    return Window(kernel, stride, padding)


def _affordable(sides: Pair, channels: int, padded: bool, most: int = 11) -> list[Pair]:
    """Kernels that the budgets allow; the padded plane bounds the pixels."""
    height, width = sides
    both = itertools.product(range(1, most + 1), repeat=2)
    if not padded:
        return [(h, w) for h, w in both if h <= height and w <= width]
    return [
        (h, w)
        for h, w in both
        if channels * h * w <= WEIGHT_BUDGET
        and channels * h * w * (height + h - 1) * (width + w - 1) <= MAC_BUDGET
    ] or [(1, 1)]


# --- layers with weights ------------------------------------------------------------------------


@st.composite
def _mac(
    draw: Draw,
    config: EngineConfig,
    name: str,
    source: Source,
    target: Shape,
    window: Window | None,
    groups: int,
    wanted: Numbers | None,
    last: bool,
) -> MacLayer:
    fan_in = source.shape[0] * source.shape[1] * source.shape[2]
    if window:
        fan_in = source.shape[0] // groups * window.size
    spec = draw(specs(target[0], fan_in))
    # The step of the logits, that of the map times that of the weights, is in 2^±64, too.
    low, high = -64, 64
    if last:
        octave = math.log2(source.numbers.scale)
        low, high = max(low, math.ceil(octave) - 63), min(high, math.floor(octave) + 63)

    def point() -> int:
        return int(
            draw(st.integers(low, high) if draw(st.booleans()) else st.integers(0, min(16, high)))
        )

    per_row = spec.scheme == "dense" and not last and draw(st.booleans())
    share = 1.0 if last else pick(draw, 1.0, 0.75)
    steps = [max(share * 2.0 ** -point(), 2.0**-64) for _ in range(target[0] if per_row else 1)]
    none = np.zeros(target[0], np.int32)
    out = _out(draw, config, wanted)
    post = _post(draw, config, out.zero)
    scale = source.numbers.scale * steps[0] if last else out.scale
    # Around the input stands what the network takes for its zero, a mean for example.
    fill = source.numbers.zero
    if source.image:
        fill = draw(st.integers(0, config.act_max)) if draw(st.booleans()) else fill
    draft = MacLayer(
        name, "conv" if window else "fc", source.shape, target, window, spec,
        draw(weights(spec.real_weights, config.wgt_max)), none, none, none.astype(np.int64),
        last=last, weight_scale=np.array(steps), scale=scale, hi=post.hi, lo=post.lo,
        zero=0 if last else out.zero, fill=fill if window else 0, groups=groups,
    )  # fmt: skip
    layer = fitted(draft, config, draw(st.booleans()))
    bounds = layer.accumulator_bound(config.act_max).tolist()
    words = last_biases(draw, config, bounds) if last else channels(draw, post, bounds)
    return dataclasses.replace(layer, **words)


@st.composite
def convs(
    draw: Draw,
    config: EngineConfig,
    name: str,
    source: Source,
    *,
    same: Pair | None = None,
    wanted: Numbers | None = None,
    outputs: int | None = None,
    whole: bool = False,
) -> MacLayer:
    """A convolution, in groups or not.

    same: strides of a window that turns a side n into ⌈n / stride⌉. outputs: so many channels.
    whole: the last layer, one window over the whole map.
    """
    c, height, width = source.shape
    sides = (height, width)
    divisors = [g for g in range(1, c + 1) if c % g == 0 and (outputs or g) % g == 0]
    groups = pick(draw, 1, *divisors) if config.groups else 1
    if whole:
        kernel = (draw(st.integers(height, 11)), draw(st.integers(width, 11)))
        kernel = kernel if c * kernel[0] * kernel[1] <= WEIGHT_BUDGET else sides
        top, left = (draw(st.integers(0, k - n)) for k, n in zip(kernel, sides, strict=True))
        padding = (top, left, kernel[0] - height - top, kernel[1] - width - left)
        window = Window(kernel, (draw(st.integers(1, 4)), draw(st.integers(1, 4))), padding)
    elif same:
        cost = c // groups * (outputs or groups)
        kernels = [k for k in _affordable(sides, cost, True) if max(k) <= 7]
        window = draw(same_windows(kernels, same))
    else:
        kernels = _affordable(sides, c, True)
        window = draw(windows(sides, kernels, 4, True))
    out = window.out_sides(*sides)
    fan_in = c // groups * window.size
    most = max(1, min(MAC_BUDGET // (fan_in * out[0] * out[1]), WEIGHT_BUDGET // fan_in))
    room = max(1, min(most, CHANNELS) // groups)
    each = outputs // groups if outputs else draw(st.integers(1, room))
    # Channels that fill vectors have loops of their own.
    full = [n for n in VECTORS if n % groups == 0 and n <= most]
    if not outputs and full and draw(st.integers(0, 3)) == 0:
        each = pick(draw, *full) // groups
    target = (each * groups, *out)
    return draw(_mac(config, name, source, target, window, groups, wanted, whole))


@st.composite
def fcs(draw: Draw, config: EngineConfig, name: str, source: Source, last: bool) -> MacLayer:
    """A fully connected layer."""
    most = max(1, WEIGHT_BUDGET // (source.shape[0] * source.shape[1] * source.shape[2]))
    target = (draw(st.integers(1, min(2 * CHANNELS, most))), 1, 1)
    return draw(_mac(config, name, source, target, None, 1, None, last))


# --- layers without -----------------------------------------------------------------------------


@st.composite
def pools(draw: Draw, name: str, source: Source, same: Pair | None = None) -> PoolLayer:
    """A max-pool with any padding, floor or ceil."""
    c, *sides = source.shape
    kernels = _affordable((sides[0], sides[1]), c, True)
    if same:
        window = draw(same_windows([k for k in kernels if max(k) <= 4], same))
    else:
        window = draw(windows((sides[0], sides[1]), kernels, 15, True))
    return PoolLayer(name, source.shape, (c, *window.out_sides(*sides)), window)


@st.composite
def averages(
    draw: Draw, config: EngineConfig, name: str, source: Source, last: bool = False
) -> AverageLayer:
    """An average over windows inside the map; of the whole map as the last layer."""
    c, height, width = source.shape
    if last:
        window = Window((height, width), (draw(st.integers(1, 15)), draw(st.integers(1, 15))))
    else:
        kernels = _affordable((height, width), 1, False, most=15)
        window = draw(windows((height, width), kernels, 15, False))
    bounds = [config.act_max * window.size]
    out = numbers(draw, config)
    post = _post(draw, config, out.zero)
    words = last_biases(draw, config, bounds) if last else channels(draw, post, bounds)
    fields = _fields(post, out)
    if last:
        fields |= dict(scale=source.numbers.scale / window.size, zero=0, last=True)
    target = (c, *window.out_sides(height, width))
    return AverageLayer(name, source.shape, target, window, **words, **fields)


@st.composite
def affines(
    draw: Draw,
    config: EngineConfig,
    name: str,
    source: Source,
    *,
    wanted: Numbers | None = None,
    last: bool = False,
) -> AffineLayer:
    """One word a channel."""
    bounds = [config.act_max] * source.shape[0]
    out = _out(draw, config, wanted)
    post = _post(draw, config, out.zero)
    words = last_biases(draw, config, bounds) if last else channels(draw, post, bounds)
    fields = _fields(post, out)
    if last:
        fields |= dict(scale=source.numbers.scale, zero=0, last=True)
    return AffineLayer(name, source.shape, **words, **fields)


@st.composite
def adds(draw: Draw, config: EngineConfig, name: str, shape: Shape) -> AddLayer:
    """The sum of two maps of ``shape``."""
    out = numbers(draw, config)
    post = _post(draw, config, out.zero)
    both = [multiplier(draw, post) for _ in range(2)]
    # Maps of one scale, with a bias that has their factor, too: sums right on the edges of codes.
    alike = pick(draw, "no", "no", "factors", "bias")
    if alike != "no":
        both[1] = both[0]
    s, b = shift_and_bias(draw, post, config.act_max * (abs(both[0]) + abs(both[1])))
    if alike == "bias" and both[0]:
        rest = abs(b) % abs(both[0])
        b -= rest if b > 0 else -rest
    fields = _fields(post, out)
    del fields["last"]
    return AddLayer(
        name, shape, np.array(both, np.int32), np.array([s], np.int32), np.array([b], np.int64),
        **fields,
    )  # fmt: skip


@st.composite
def tables(draw: Draw, config: EngineConfig) -> np.ndarray:
    """Entries of a table: a ramp up or down, one value, steps, or noise."""
    size, top = config.act_max + 1, config.act_max
    kind = pick(draw, "same", "ramp", "falling", "constant", "steps", "noise")
    codes = np.arange(size)
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    found = {
        "same": codes,
        "ramp": np.minimum(codes * 3 // 2, top),
        "falling": codes[::-1],
        "constant": np.full(size, noise.integers(0, top + 1)),
        "steps": codes // 4 * 4,
        "noise": noise.integers(0, top + 1, size),
    }[kind]
    return found.astype(np.int32)


@st.composite
def luts(
    draw: Draw,
    config: EngineConfig,
    name: str,
    source: Source,
    known: list[np.ndarray],
    wanted: Numbers | None = None,
) -> LutLayer:
    """A lookup in one of the ``known`` tables, or in a new one while the engine has room for it."""
    place = draw(st.integers(0, min(len(known), config.lut_tables - 1)))
    if place == len(known):
        known.append(draw(tables(config)))
    out = _out(draw, config, wanted)
    return LutLayer(name, source.shape, known[place], scale=out.scale, zero=out.zero)
