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
from hwsim.program.program import MacLayer, PoolLayer, Program, Shape, encode
from hwsim.program.workspace import MAX_IMAGE_BYTES, layer_bytes

#: Virtual weights of a network: decoding them takes about 20 bytes each.
MAX_VIRTUAL_WEIGHTS = 1 << 27
#: Sides and channel counts are 16-bit fields of an instruction.
MAX_SIDE = (1 << 16) - 1
#: What makes a network need less of a memory.
LESS = {
    "WGT_DEPTH": "let layers share weights (hwsim.models.layers.compress, or a lower rate)",
    "CHAN_DEPTH": "use fewer output channels",
    "PROG_DEPTH": "use fewer layers",
    "IDX_DEPTH": 'set index_mode = "hash", which computes addresses instead of storing them',
    "ACT_DEPTH": "use smaller images, or stride and pool earlier",
    "TILE_DEPTH": "use fewer input channels or a smaller kernel",
}


def check(program: Program) -> None:
    """Raise CompileError, naming the layer, if the program cannot run exactly on its engine."""
    if not program.mac_layers:
        raise CompileError("the network has no Linear or Conv2d layer: there is nothing to run")
    if not isinstance(program.layers[-1], MacLayer):
        raise CompileError("the network must end in a Linear layer that produces the logits")
    shape, frac = program.input_shape, program.config.act_w
    for position, layer in enumerate(program.layers):
        if layer.in_shape != shape:
            raise CompileError(
                f"{layer.name}: reads {layer.in_shape} but its input has shape {shape}"
            )
        _check_geometry(program.config, layer)
        if isinstance(layer, MacLayer):
            _check_binary_points(layer, frac)
            if layer.last != (position == len(program.layers) - 1):
                raise CompileError(f"{layer.name}: only the final layer may produce logits")
            frac = layer.fa_out
        shape = layer.out_shape
    _check_capacity(program)
    _check_workspace(program)
    for layer in program.mac_layers:
        _check_words(program.config, layer)
        _check_bounds(program.config, layer)


# --- geometry -----------------------------------------------------------------------------------


def _check_geometry(config: EngineConfig, layer: MacLayer | PoolLayer) -> None:
    for shape in (layer.in_shape, layer.out_shape):
        _check_map(config, layer.name, shape)
    expected = _expected_pool(layer) if isinstance(layer, PoolLayer) else _expected(config, layer)
    if layer.out_shape != expected:
        raise CompileError(f"{layer.name}: output shape {layer.out_shape}, expected {expected}")


def _check_map(config: EngineConfig, name: str, shape: Shape) -> None:
    whole = isinstance(shape, tuple) and all(isinstance(side, int | np.integer) for side in shape)
    if not whole or len(shape) != 3:
        raise CompileError(f"{name}: {shape} is not a shape (channels, height, width)")
    channels, height, width = (int(side) for side in shape)
    if min(channels, height, width) < 1:
        raise CompileError(
            f"{name}: the feature map {shape} is empty: use larger images, or less pooling"
        )
    if max(channels, height, width) > MAX_SIDE:
        raise CompileError(f"{name}: the feature map {shape} has a side beyond {MAX_SIDE}")
    lines = channels * height * math.ceil(width / config.cols)
    if lines > config.act_depth:
        raise CompileError(
            f"{name}: feature map {shape} needs {lines} lines of the activation buffer, "
            f"configuration {config.name} has {config.act_depth}: {_helps('ACT_DEPTH')}"
        )


def _expected_pool(layer: PoolLayer) -> Shape:
    (c, h, w), k, s = layer.in_shape, layer.kernel, layer.stride
    if not (1 <= k <= 3 and 1 <= s <= 15):
        raise CompileError(
            f"{layer.name}: pooling kernel 1 to 3 and stride 1 to 15 are supported, got kernel "
            f"{k}, stride {s}"
        )
    return c, (h - k) // s + 1, (w - k) // s + 1


def _expected(config: EngineConfig, layer: MacLayer) -> Shape:
    """The output shape that follows from a layer's input and geometry, both of which it checks."""
    (c, h, w), k, s, p = layer.in_shape, layer.kernel, layer.stride, layer.padding
    fan_in = c * h * w
    if layer.kind == "conv":
        if not (1 <= k <= 7 and 1 <= s <= 2 and 0 <= p < k):
            raise CompileError(
                f"{layer.name}: kernel 1 to 7, stride 1 to 2 and padding below the kernel are "
                f"supported, got kernel {k}, stride {s}, padding {p}"
            )
        fan_in = c * k * k
    if layer.fan_in != fan_in:
        raise CompileError(
            f"{layer.name}: fan-in {layer.fan_in} does not match its input {layer.in_shape}"
        )
    if layer.kind != "conv":
        return layer.n_out, 1, 1
    if fan_in > config.tile_depth:
        raise CompileError(
            f"{layer.name}: fan-in {fan_in} exceeds TILE_DEPTH {config.tile_depth} of "
            f"configuration {config.name}: {_helps('TILE_DEPTH')}"
        )
    if layer.last:
        raise CompileError(f"{layer.name}: the last layer must be fully connected")
    return layer.n_out, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1


def _check_binary_points(layer: MacLayer, incoming: int) -> None:
    if layer.fa_in != incoming:
        raise CompileError(f"{layer.name}: binary point {layer.fa_in} follows {incoming}")
    if layer.last and layer.fa_out != layer.fa_in + layer.fw:
        raise CompileError(
            f"{layer.name}: logits have binary point fa + fw = {layer.fa_in + layer.fw}, not "
            f"{layer.fa_out}"
        )
    if not all(-64 <= f <= 64 for f in (layer.fa_in, layer.fa_out, layer.fw)):
        raise CompileError(
            f"{layer.name}: binary points fa={layer.fa_in}, fw={layer.fw}, then {layer.fa_out} are "
            "outside ±64: the network's values are too large or too small for fixed point"
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
    end = program.placements()[-1]
    needs = {
        "WGT_DEPTH": ((end.weight_base + end.weight_lines) * config.banks, config.wgt_depth),
        "CHAN_DEPTH": (end.channel_base + end.channels, config.chan_depth),
        "PROG_DEPTH": (len(program.layers) + 1, config.prog_depth),
    }
    if config.index_mode == "sram":
        needs["IDX_DEPTH"] = (end.index_base + end.index_lines, config.idx_depth)
    for name, (needed, there) in needs.items():
        if needed > there:
            raise CompileError(
                f"the network needs {name} {needed}, configuration {config.name} has {there}: "
                f"{_helps(name)}"
            )
    for row in program.instructions():
        encode(row)


def _helps(memory: str) -> str:
    """The two things that help where a memory is too small."""
    return f"{LESS[memory]}, or choose a configuration with a larger {memory}"


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


# --- words and sums -----------------------------------------------------------------------------


def _check_words(config: EngineConfig, layer: MacLayer) -> None:
    m_max, s_max = (1 << (config.mult_w - 1)) - 1, config.acc_w + config.mult_w - 1
    b_max = (1 << s_max) - 1
    for name, count, low, high in (
        ("weights", layer.spec.real_weights, -config.wgt_max, config.wgt_max),
        ("multiplier", layer.n_out, -m_max, m_max),
        ("shift", layer.n_out, 0, s_max),
        ("bias", layer.n_out, -b_max, b_max),
    ):
        words = getattr(layer, name)
        if not isinstance(words, np.ndarray) or words.shape != (count,):
            raise CompileError(
                f"{layer.name}: {name} must be {count} words, got shape {np.shape(words)}"
            )
        if not np.issubdtype(words.dtype, np.signedinteger):
            raise CompileError(f"{layer.name}: {name} must be signed integers, got {words.dtype}")
        # Python integers: |−2^63| has no int64.
        for word in (int(words.min()), int(words.max())):
            if not low <= word <= high:
                raise CompileError(f"{layer.name}: {name} holds {word}, outside {low} … {high}")


def _check_bounds(config: EngineConfig, layer: MacLayer) -> None:
    acc_max = (1 << (config.acc_w - 1)) - 1
    post_max = (1 << (config.acc_w + config.mult_w - 1)) - 1
    bound = layer.accumulator_bound(config.act_max).tolist()
    rows = zip(bound, layer.multiplier.tolist(), layer.bias.tolist(), strict=True)
    for neuron, (reach, m, b) in enumerate(rows):
        total = reach + abs(b) if layer.last else reach
        # Of the two that add up the larger is to blame.
        if total > acc_max and total - reach > reach:
            raise CompileError(
                f"{layer.name}: neuron {neuron} has a bias of {math.ldexp(b, -layer.fa_out):.6g}, "
                f"{abs(b) / max(reach, 1):.3g} times what its weights can add: {total} is beyond "
                f"ACC_W = {config.acc_w} bits (limit {acc_max}): use smaller biases (the same "
                f"number off all of them changes no class){_wider(config)}"
            )
        if total > acc_max:
            raise CompileError(
                f"{layer.name}: neuron {neuron} can reach an accumulator of {total}, beyond ACC_W "
                f"= {config.acc_w} bits (limit {acc_max}): use fewer bits, a smaller fan-in"
                f"{_wider(config)}"
            )
        if not layer.last and reach * abs(m) + abs(b) > post_max:
            raise CompileError(
                f"{layer.name}: channel {neuron} can overflow the requantizer: {reach} * {m} + {b} "
                f"exceeds {config.acc_w + config.mult_w} bits"
            )


def _wider(config: EngineConfig) -> str:
    return " or a wider accumulator (acc_w = 48)" if config.acc_w < 48 else ""
