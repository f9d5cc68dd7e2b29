"""Layers without weights: averages, affine layers, sums, tables, max-pools."""

from __future__ import annotations

import numpy as np
import torch

from hwsim.compiler.constants import (
    constants,
    int64,
    over,
    times,
    window_of,
    with_fields,
    written,
)
from hwsim.compiler.requantize import requantize_sum, rounded
from hwsim.compiler.scales import ExactNumbers
from hwsim.compiler.stages import AddStage, AffineStage, AverageStage, LutStage, PoolStage
from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    LutLayer,
    PoolLayer,
    Window,
)

#: Ranges of the two maps of a sum may differ by less than this factor.
MAX_RANGES = 1 << 20


def average_layer(
    stage: AverageStage, read: ExactNumbers, to: ExactNumbers | None, config: EngineConfig
) -> AverageLayer:
    """The average that a stage is; read, to: of the maps that it reads and writes."""
    top = config.act_max
    # Of a single window the stride is any: a column at stride 1 is read in one cycle.
    steps = zip(stage.kernel, stage.stride, stage.sources[0].shape[1:], strict=True)
    down, right = (1 if kernel == side else stride for kernel, stride, side in steps)
    window = Window(stage.kernel, (down, right))
    in_shape = stage.sources[0].shape
    none = np.zeros(1, np.int32)
    layer = AverageLayer(
        name=stage.path, in_shape=in_shape,
        out_shape=(in_shape[0], *window.out_sides(*in_shape[1:])), window=window,
        multiplier=none, shift=none, bias=none.astype(np.int64), last=stage.last, scale=1.0,
        hi=top,
    )  # fmt: skip
    zero_sum = read.zero * window.size
    if stage.last:
        step = read.scale / window.size
        word = rounded(float(stage.post.offset[0]), step) - zero_sum
        return with_fields(layer, bias=int64(stage.path, [word]), scale=float(step))
    assert to is not None
    m, s, b = constants(
        stage.path, stage.post.scale * times(1.0, read.scale), stage.post.offset,
        [zero_sum], [top * window.size], to, config,
    )  # fmt: skip
    return with_fields(layer, multiplier=m, shift=s, bias=b, **written(to, config, stage.post))


def affine_layer(
    stage: AffineStage, read: ExactNumbers, to: ExactNumbers | None, config: EngineConfig
) -> AffineLayer:
    """The affine layer that a stage is."""
    top = config.act_max
    shape = stage.sources[0].shape
    none = np.zeros(shape[0], np.int32)
    layer = AffineLayer(
        name=stage.path, in_shape=shape, multiplier=none, shift=none,
        bias=none.astype(np.int64), last=stage.last, scale=1.0, hi=top,
    )  # fmt: skip
    if stage.last:
        words = np.full(shape[0], -read.zero, np.int64)
        return with_fields(layer, bias=words, scale=float(read.scale))
    assert to is not None
    m, s, b = constants(
        stage.path, stage.post.scale * times(1.0, read.scale), stage.post.offset,
        [read.zero] * shape[0], [top] * shape[0], to, config,
    )  # fmt: skip
    return with_fields(layer, multiplier=m, shift=s, bias=b, **written(to, config, stage.post))


def add_layer(
    stage: AddStage, read: tuple[ExactNumbers, ExactNumbers], to: ExactNumbers, config: EngineConfig
) -> AddLayer:
    """The sum that a stage is. Raises CompileError for ranges that differ too much."""
    one, two = read
    ranges = [abs(gain) * float(one.scale) for gain, one in zip(stage.gains, read, strict=True)]
    if max(ranges) >= MAX_RANGES * min(ranges):
        raise CompileError(
            f"{stage.path}: adds maps whose ranges differ by a factor of "
            f"{max(ranges) / min(ranges) if min(ranges) else float('inf'):.3g}: the engine adds "
            "maps of comparable range: scale them alike, or remove the smaller"
        )
    gain = float(stage.post.scale[0])
    ratios = [
        float(over(np.array(g * gain * float(one.scale)), to.scale))
        for g, one in zip(stage.gains, read, strict=True)
    ]
    offset = float(stage.post.offset[0])
    found = requantize_sum(
        (ratios[0], ratios[1]), offset, to.scale, (one.zero, two.zero, to.zero), config
    )
    if found is None:
        raise CompileError(
            f"{stage.path}: scales its maps by {ratios[0]:.3g} and {ratios[1]:.3g} and adds "
            f"{offset:.3g}, which does not fit a {config.mult_w}-bit multiplier: check "
            "the constants and the calibration images"
        )
    (m, n), s, b = found
    return AddLayer(
        stage.path, stage.sources[0].shape, np.array([m, n], np.int32),
        np.array([s], np.int32), int64(stage.path, [b]), **written(to, config, stage.post),
    )  # fmt: skip


def lut_layer(
    stage: LutStage, read: ExactNumbers, to: ExactNumbers, config: EngineConfig
) -> LutLayer:
    """The table that a stage is. Raises CompileError for more than 8 bits."""
    if config.act_w > 8:
        raise CompileError(
            f"{stage.path}: needs a table, which activations of up to 8 bits have, "
            f"configuration {config.name} has {config.act_w}: use at most 8 bits, or "
            "ReLU"
        )
    codes = np.arange(config.act_max + 1) - read.zero
    values = torch.from_numpy((codes * float(read.scale)).astype(np.float32))
    with torch.no_grad():
        found = stage.function(values).double().tolist()
    if not np.isfinite(found).all():
        raise CompileError(
            f"{stage.path}: gives NaN or infinity within the range of its map: use a function "
            "that is finite there"
        )
    words = [to.code(value, config.act_max) for value in found]
    return LutLayer(
        stage.path, stage.sources[0].shape, np.array(words, np.int32),
        **written(to, config),
    )  # fmt: skip


def pool_layer(stage: PoolStage) -> PoolLayer:
    """The max-pool that a stage is."""
    assert stage.target is not None
    window = window_of(stage.kernel, stage.stride, stage.sides, stage.sources[0].shape)
    return PoolLayer(stage.path, stage.sources[0].shape, stage.target.shape, window)
