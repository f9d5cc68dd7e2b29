"""Random networks: hypothesis strategies for programs that the proof accepts, and their images.

    @settings(max_examples=100)
    @given(cases())
    def test_fast_path_equals_the_oracle(case: Case) -> None:
        for image in case.images: ...

Programs are built valid, never filtered: weights are scaled until the accumulator bound holds and
biases take what room is left. A network costs the oracle at most about 0.1 s an image, so a
property test may afford several hundred; the example count belongs into each test's
``settings(max_examples=...)``, with EXAMPLES as the number for an everyday run.
Simple choices come first in every strategy, so that a failure shrinks to one dense layer with
equal weights where it can.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import SCHEMES, HashSpec
from hwsim.program.program import Layer, MacLayer, PoolLayer, Program, Shape

#: Examples for an everyday run of one property; a thorough one multiplies it.
EXAMPLES = 100
#: Multiply-accumulates of one layer: keeps the oracle at some milliseconds a layer.
MAC_BUDGET = 40_000
#: Largest channel count of a convolution, and largest image side.
CHANNELS, SIDE = 9, 11

Draw = Any
_base = cache(load_config)


def _mostly(usual: st.SearchStrategy[int], rare: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """Three of four draws are ``usual``: what is legal and dull kills a network if it is common."""
    return st.one_of(usual, usual, usual, rare)


@dataclass(frozen=True)
class Case:
    """A program and images for it: int64 (N, C, H, W) in 0 … 2^ACT_W − 1, N = 1 … 5."""

    program: Program
    images: NDArray[np.int64]

    def pixels(self) -> NDArray[np.float32]:
        """The same images as an Engine takes them: float32 in [0, 1], exactly on the input grid."""
        return as_pixels(self.program, self.images)


def as_pixels(program: Program, images: NDArray[np.int64]) -> NDArray[np.float32]:
    """Integer activations as float32 pixels that grid back to the same integers."""
    return (images / program.config.act_max).astype(np.float32)


# --- configurations -----------------------------------------------------------------------------


_widths = st.sampled_from([8, 4, 16]) | st.integers(4, 16)


@st.composite
def configs(draw: Draw) -> EngineConfig:
    """A shipped configuration with any word widths, sometimes with another array and banks."""
    changes: dict[str, Any] = dict(
        act_w=draw(_widths),
        wgt_w=draw(_widths),
        acc_w=draw(st.sampled_from([32, 48])),
        mult_w=draw(st.sampled_from([16, 8]) | st.integers(8, 16)),
        index_mode=draw(st.sampled_from(["sram", "hash"])),
    )
    base = _base(draw(st.sampled_from(["tiny", "small", "default"])))
    if draw(st.booleans()):
        rows = draw(st.integers(1, 16))
        least = (rows - 1).bit_length()
        changes |= dict(
            rows=rows,
            cols=2 ** draw(st.integers(0, 4)),
            banks=2 ** draw(st.integers(least, 6)),
        )
    return base.replace(**changes)


def _with_room(config: EngineConfig, program: Program, tight: bool) -> EngineConfig:
    """``config`` with memories at least as deep as the program needs, exactly so if ``tight``."""
    end = program.placements()[-1]
    maps = [program.input_shape, *(layer.out_shape for layer in program.layers)]
    needs = dict(
        tile_depth=max((m.fan_in for m in program.mac_layers if m.kind == "conv"), default=1),
        wgt_depth=(end.weight_base + end.weight_lines) * config.banks,
        idx_depth=max(1, end.index_base + end.index_lines),
        act_depth=max(c * h * -(-w // config.cols) for c, h, w in maps),
        chan_depth=end.channel_base + end.channels,
        prog_depth=len(program.layers) + 1,
    )
    there = config.model_dump()
    return config.replace(**{k: n if tight else max(n, there[k]) for k, n in needs.items()})


# --- weights and their sharing ------------------------------------------------------------------


def seeds() -> st.SearchStrategy[int]:
    """Hash seeds, the ends of the range included."""
    return st.sampled_from([0, 1, 2**32 - 1]) | st.integers(0, 2**32 - 1)


@st.composite
def specs(draw: Draw, n_out: int, fan_in: int) -> HashSpec:
    """Any way to share the weights of an ``n_out x fan_in`` layer, from one real weight to all."""
    scheme = draw(st.sampled_from(sorted(SCHEMES, key=lambda name: name != "dense")))
    n = n_out * fan_in
    if scheme == "dense":
        return HashSpec(scheme, n_out, fan_in, n)
    if scheme == "xxh32":
        return HashSpec(scheme, n_out, fan_in, draw(st.integers(1, n)), draw(seeds()))
    banks = 2 ** draw(st.integers(0, 6))
    lines = draw(st.integers(1, max(1, n // banks)))
    return HashSpec(scheme, n_out, fan_in, banks * lines, draw(seeds()), banks)


@st.composite
def _words(draw: Draw, count: int, limit: int) -> NDArray[np.int32]:
    """``count`` ROM words in ±limit: equal, few distinct, sparse, noise, or all extreme."""
    # A layer of zeros is legal, and hides what is wrong in all others: the simplest word is 1.
    word = st.sampled_from([1, 0, -1, limit, -limit]) | st.integers(-limit, limit)
    style = draw(st.sampled_from(["equal", "drawn", "tiny", "sparse", "noise", "extreme"]))
    if style == "equal":
        return np.full(count, draw(word), np.int32)
    if style == "drawn":
        fill = st.nothing() if count <= 16 else word
        return draw(arrays(np.int32, count, elements=word, fill=fill))
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    if style == "tiny":
        return noise.integers(-1, 2, count).astype(np.int32)
    if style == "extreme":
        return noise.choice(np.array([-limit, limit], np.int32), count)
    values = noise.integers(-limit, limit + 1, count).astype(np.int32)
    return np.where(noise.random(count) < 0.1, values, 0) if style == "sparse" else values


def _fitted(layer: MacLayer, config: EngineConfig, thin: bool) -> MacLayer:
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


# --- requantization -----------------------------------------------------------------------------


@st.composite
def _channel(draw: Draw, config: EngineConfig, bound: int, live: bool) -> tuple[int, int, int]:
    """(m, s, b) of one hidden channel whose accumulator stays within ±bound.

    Mostly near the shift at which the bound just fills ACT_W bits, with up to 8 bits of gain, so
    that outputs vary, saturate and fall below zero; now and then anything that is legal. ``live``
    channels have an output in the middle of its range, and pass a gradient.
    """
    m_max = (1 << (config.mult_w - 1)) - 1
    s_max = config.acc_w + config.mult_w - 1
    if live:
        m = draw(st.integers(m_max // 2, m_max)) * draw(st.sampled_from([1, 1, 1, -1]))
        natural = (bound * abs(m)).bit_length() - config.act_w
        s = min(max(natural - draw(st.integers(-1, 3)), 0), s_max)
        middle = draw(st.sampled_from([config.act_max // 2, config.act_max // 4])) << s
        room = (1 << s_max) - 1 - bound * abs(m)
        return m, s, min((1 << (s - 1) if s else 0) + middle, room)
    m = draw(st.sampled_from([1, m_max]) | st.integers(0, m_max))
    if draw(st.integers(0, 3)) == 3:
        m = -m
    natural = (bound * abs(m)).bit_length() - config.act_w
    gain = st.integers(0, 8)
    shift = _mostly(gain.map(lambda bits: natural - bits), st.integers(0, s_max))
    s = min(max(draw(shift), 0), s_max)
    room = (1 << s_max) - 1 - bound * abs(m)
    rounding = 1 << (s - 1) if s else 0
    level = st.sampled_from([0, 1, -1, config.act_max // 2, config.act_max, -config.act_max])
    offset = _mostly(level.map(lambda y: y << s), st.integers(-room, room))
    return m, s, min(max(rounding + draw(offset), -room), room)


@st.composite
def _requantized(draw: Draw, config: EngineConfig, layer: MacLayer) -> MacLayer:
    bounds = layer.accumulator_bound(config.act_max).tolist()
    if layer.last:
        limit = (1 << (config.acc_w - 1)) - 1
        bias = []
        for b in bounds:
            room = limit - b
            near = st.sampled_from([0, 0, 1, -1, room, -room]) | st.integers(-b, b)
            wanted = draw(_mostly(near, st.integers(-room, room)))
            bias.append(min(max(wanted, -room), room))
        return dataclasses.replace(layer, bias=np.array(bias, np.int64))
    same = draw(st.booleans())  # equal channels make ties
    # Deep networks of channels that are anything are mostly dead: no image changes their logits.
    live = draw(st.sampled_from([True, True, True, False]))
    rows = [draw(_channel(config, max(bounds), live))] * len(bounds) if same else []
    rows = rows or [draw(_channel(config, b, live)) for b in bounds]
    m, s, b = zip(*rows, strict=True)
    return dataclasses.replace(
        layer,
        multiplier=np.array(m, np.int32),
        shift=np.array(s, np.int32),
        bias=np.array(b, np.int64),
    )


# --- layers -------------------------------------------------------------------------------------


@st.composite
def _mac(
    draw: Draw,
    config: EngineConfig,
    name: str,
    source: Shape,
    target: Shape,
    fa: int,
    *,
    last: bool,
    geometry: tuple[int, int, int] | None = None,
) -> MacLayer:
    """A convolution with ``geometry`` = (kernel, stride, padding), or fully connected without."""
    kernel, stride, padding = geometry or (1, 1, 0)
    fan_in = source[0] * kernel * kernel if geometry else source[0] * source[1] * source[2]
    spec = draw(specs(target[0], fan_in))
    low, high = max(-64, -64 - fa), min(64, 64 - fa)  # fa + fw stays in ±64 too
    fw = draw(st.integers(0, min(16, high)) | st.integers(low, high))
    none = np.zeros(target[0], np.int32)
    layer = MacLayer(
        name=name, kind="conv" if geometry else "fc", in_shape=source, out_shape=target,
        kernel=kernel, stride=stride, padding=padding, spec=spec,
        weights=draw(_words(spec.real_weights, config.wgt_max)), fw=fw, fa_in=fa,
        fa_out=fa + fw if last else draw(st.integers(0, 16) | st.integers(-64, 64)),
        multiplier=none, shift=none, bias=none.astype(np.int64), last=last,
    )  # fmt: skip
    return draw(_requantized(config, _fitted(layer, config, draw(st.booleans()))))


@st.composite
def _conv(draw: Draw, config: EngineConfig, name: str, source: Shape, fa: int) -> MacLayer:
    c, h, w = source
    # The padded plane bounds the pixels, so no later choice can break the budget.
    kernels = [k for k in range(1, 8) if c * k * k * (h + k - 1) * (w + k - 1) <= MAC_BUDGET]
    k = draw(st.sampled_from(kernels))
    stride = draw(st.integers(1, 2))
    padding = draw(st.integers(max(0, (k - min(h, w) + 1) // 2), k - 1))
    out_h, out_w = ((side + 2 * padding - k) // stride + 1 for side in (h, w))
    most = max(1, MAC_BUDGET // (c * k * k * out_h * out_w))
    target = (draw(st.integers(1, min(CHANNELS, most))), out_h, out_w)
    geometry = (k, stride, padding)
    return draw(_mac(config, name, source, target, fa, last=False, geometry=geometry))


@st.composite
def _maybe_pool(draw: Draw, name: str, source: Shape) -> list[PoolLayer]:
    c, h, w = source
    k = draw(st.just(0) | st.integers(1, min(3, h, w)))
    if k == 0:
        return []
    stride = draw(st.integers(1, 3))
    return [PoolLayer(name, source, (c, (h - k) // stride + 1, (w - k) // stride + 1), k, stride)]


@st.composite
def programs(draw: Draw, engines: st.SearchStrategy[EngineConfig] | None = None) -> Program:
    """A program that ``hwsim.program.proof.check`` accepts: 0–3 convolutions, 1–3 fully connected
    layers.

    Pools may precede every convolution, the input included, and the first fully connected layer.
    ``engines`` draws the configuration; its memories are deepened to what the program needs.
    """
    config = draw(configs() if engines is None else engines)
    side = st.integers(1, SIDE)
    shape = first = (draw(st.integers(1, CHANNELS)), draw(side), draw(side))
    fa = config.act_w
    layers: list[Layer] = []
    for position in range(draw(st.integers(0, 3))):
        layers += draw(_maybe_pool(f"pool{position}", shape))
        shape = layers[-1].out_shape if layers else first
        conv = draw(_conv(config, f"conv{position}", shape, fa))
        layers.append(conv)
        shape, fa = conv.out_shape, conv.fa_out
    layers += draw(_maybe_pool("pool", shape))
    shape = layers[-1].out_shape if layers else first
    count = draw(st.integers(1, 3))
    for position in range(count):
        last = position == count - 1
        most = max(1, MAC_BUDGET // (shape[0] * shape[1] * shape[2]))
        target = (draw(st.integers(1, min(2 * CHANNELS, most))), 1, 1)
        fc = draw(_mac(config, f"fc{position}", shape, target, fa, last=last))
        layers.append(fc)
        shape, fa = target, fc.fa_out
    draft = Program(config, tuple(layers), first)
    return draft.replace(config=_with_room(config, draft, tight=draw(st.booleans())))


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
        return image
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
def cases(draw: Draw, largest: int = 5) -> Case:
    """A program with a batch of images."""
    program = draw(programs())
    return Case(program, draw(batches(program, largest)))
