"""What must hold before a Program may run: shapes chain, words fit, nothing can overflow.

The compiler, the image loader and every rewrite call ``check``; whoever passes it may use int64
and exact floating-point chunks without further thought. Nothing in a Program is believed before
it was checked, and nothing is allocated before its size was.
"""

from __future__ import annotations

import math

import numpy as np

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.geometry import check_geometry
from hwsim.program.instruction import encode
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.memory_map import check_maps
from hwsim.program.program import Program
from hwsim.program.sums_proof import check_bounds, check_words
from hwsim.program.wires import image_copy
from hwsim.program.workspace import MAX_IMAGE_BYTES, image_bytes, layer_bytes

#: Virtual weights of a network: decoding them takes about 20 bytes each.
MAX_VIRTUAL_WEIGHTS = 1 << 27
#: What a step of a code or word may be worth.
SMALLEST, LARGEST = 2.0**-64, 2.0**64
#: Cycles that no layer waits for: a counter of 24 bits.
MOST_FLOOR = 1 << 24
#: What makes a network need less of a memory.
LESS = {
    "WGT_DEPTH": "let layers share weights (hwsim.models.layers.compress, or a lower rate)",
    "CHAN_DEPTH": "use fewer output channels",
    "PROG_DEPTH": "use fewer layers",
    "IDX_DEPTH": 'set index_mode = "hash", which computes addresses instead of storing them',
    "LUT_TABLES": "use fewer different functions",
}


def check(program: Program) -> None:
    """Raise CompileError, naming the layer, if the program cannot run exactly on its engine."""
    if program.held is not None:
        raise CompileError("the program has faults in its memories: nothing can be proved of it")
    if not program.layers or not any(not isinstance(one, PoolLayer) for one in program.layers):
        raise CompileError("the network has no layer that computes: there is nothing to run")
    if len(program.wires) != len(program.layers):
        raise CompileError("a program needs one wire a layer")
    # First of all capacities: what follows takes the square of the maps.
    _must_hold(program.config, {"PROG_DEPTH": len(program.layers) + 1})
    for position, layer in enumerate(program.layers):
        if is_last(layer) != (position == len(program.layers) - 1):
            raise CompileError(
                f"{layer.name}: the final layer, and no other, must produce the logits"
            )
        check_geometry(program.config, layer)
    check_maps(program)
    _check_units(program)
    _check_numbers(program)
    _check_capacity(program)
    _check_workspace(program)
    for layer in program.layers:
        check_words(program.config, layer)
        check_bounds(program.config, layer)
    _check_instructions(program)


# --- what the engine has, and what codes mean -----------------------------------------------------


def _check_units(program: Program) -> None:
    """Optional hardware that a layer needs."""
    config = program.config
    for layer in program.layers:
        lacks = ""
        if isinstance(layer, AddLayer):
            lacks = "" if config.add else "add"
            if config.rows < 2:
                raise CompileError(
                    f"{layer.name}: an addition takes two rows of the array, configuration "
                    f"{config.name} has one"
                )
            if config.tile_depth < 2:
                raise CompileError(
                    f"{layer.name}: an addition takes two columns of the tile buffer, "
                    f"configuration {config.name} has TILE_DEPTH {config.tile_depth}"
                )
        elif isinstance(layer, AverageLayer | AffineLayer):
            lacks = "" if config.average else "average"
        elif isinstance(layer, LutLayer):
            lacks = "" if config.lut_tables else "lut_tables"
            if config.act_w > 8:
                raise CompileError(
                    f"{layer.name}: tables serve activations of up to 8 bits, configuration "
                    f"{config.name} has {config.act_w}: use at most 8, or ReLU"
                )
        elif isinstance(layer, MacLayer) and layer.groups > 1:
            lacks = "" if config.groups else "groups"
        if lacks:
            raise CompileError(
                f"{layer.name}: configuration {config.name} leaves out what {layer.kind} needs: "
                f"choose one with {lacks}"
            )


def _check_numbers(program: Program) -> None:
    """Steps are positive and of bearable size, zero points are codes, and logits follow."""
    top = program.config.act_max
    image = program.input
    if image.top is not None and not 1 <= image.top < top:
        raise CompileError(f"the input's largest code must be one of 1 … {top - 1}, or not given")
    if not (0 <= image.zero <= image.last(top) and SMALLEST <= image.scale <= LARGEST):
        raise CompileError("the input's zero point must be a code, and its step within 2^±64")
    if max(image.scale.numerator, image.scale.denominator) >= 2**128:
        raise CompileError("the input's step must be a fraction of numbers of 128 bits: round it")
    images = {0, image_copy(program.layers, program.wires)}
    for layer, sources, wire in zip(program.layers, program.numbers, program.wires, strict=True):
        if isinstance(layer, PoolLayer):
            continue
        steps = [layer.scale]
        if isinstance(layer, MacLayer):
            if not _are_steps(layer):
                raise CompileError(f"{layer.name}: weights have one step, or one a row")
            steps += layer.weight_scale.tolist()
        if not all(SMALLEST <= step <= LARGEST for step in steps):
            raise CompileError(
                f"{layer.name}: a step is worth {min(steps):.3g} … {max(steps):.3g}, outside "
                "2^±64: the network's values are too large or too small for fixed point"
            )
        if not 0 <= layer.zero <= top:
            raise CompileError(f"{layer.name}: zero point {layer.zero} is outside 0 … {top}")
        if isinstance(layer, MacLayer) and any(layer.window_padding):
            zero = None if wire.sources[0].map in images else sources[0].zero
            _check_padding(layer, zero, top)
        if is_last(layer):
            _check_logits(layer, sources[0].scale)


def _are_steps(layer: MacLayer) -> bool:
    steps = layer.weight_scale
    return (
        isinstance(steps, np.ndarray)
        and steps.dtype == np.float64
        and steps.shape in ((1,), (layer.n_out,))
    )


def _check_padding(layer: MacLayer, zero: int | None, top: int) -> None:
    """Around a map stands its zero point; around the image what the network takes for its zero.

    That is the mean where the network normalizes. zero: None of the image, and of its copy.
    """
    if zero is None:
        if not 0 <= layer.fill <= top:
            raise CompileError(f"{layer.name}: padding reads {layer.fill}, outside 0 … {top}")
    elif layer.fill != zero:
        raise CompileError(
            f"{layer.name}: padding reads {layer.fill}, where the map's zero point is {zero}"
        )


def _check_logits(layer: Layer, step: float) -> None:
    assert not isinstance(layer, PoolLayer)
    if isinstance(layer, MacLayer):
        if len(set(layer.weight_scale.tolist())) != 1:
            raise CompileError(f"{layer.name}: the rows of the last layer must have one step")
        step = step * float(layer.weight_scale[0])
    elif isinstance(layer, AverageLayer):
        step = step / layer.window.size
    if not math.isclose(layer.scale, step, rel_tol=1e-9):
        raise CompileError(
            f"{layer.name}: a step of the logits is worth {step:.9g}, not {layer.scale:.9g}"
        )


# --- memories -----------------------------------------------------------------------------------


def _check_capacity(program: Program) -> None:
    config = program.config
    virtual = sum(layer.spec.virtual_weights for layer in program.mac_layers)
    if virtual > MAX_VIRTUAL_WEIGHTS:
        raise CompileError(
            f"the network has {virtual} virtual weights, hwsim simulates at most "
            f"{MAX_VIRTUAL_WEIGHTS}: use a smaller network"
        )
    places = program.placements()
    end = places[-1]
    needs = {
        "WGT_DEPTH": (end.weight_base + end.weight_lines) * config.banks,
        # As many lines hold the logits.
        "CHAN_DEPTH": max(end.channel_base + end.channels, program.classes),
    }
    if config.index_mode == "sram":
        needs["IDX_DEPTH"] = end.index_base + end.index_lines
    if any(isinstance(layer, LutLayer) for layer in program.layers):
        needs["LUT_TABLES"] = 1 + max(place.table for place in places)
    _must_hold(config, needs)


def _must_hold(config: EngineConfig, needs: dict[str, int]) -> None:
    """Refuse what needs more of a memory, by the name of its parameter, than there is."""
    for name, needed in needs.items():
        there = getattr(config, name.lower())
        if needed > there:
            raise CompileError(
                f"the network needs {name} {needed}, configuration {config.name} has {there}: "
                f"{LESS[name]}, or choose a configuration with a larger {name}"
            )


def _check_workspace(program: Program) -> None:
    """What no memory of the engine bounds, because a configuration may be as forged as the rest."""
    for layer in program.layers:
        needed = layer_bytes(layer)
        if needed > MAX_IMAGE_BYTES:
            raise CompileError(
                f"{layer.name}: {layer.in_shape} to {layer.out_shape} needs {needed} bytes of "
                f"working memory for one image, hwsim takes at most {MAX_IMAGE_BYTES}: use smaller "
                "images or fewer channels"
            )
    if image_bytes(program) > MAX_IMAGE_BYTES:
        raise CompileError(
            f"the maps that are alive at once need {image_bytes(program)} bytes for one image, "
            f"hwsim takes at most {MAX_IMAGE_BYTES}: use smaller images or fewer channels"
        )


def _check_instructions(program: Program) -> None:
    for one in program.mac_layers:
        if one.floor and not program.config.skip:
            raise CompileError(f"{one.name}: only an engine that skips has floors")
        if not 0 <= one.floor < MOST_FLOOR:
            raise CompileError(
                f"{one.name}: a floor of {one.floor} cycles is outside 0 … {MOST_FLOOR - 1}"
            )
    for layer, row in zip(program.layers, program.instructions(), strict=False):
        try:
            encode(row)
        except CompileError as error:
            raise CompileError(f"{layer.name}: {error}") from None
