"""Oracle, backward: a gradient at the logits taken to the image, in exact fractions.

Follows docs/architecture.md, Gradients (`ste`). Local slopes by a code that a layer reads:

- conv, fc, average, affine, add: the weight (1 where there is none) times m · 2^-s where
  p − 2^(s−1) > lo · 2^s (p > lo for s = 0) and p >> s <= hi, else 0; ``unclamped`` drops the second
  condition. The last layer has no requantization, and no such factor.
- pool: 1 for the first largest code of the window inside the map, else 0.
- lut: (T[a + 1] − T[a − 1]) / 2, at the ends of the table the difference to the one neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

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
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    is_last,
)
from hwsim.program.program import Program

Flow = list[list[list[Fraction]]]  # a gradient by each place of a map
#: What a path is multiplied with for a local slope: the slope itself, or its magnitude.
Of = Callable[[Any], Any]


def pulled_back(
    program: Program,
    steps: list[Step],
    seeds: Sequence[Fraction],
    *,
    unclamped: bool,
    magnitudes: bool = False,
) -> Flow:
    """Σ seed · d(logit integer)/d(code) by every code of the image.

    steps: of an inference. magnitudes: of |seed| by the magnitude of every slope instead.
    """
    of: Of = abs if magnitudes else _itself
    flows = [_zeros(one.shape) for one in program.maps]
    for step, wire in zip(reversed(steps), reversed(program.wires), strict=True):
        if wire.target is None:
            flow = [[[of(seed)]] for seed in seeds]
        else:
            first = wire.target.channel
            flow = flows[wire.target.map][first : first + step.layer.out_shape[0]]
        for place, part in zip(wire.sources, _by_sources(step, flow, unclamped, of), strict=True):
            _accumulate(flows[place.map], place.channel, part)
    return flows[0]


def _itself(slope: Any) -> Any:
    return slope


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
        return [_times(flow, of(Fraction(m, 2**s))) for m in layer.multiplier.tolist()]
    if not layer.last:
        slopes = [of(Fraction(m, 2**s)) for m, s, _ in words(layer)]
        flow = [_times([plane], slope)[0] for plane, slope in zip(flow, slopes, strict=True)]
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
            [g if passes(p, s) else Fraction(0) for g, p in zip(gradients, line, strict=True)]
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
        result[c][y][x] = g * of(Fraction(table[above] - table[below], above - below))
    return result


def _passing(flow: Flow) -> list[tuple[int, int, int, Fraction]]:
    """(channel, row, column, gradient) where it is not 0."""
    return [
        (c, y, x, g)
        for c, plane in enumerate(flow)
        for y, line in enumerate(plane)
        for x, g in enumerate(line)
        if g
    ]


def _times(flow: Flow, slope: Any) -> Flow:
    return [[[g * slope for g in line] for line in plane] for plane in flow]


def _zeros(shape: Shape) -> Flow:
    channels, height, width = shape
    return [[[Fraction(0)] * width for _ in range(height)] for _ in range(channels)]


def _accumulate(flow: Flow, channel: int, part: Flow) -> None:
    """Add the gradient by some channels of a map to that by all: several layers may read it."""
    for c, y, x, g in _passing(part):
        flow[channel + c][y][x] += g
