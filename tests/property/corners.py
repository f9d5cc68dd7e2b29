"""What a random network has of the machine, by name: for the claim that nothing is left out."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hwsim.numbers.vectors import LANES
from hwsim.program.layers import (
    AddLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.program import Program
from hwsim.program.wires import Wire, map_lines


def corners(program: Program) -> set[str]:
    """Names of what is there: layers and their fields, wires, maps, input and engine."""
    config = program.config
    found = {
        f"A{config.act_w}", f"W{config.wgt_w}", f"M{config.mult_w}", f"ACC{config.acc_w}",
        config.index_mode, config.requantization, f"last {program.layers[-1].kind}",
        "narrow array" if config.rows < program.classes else "wide array",
        *_of_maps(program),
    }  # fmt: skip
    for number, (layer, wire) in enumerate(zip(program.layers, program.wires, strict=True)):
        found |= {
            layer.kind,
            *_of_wire(number, wire),
            *_of_steps(program, layer, wire),
            *_of_window(layer),
            *_of_words(layer, config.act_max),
            *_of_vectors(layer, config.act_max),
        }
    return found


def _true(**claims: bool) -> set[str]:
    return {name.replace("_", " ") for name, holds in claims.items() if holds}


def _of_maps(program: Program) -> set[str]:
    _, height, width = program.input_shape
    cols, pixel = program.config.cols, Fraction(1, program.config.act_max)
    targets = [wire.target.map for wire in program.wires if wire.target is not None]
    lines = [(one.line, one.line + map_lines(one.shape, cols)) for one in program.maps]
    shared = any(a[0] < b[1] and b[0] < a[1] for a, b in itertools.combinations(lines, 2))
    return _true(
        pixels=program.input.scale == pixel,
        other_input=program.input.scale != pixel,
        input_zero=program.input.zero > 0,
        vector=height == width == 1,
        series=1 in (height, width) and height != width,
        concatenation=len(targets) > len(set(targets)),
        shared_lines=shared,
        no_shared_lines=not shared,
    )


def _of_wire(number: int, wire: Wire) -> set[str]:
    return _true(
        slice=any(place.channel > 0 for place in wire.sources),
        skip=any(place.map < number - 2 for place in wire.sources),
        doubled=len(wire.sources) == 2 and len(set(wire.sources)) == 1,
    )


def _of_steps(program: Program, layer: Layer, wire: Wire) -> set[str]:
    """Reads one channel of a map of several, pixels enough for vectors: a view that has steps."""
    _, height, width = layer.in_shape
    alone = layer.in_shape[0] == 1 and height * width >= LANES
    wide = any(program.maps[place.map].shape[0] > 1 for place in wire.sources)
    return {f"{layer.kind} of one channel"} if alone and wide else set()


def _of_vectors(layer: Layer, act_max: int) -> set[str]:
    """Loops over whole vectors of channels; additions of maps of one scale."""
    full, small = layer.out_shape[0] % LANES == 0, act_max <= 255
    depthwise = isinstance(layer, MacLayer) and layer.groups == layer.in_shape[0]
    alike = isinstance(layer, AddLayer) and layer.multiplier[0] == layer.multiplier[1] != 0
    factor = int(layer.multiplier[0]) if isinstance(layer, AddLayer) and alike else 0
    return _true(
        pool_of_vectors=full and layer.kind == "pool",
        conv_of_vectors=full and layer.kind == "conv" and small,
        depthwise_vectors=full and depthwise and small,
        equal_factors=alike,
        bias_with_that_factor=bool(factor) and int(layer.bias[0]) % factor == 0,
    )


def _of_window(layer: Layer) -> set[str]:
    if not isinstance(layer, MacLayer | PoolLayer | AverageLayer) or layer.window is None:
        return set()
    window = layer.window
    found = {f"kernel {side}" for side in window.kernel} | {f"stride {s}" for s in window.stride}
    found |= _true(
        oblong=window.kernel[0] != window.kernel[1],
        padding=any(window.padding),
        four_paddings=len(set(window.padding)) == 4,
    )
    return {f"{layer.kind} {name}" for name in found}


def _of_words(layer: Layer, top: int) -> set[str]:
    found: set[str] = set()
    if isinstance(layer, MacLayer):
        depthwise = layer.groups == layer.in_shape[0]
        found.add(layer.spec.scheme)
        if layer.groups > 1:
            found.add(f"{layer.spec.scheme} {'depthwise' if depthwise else 'groups'}")
        found |= _true(
            negative_multiplier=bool(layer.multiplier.min() < 0),
            rows_of_steps=len(layer.weight_scale) > 1,
            no_weight=not layer.weights.any(),
            fill=layer.fill > 0 and any(layer.window_padding),
        )
    if not isinstance(layer, PoolLayer | LutLayer) and not is_last(layer):
        found |= _true(lo=layer.lo > 0, hi=layer.hi < top, zero=layer.zero > 0)
    return found
