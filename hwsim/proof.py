"""What must hold before a Program may run: shapes chain, words fit, nothing can overflow.

The compiler, the image loader and every rewrite call ``check``; whoever passes it may use int64
and exact floating-point chunks without further thought.
"""

from __future__ import annotations

import math

import numpy as np

from hwsim.errors import CompileError
from hwsim.program import MacLayer, PoolLayer, Program, Shape, encode


def check(program: Program) -> None:
    """Raise CompileError, naming the layer, if the program cannot run exactly on its engine."""
    if not program.mac_layers:
        raise CompileError("the network has no Linear or Conv2d layer")
    shape = program.input_shape
    frac: int | None = None
    for position, layer in enumerate(program.layers):
        if layer.in_shape != shape:
            raise CompileError(
                f"{layer.name}: reads {layer.in_shape} but its input has shape {shape}"
            )
        _check_geometry(program, layer)
        if isinstance(layer, MacLayer):
            if layer.last != (position == len(program.layers) - 1):
                raise CompileError(f"{layer.name}: only the final layer may produce logits")
            if frac is not None and layer.fa_in != frac:
                raise CompileError(f"{layer.name}: binary point {layer.fa_in} follows {frac}")
            _check_words(program, layer)
            _check_bounds(program, layer)
            frac = layer.fa_out
        shape = layer.out_shape
    if not isinstance(program.layers[-1], MacLayer):
        raise CompileError("the network must end in a Linear layer that produces the logits")
    _check_capacity(program)


def _maps_fit(program: Program, name: str, shape: Shape) -> None:
    channels, height, width = shape
    lines = channels * height * math.ceil(width / program.config.cols)
    if lines > program.config.act_depth:
        raise CompileError(
            f"{name}: feature map {shape} needs {lines} lines of the activation buffer, "
            f"configuration {program.config.name} has {program.config.act_depth}: "
            "choose a larger configuration"
        )


def _check_geometry(program: Program, layer: MacLayer | PoolLayer) -> None:
    c, h, w = layer.in_shape
    k, s = layer.kernel, layer.stride
    if min(*layer.in_shape, *layer.out_shape) < 1:
        raise CompileError(f"{layer.name}: empty feature map {layer.in_shape} -> {layer.out_shape}")
    _maps_fit(program, layer.name, layer.in_shape)
    _maps_fit(program, layer.name, layer.out_shape)
    if isinstance(layer, PoolLayer):
        if not (1 <= k <= 3 and 1 <= s <= 15):
            raise CompileError(f"{layer.name}: pooling kernel must be 1 to 3, got {k}, stride {s}")
        expected = (c, (h - k) // s + 1, (w - k) // s + 1)
    elif layer.kind == "fc":
        if layer.fan_in != c * h * w:
            raise CompileError(
                f"{layer.name}: fan-in {layer.fan_in} does not match {layer.in_shape}"
            )
        expected = (layer.n_out, 1, 1)
    else:
        if not (1 <= k <= 7 and 1 <= s <= 2 and 0 <= layer.padding < k):
            raise CompileError(
                f"{layer.name}: kernel 1 to 7, stride 1 to 2 and padding below the kernel are "
                f"supported, got kernel {k}, stride {s}, padding {layer.padding}"
            )
        if layer.fan_in != c * k * k:
            raise CompileError(
                f"{layer.name}: fan-in {layer.fan_in} does not match {layer.in_shape}"
            )
        if layer.fan_in > program.config.tile_depth:
            raise CompileError(
                f"{layer.name}: fan-in {layer.fan_in} exceeds TILE_DEPTH "
                f"{program.config.tile_depth} of configuration {program.config.name}: "
                "choose a larger configuration or fewer input channels"
            )
        p = layer.padding
        expected = (layer.n_out, (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1)
        if layer.last:
            raise CompileError(f"{layer.name}: the last layer must be fully connected")
    if layer.out_shape != expected:
        raise CompileError(f"{layer.name}: output shape {layer.out_shape}, expected {expected}")


def _check_words(program: Program, layer: MacLayer) -> None:
    config = program.config
    if layer.weights.shape != (layer.spec.real_weights,):
        raise CompileError(
            f"{layer.name}: {layer.weights.size} ROM words for {layer.spec.real_weights}"
        )
    if int(np.abs(layer.weights.astype(np.int64)).max(initial=0)) > config.wgt_max:
        raise CompileError(f"{layer.name}: a weight exceeds ±{config.wgt_max}")
    for name in ("multiplier", "shift", "bias"):
        if getattr(layer, name).shape != (layer.n_out,):
            raise CompileError(f"{layer.name}: {name} must have one entry per output channel")
    if int(np.abs(layer.multiplier.astype(np.int64)).max()) >= 1 << (config.mult_w - 1):
        raise CompileError(f"{layer.name}: a multiplier does not fit {config.mult_w} signed bits")
    if layer.shift.min() < 0 or layer.shift.max() > config.acc_w + config.mult_w - 1:
        raise CompileError(
            f"{layer.name}: a shift is outside 0 … {config.acc_w + config.mult_w - 1}"
        )
    if layer.last and layer.fa_out != layer.fa_in + layer.fw:
        raise CompileError(f"{layer.name}: logits have binary point fa + fw")
    if not all(-64 <= f <= 64 for f in (layer.fa_in, layer.fa_out, layer.fw)):
        raise CompileError(
            f"{layer.name}: binary points fa={layer.fa_in}, fw={layer.fw} are outside ±64: "
            "the network's values are too large or too small for fixed point"
        )


def _check_bounds(program: Program, layer: MacLayer) -> None:
    config = program.config
    bound = layer.accumulator_bound(config.act_max)
    # Python integers: |bias| + bound may itself exceed int64 for a hostile image.
    for neuron, (acc, m, b) in enumerate(
        zip(bound.tolist(), layer.multiplier.tolist(), layer.bias.tolist(), strict=True)
    ):
        total = acc + abs(b) if layer.last else acc
        if total >= 1 << (config.acc_w - 1):
            raise CompileError(
                f"{layer.name}: neuron {neuron} can reach an accumulator of {total}, beyond "
                f"ACC_W = {config.acc_w} bits (limit {(1 << (config.acc_w - 1)) - 1}): "
                "use fewer bits, a smaller fan-in or a wider accumulator"
            )
        if not layer.last and acc * abs(m) + abs(b) >= 1 << (config.acc_w + config.mult_w - 1):
            raise CompileError(
                f"{layer.name}: channel {neuron} can overflow the requantizer: "
                f"{acc} * {m} + {b} beyond {config.acc_w + config.mult_w} bits"
            )


def _check_capacity(program: Program) -> None:
    config = program.config
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
                "choose a larger configuration or a higher compression"
            )
    for row in program.instructions():
        encode(row)
