"""Oracle, units: what each kind of layer makes of the maps that it reads, place by place.

Follows docs/architecture.md, Numbers. Places are (channel, row, column) of a map; ``taps`` and
``window_at`` say which of them an output depends on, and serve its gradient, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul

from hwsim.engine.reference_hash import virtual_weights
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
    is_last,
)

Map = list[list[list[int]]]  # [channel][row][column]
Spot = tuple[int, int]  # row and column
#: Layers that end in a requantization (the last one: in a sum).
Requantized = MacLayer | AverageLayer | AffineLayer | AddLayer


@dataclass(frozen=True)
class Step:
    """One layer of one inference.

    sources: the maps that it read. wide: p of every output, the requantizer's sum before its shift
    (of the last layer: the logit); empty for layers without requantization. output: what it wrote.
    """

    layer: Layer
    sources: list[Map]
    output: Map
    wide: Map = field(default_factory=list)


def compute(config: EngineConfig, layer: Layer, sources: list[Map]) -> Step:
    """One layer on the maps that it reads.

    Raises AssertionError, naming layer and neuron, if a sum leaves ACC_W bits or p leaves ACC_W +
    MULT_W.
    """
    if isinstance(layer, PoolLayer):
        return Step(layer, sources, _pool(layer, sources[0]))
    if isinstance(layer, LutLayer):
        table = layer.table.tolist()
        return Step(layer, sources, [[[table[a] for a in row] for row in p] for p in sources[0]])
    if isinstance(layer, MacLayer):
        wide = _mac(config, layer, sources[0])
    elif isinstance(layer, AverageLayer):
        wide = _average(config, layer, sources[0])
    elif isinstance(layer, AffineLayer):
        wide = _affine(config, layer, sources[0])
    else:
        wide = _add(config, layer, sources[0], sources[1])
    return Step(layer, sources, _requantized(config, layer, wide), wide)


# --- geometry -------------------------------------------------------------------------------------


def window_at(window: Window, y: int, x: int) -> Iterator[Spot]:
    """The places under the window of output pixel (y, x), row by row, the padding's included."""
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            yield (
                y * window.stride[0] + ky - window.padding[0],
                x * window.stride[1] + kx - window.padding[1],
            )


def inside(layer: Layer, spot: Spot) -> bool:
    """Whether a place is one of the layer's input map, and not of its padding."""
    return 0 <= spot[0] < layer.in_shape[1] and 0 <= spot[1] < layer.in_shape[2]


def taps(layer: MacLayer, group: int, y: int, x: int) -> list[tuple[int, int, int] | None]:
    """(channel, row, column) that a group's outputs read at (y, x), for each fan-in position j.

    None where that is padding.
    """
    channels, height, width = layer.in_shape
    if layer.window is None:
        return [
            (c, row, column)
            for c in range(channels)
            for row in range(height)
            for column in range(width)
        ]
    seen = channels // layer.groups
    spots = [spot if inside(layer, spot) else None for spot in window_at(layer.window, y, x)]
    return [
        (c, *spot) if spot else None
        for c in range(group * seen, group * seen + seen)
        for spot in spots
    ]


def members(layer: MacLayer, group: int) -> range:
    """Output channels of a group."""
    each = layer.out_shape[0] // layer.groups
    return range(group * each, group * each + each)


def first_maximum(layer: PoolLayer, plane: list[list[int]], y: int, x: int) -> Spot:
    """(row, column) of the largest code of a window inside the map, the first row by row."""
    spots = [spot for spot in window_at(layer.window, y, x) if inside(layer, spot)]
    best = spots[0]
    for row, column in spots:
        if plane[row][column] > plane[best[0]][best[1]]:
            best = (row, column)
    return best


# --- sums -----------------------------------------------------------------------------------------


def summed(config: EngineConfig, layer: MacLayer, codes: Sequence[int]) -> list[int]:
    """Fan-in positions that are summed: an engine that skips leaves zeros of an fc layer out.

    Where all are 0, it sums the first.
    """
    everything = list(range(len(codes)))
    if not config.skip or layer.window is not None or len(codes) > config.skip_columns:
        return everything
    return [j for j in everything if codes[j]] or [0]


def _mac(config: EngineConfig, layer: MacLayer, source: Map) -> Map:
    weights, posts = virtual_weights(layer), words(layer)
    wide = _blank(layer)
    for y in range(layer.out_shape[1]):
        for x in range(layer.out_shape[2]):
            for group in range(layer.groups):
                codes = [
                    layer.fill if tap is None else source[tap[0]][tap[1]][tap[2]]
                    for tap in taps(layer, group, y, x)
                ]
                chosen = summed(config, layer, codes)
                left_out = len(chosen) < len(codes)
                codes = [codes[j] for j in chosen]
                for i in members(layer, group):
                    row = [weights[i][j] for j in chosen] if left_out else weights[i]
                    acc = _sum(config, layer, i, row, codes)
                    wide[i][y][x] = _widened(config, layer, i, acc, posts[i])
    return wide


def _average(config: EngineConfig, layer: AverageLayer, source: Map) -> Map:
    wide, posts = _blank(layer), words(layer)
    ones = [1] * (layer.window.kernel[0] * layer.window.kernel[1])
    for c, plane in enumerate(source):
        for y in range(layer.out_shape[1]):
            for x in range(layer.out_shape[2]):
                codes = [plane[row][column] for row, column in window_at(layer.window, y, x)]
                acc = _sum(config, layer, c, ones, codes)
                wide[c][y][x] = _widened(config, layer, c, acc, posts[c])
    return wide


def _affine(config: EngineConfig, layer: AffineLayer, source: Map) -> Map:
    posts = words(layer)
    return [
        [[_widened(config, layer, c, a, posts[c]) for a in row] for row in plane]
        for c, plane in enumerate(source)
    ]


def _add(config: EngineConfig, layer: AddLayer, first: Map, second: Map) -> Map:
    m1, m2 = layer.multiplier.tolist()
    (b,) = layer.bias.tolist()
    wide = _blank(layer)
    for c, plane in enumerate(wide):
        for y, line in enumerate(plane):
            for x in range(len(line)):
                # The array's first row is drained with the bias before the second is added.
                p = first[c][y][x] * m1 + b
                _must_fit(layer, c, p, config.acc_w + config.mult_w)
                p += second[c][y][x] * m2
                _must_fit(layer, c, p, config.acc_w + config.mult_w)
                line[x] = p
    return wide


def _sum(
    config: EngineConfig,
    layer: MacLayer | AverageLayer,
    i: int,
    weights: Sequence[int],
    codes: Sequence[int],
) -> int:
    low, high = -(2 ** (config.acc_w - 1)), 2 ** (config.acc_w - 1) - 1
    assert len(weights) == len(codes)
    partial = list(accumulate(map(mul, weights, codes)))
    if min(partial) < low or max(partial) > high:
        acc = next(acc for acc in partial if not low <= acc <= high)
        raise AssertionError(f"{layer.name}: neuron {i}: partial sum {acc} exceeds ACC_W")
    return partial[-1]


# --- requantization -------------------------------------------------------------------------------


def words(layer: Requantized) -> list[tuple[int, int, int]]:
    """(m, s, b) of each output channel; of an addition, the m is of its first source."""
    m, s, b = layer.multiplier.tolist(), layer.shift.tolist(), layer.bias.tolist()
    channels = layer.out_shape[0]
    if isinstance(layer, AverageLayer | AddLayer):
        return [(m[0], s[0], b[0])] * channels
    return [(m[i], s[i], b[i]) for i in range(channels)]


def _widened(
    config: EngineConfig,
    layer: MacLayer | AverageLayer | AffineLayer,
    i: int,
    acc: int,
    post: tuple[int, int, int],
) -> int:
    """p = acc · m + b; of the last layer, acc + b."""
    m, _, b = post
    if layer.last:
        p = acc + b
        _must_fit(layer, i, p, config.acc_w)
    else:
        p = acc * m + b
        _must_fit(layer, i, p, config.acc_w + config.mult_w)
    return p


def _requantized(config: EngineConfig, layer: Requantized, wide: Map) -> Map:
    if is_last(layer):
        return wide
    away = config.requantization == "twice-away"
    return [
        [
            [min(max(_shifted(p, m, s, layer.zero, away), layer.lo), layer.hi) for p in row]
            for row in plane
        ]
        for plane, (m, s, _) in zip(wide, _last_words(layer), strict=True)
    ]


def _last_words(layer: Requantized) -> list[tuple[int, int, int]]:
    """``words``; of an addition, the m is of its second source."""
    if isinstance(layer, AddLayer):
        return [(layer.multiplier.tolist()[1], s, b) for _, s, b in words(layer)]
    return words(layer)


def _shifted(p: int, m: int, s: int, zero: int, away: bool) -> int:
    """p >> s; if ``away``, a half of the multiples of 2^31 below the code of 0 goes down."""
    u = p >> s
    if (
        away
        and m >= 2**30
        and s > 31
        and u <= zero
        and all((p >> bit) & 1 == 0 for bit in range(31, s))
    ):
        return u - 1
    return u


def _must_fit(layer: Layer, i: int, value: int, bits: int) -> None:
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise AssertionError(f"{layer.name}: neuron {i}: {value} exceeds {bits} bits")


def _pool(layer: PoolLayer, source: Map) -> Map:
    output = _blank(layer)
    for c, plane in enumerate(source):
        for y in range(layer.out_shape[1]):
            for x in range(layer.out_shape[2]):
                row, column = first_maximum(layer, plane, y, x)
                output[c][y][x] = plane[row][column]
    return output


def _blank(layer: Layer) -> Map:
    channels, height, width = layer.out_shape
    return [[[0] * width for _ in range(height)] for _ in range(channels)]
