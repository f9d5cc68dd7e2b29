"""Layers with weights: words, steps, biases."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.compiler.constants import (
    constants,
    exponent,
    int64,
    times,
    window_of,
    with_fields,
    written,
)
from hwsim.compiler.operations import F64
from hwsim.compiler.requantize import rounded
from hwsim.compiler.scales import ExactNumbers, row_steps
from hwsim.compiler.stages import MacStage
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.fixedpoint import quantize, weight_frac
from hwsim.numbers.hashing import HashSpec, table
from hwsim.program.layers import MacLayer


def mac_layer(
    stage: MacStage,
    read: ExactNumbers,
    to: ExactNumbers | None,
    config: EngineConfig,
    like: MacLayer | None,
    one_point: bool,
) -> MacLayer:
    """The layer with weights that a stage is.

    read, to: of the maps that it reads and writes; to is None for the last layer. like: the same
    layer with other weights, whose steps are taken. one_point: whether dense rows share one.
    """
    mac, spec = stage.mac, stage.mac.spec
    gained = times(stage.gain, read.scale)
    # Logits are not rescaled, so a network of one layer carries the input gain in its weights.
    unit = 2.0 ** exponent(read.scale)
    carried = gained / unit if stage.last else 1.0
    common = spec.scheme != "dense" or stage.last or one_point
    weights, steps = _words(stage, mac.real * carried, unit, config, like, common)
    none = np.zeros(spec.n_out, np.int32)
    in_shape = stage.sources[0].shape
    window = window_of(mac.kernel, mac.stride, mac.sides, in_shape) if mac.conv else None
    shape = (spec.n_out, 1, 1) if stage.target is None else stage.target.shape
    if stage.target is None and window is not None:
        shape = (spec.n_out, *window.out_sides(*in_shape[1:]))
    layer = MacLayer(
        name=stage.path, kind="conv" if mac.conv else "fc", in_shape=in_shape,
        out_shape=shape, window=window, spec=spec, weights=weights, multiplier=none,
        shift=none, bias=none.astype(np.int64), last=stage.last, weight_scale=steps,
        groups=mac.groups, fill=_fill(stage, read, config), scale=1.0, hi=config.act_max,
    )  # fmt: skip
    if like is not None:
        layer.share_table(like)
    bias = mac.bias
    rows = np.repeat(np.arange(mac.groups), spec.n_out // mac.groups)
    if np.any(stage.shifts):
        # Of the quantized weights, so that an input equal to the mean still cancels exactly.
        through = (layer.virtual_weights * stage.shifts[rows]).sum(1)
        if mac.groups == 1:
            through = layer.virtual_weights @ stage.shifts[0]
        bias = bias + through * steps / (carried or 1.0)
    if spec.scheme == "dense" and not one_point:
        bias = bias - _expected_error(stage, layer, steps / (carried or 1.0))
    sums = _zero_sums(layer, read.zero)
    if stage.last:
        step = float(steps[0]) * unit * float(stage.post.scale[0])
        return _last(stage, layer, bias, sums, step, read)
    assert to is not None
    m, s, b = constants(
        stage.path, stage.post.scale * gained * steps,
        bias * stage.post.scale + stage.post.offset, sums,
        layer.accumulator_bound(config.act_max).tolist(), to, config,
    )  # fmt: skip
    return with_fields(layer, multiplier=m, shift=s, bias=b, **written(to, config, stage.post))


def _words(
    stage: MacStage,
    real: F64,
    unit: float,
    config: EngineConfig,
    like: MacLayer | None,
    common: bool,
) -> tuple[NDArray[np.int32], F64]:
    """Words of the weights, and what a step of them is worth: (1,) or, row by row, (n_out,).

    common: whether all rows have one.
    """
    spec, limit = stage.mac.spec, config.wgt_max
    if common:
        if like is None:
            frac = weight_frac(real, _counts(spec), limit)
        elif stage.last:
            frac = -round(np.log2(like.scale / unit / float(stage.post.scale[0])))
        else:
            frac = like.fw
        return quantize(real, frac, limit).astype(np.int32), np.array([2.0**-frac])
    matrix = real.reshape(spec.fan_in, spec.n_out)
    steps = like.weight_scale if like is not None else row_steps(matrix.T, limit)
    return quantize(matrix / steps, 0, limit).astype(np.int32).reshape(-1), steps


def _fill(stage: MacStage, read: ExactNumbers, config: EngineConfig) -> int:
    if not stage.mac.padded:
        return 0
    return read.code(stage.fill, config.act_max)


def _zero_sums(layer: MacLayer, zero: int) -> list[int]:
    """What the zero point of the input adds to each row's accumulator."""
    if not zero:
        return [0] * layer.n_out
    total: list[int] = layer.virtual_weights.sum(1, dtype=np.int64).tolist()
    return [zero * one for one in total]


def _last(
    stage: MacStage, layer: MacLayer, bias: F64, sums: list[int], step: float, read: ExactNumbers
) -> MacLayer:
    """The layer that hands out logits of this step."""
    post = stage.post
    values = (bias * post.scale + post.offset).tolist()
    words = [
        rounded(value, Fraction(step)) - zero for value, zero in zip(values, sums, strict=True)
    ]
    worth = np.array([step / float(read.scale)])
    return with_fields(layer, bias=int64(stage.path, words), weight_scale=worth, scale=step)


def _expected_error(stage: MacStage, layer: MacLayer, steps: F64) -> F64:
    """What rounding the weights adds to each output of an average image: float64 (n_out,).

    Of dense layers the bias takes it back (Nagel et al. 2019, section 4.2). steps: of words where
    they are worth the weights of the module.
    """
    mac, seen = stage.mac, stage.mean
    assert seen is not None
    if stage.columns is not None:
        dead = stage.columns == 0
        seen = np.where(dead, 0.0, seen / np.where(dead, 1.0, stage.columns))
    rows = np.repeat(np.arange(mac.groups), mac.spec.n_out // mac.groups)
    real = mac.real.reshape(mac.spec.fan_in, mac.spec.n_out).T
    if mac.groups == 1:
        return (layer.virtual_weights @ seen[0]) * steps - real @ seen[0]
    return (layer.virtual_weights * seen[rows]).sum(1) * steps - (real * seen[rows]).sum(1)


def _counts(spec: HashSpec) -> NDArray[np.int64]:
    address, _ = table(spec)
    return np.bincount(address.reshape(-1), minlength=spec.real_weights)
