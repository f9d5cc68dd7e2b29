"""Oracle, backward: a gradient at the logits taken to the image, in exact fractions.

Follows docs/architecture.md, Gradients (`ste`). Local slopes by a code that a layer reads:

- conv, fc, average, affine, add: the weight (1 where there is none) times m · 2^-s where
  p − 2^(s−1) > lo · 2^s (p > lo for s = 0) and p >> s <= hi, else 0; ``unclamped`` drops the second
  condition. The last layer has no requantization, and no such factor.
- pool: 1 for the first largest code of the window inside the map, else 0.
- lut: (T[a + 1] − T[a − 1]) / 2, at the ends of the table the difference to the one neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from hwsim.engine.reference_hash import virtual_weights
from hwsim.engine.reference_units import (
    Requantized,
    Step,
    first_maximum,
    members,
    taps,
    window_at,
    words,
)
from hwsim.program.layers import (
    AddLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    is_last,
)
from hwsim.program.program import Program

#: A gradient by each place of a map, in units of 1 / (denominator · 2^spare). They are whole: a
#: path's term is a product of a seed and slopes, and their denominators together divide that.
Flow = list[list[list[int]]]
#: What a path is multiplied with for a local slope: the slope itself, or its magnitude.
Of = Callable[[int], int]


def pulled_back(
    program: Program,
    steps: list[Step],
    seeds: Sequence[Fraction],
    *,
    unclamped: bool,
    magnitudes: bool = False,
) -> list[list[list[Fraction]]]:
    """Σ seed · d(logit integer)/d(code) by every code of the image.

    steps: of an inference. magnitudes: of |seed| by the magnitude of every slope instead.
    """
    of: Of = abs if magnitudes else _itself
    # A path goes through a layer once at most, and is divided there by no more than its spare bits.
    spare = sum(_spare(layer) for layer in program.layers)
    denominator = math.lcm(*(seed.denominator for seed in seeds))
    flows = [_zeros(one.shape) for one in program.maps]
    for step, wire in zip(reversed(steps), reversed(program.wires), strict=True):
        if wire.target is None:
            flow = [[[of(int(seed * denominator)) << spare]] for seed in seeds]
        else:
            first = wire.target.channel
            flow = flows[wire.target.map][first : first + step.layer.out_shape[0]]
        for place, part in zip(wire.sources, _by_sources(step, flow, unclamped, of), strict=True):
            _accumulate(flows[place.map], place.channel, part)
    unit = denominator << spare
    return [[[Fraction(g, unit) for g in line] for line in plane] for plane in flows[0]]


def _spare(layer: Layer) -> int:
    """Bits that the denominators of a layer's slopes have at most."""
    if isinstance(layer, PoolLayer):
        return 0
    if isinstance(layer, LutLayer):
        return 1
    return 0 if is_last(layer) else max(layer.shift.tolist())


def _itself(slope: int) -> int:
    return slope


def _divided(value: int, bits: int) -> int:
    """value / 2^bits; it leaves nothing over, or ``_spare`` is wrong."""
    assert value == value >> bits << bits
    return value >> bits


def _by_sources(step: Step, flow: Flow, unclamped: bool, of: Of) -> list[Flow]:
    """``flow`` by the outputs of a layer taken to each map that it reads."""
    layer = step.layer
    if isinstance(layer, PoolLayer):
        return [_pool(layer, step, flow)]
    if isinstance(layer, LutLayer):
        return [_lut(layer, step, flow, of)]
    if not is_last(layer):
        flow = _gated(layer, step, flow, unclamped)
    if isinstance(layer, AddLayer):
        (s,) = layer.shift.tolist()
        return [_times(flow, of(m), s) for m in layer.multiplier.tolist()]
    if not layer.last:
        flow = [
            _times([plane], of(m), s)[0]
            for plane, (m, s, _) in zip(flow, words(layer), strict=True)
        ]
    if isinstance(layer, MacLayer):
        return [_mac(layer, flow, of)]
    return [_average(layer, flow)] if isinstance(layer, AverageLayer) else [flow]


def _gated(layer: Requantized, step: Step, flow: Flow, unclamped: bool) -> Flow:
    """``flow`` where the requantization lets it pass, else 0."""

    def passes(p: int, s: int) -> bool:
        rounding = 2 ** (s - 1) if s > 0 else 0
        return p - rounding > layer.lo << s and (unclamped or p >> s <= layer.hi)

    return [
        [
            [g if passes(p, s) else 0 for g, p in zip(gradients, line, strict=True)]
            for gradients, line in zip(plane, sums, strict=True)
        ]
        for plane, sums, (_, s, _) in zip(flow, step.wide, words(layer), strict=True)
    ]


def _mac(layer: MacLayer, flow: Flow, of: Of) -> Flow:
    weights = virtual_weights(layer)
    result = _zeros(layer.in_shape)
    for y in range(layer.out_shape[1]):
        for x in range(layer.out_shape[2]):
            for group in range(layer.groups):
                reads = taps(layer, group, y, x)
                for i in members(layer, group):
                    g = flow[i][y][x]
                    if g:
                        for w, tap in zip(weights[i], reads, strict=True):
                            if w and tap is not None:
                                result[tap[0]][tap[1]][tap[2]] += of(w) * g
    return result


def _average(layer: AverageLayer, flow: Flow) -> Flow:
    result = _zeros(layer.in_shape)
    for c, y, x, g in _passing(flow):
        for row, column in window_at(layer.window, y, x):
            result[c][row][column] += g
    return result


def _pool(layer: PoolLayer, step: Step, flow: Flow) -> Flow:
    result = _zeros(layer.in_shape)
    for c, y, x, g in _passing(flow):
        row, column = first_maximum(layer, step.sources[0][c], y, x)
        result[c][row][column] += g
    return result


def _lut(layer: LutLayer, step: Step, flow: Flow, of: Of) -> Flow:
    table = layer.table.tolist()
    result = _zeros(layer.in_shape)
    for c, y, x, g in _passing(flow):
        a = step.sources[0][c][y][x]
        below, above = max(a - 1, 0), min(a + 1, len(table) - 1)
        # Both neighbours are two steps apart, one is one.
        result[c][y][x] = _divided(g * of(table[above] - table[below]), above - below - 1)
    return result


def _passing(flow: Flow) -> list[tuple[int, int, int, int]]:
    """(channel, row, column, gradient) where it is not 0."""
    return [
        (c, y, x, g)
        for c, plane in enumerate(flow)
        for y, line in enumerate(plane)
        for x, g in enumerate(line)
        if g
    ]


def _times(flow: Flow, m: int, s: int) -> Flow:
    """By m · 2^-s."""
    return [[[_divided(g * m, s) for g in line] for line in plane] for plane in flow]


def _zeros(shape: Shape) -> Flow:
    channels, height, width = shape
    return [[[0] * width for _ in range(height)] for _ in range(channels)]


def _accumulate(flow: Flow, channel: int, part: Flow) -> None:
    """Add the gradient by some channels of a map to that by all: several layers may read it."""
    for c, y, x, g in _passing(part):
        flow[channel + c][y][x] += g
