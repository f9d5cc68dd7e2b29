"""Integer steps as layers of the engine: the file's integers in its memories."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.kernel_words import Kernel
from hwsim.importer.limits import elements
from hwsim.importer.step_words import answer, biases, code, each, sum_words, words_of
from hwsim.importer.steps import IntegerStep
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.geometry import MAX_AVERAGE
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Window,
)


def layer_of(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> Layer:
    """The layer that computes a step. CompileError where it does not fit the engine."""
    if step.kind in ("conv", "fc"):
        return _mac(step, config, kernel)
    shape = step.sources[0].shape
    if step.kind == "pool":
        assert step.window is not None
        assert step.target is not None
        window = reaching(step.window, shape)
        return PoolLayer(step.name, shape, step.target.shape, window)
    if step.kind == "average":
        return _mac(summed(step), config, kernel) if too_large(step) else _average(step, config)
    if step.kind == "output":
        words = np.full(shape[0], -code(step.sources[0]), np.int64)
        none = np.zeros(shape[0], np.int32)
        return AffineLayer(
            f"{step.name}/answers",
            shape,
            none,
            none,
            words,
            last=True,
            scale=float(step.ratio[0]),
            hi=config.act_max,
        )
    assert step.target is not None
    if step.kind == "affine":
        zero = code(step.sources[0])
        m, s, b = words_of(step, [zero] * shape[0], [config.act_max] * shape[0], config, kernel)
        return AffineLayer(step.name, shape, m, s, b, last=False, **_written(step))
    if step.kind == "add":
        return _add(step, config, kernel)
    table = step.table() + step.target.codes.shift
    # Codes beyond the file's own are never read; they continue its last one.
    table = np.concatenate([table, np.full(config.act_max + 1 - len(table), table[-1])])
    fields = {k: v for k, v in _written(step).items() if k in ("scale", "zero")}
    return LutLayer(step.name, shape, table.astype(np.int32), **fields)


def too_large(step: IntegerStep) -> bool:
    """Whether a step averages a whole map that no window of the engine spans."""
    window = step.window
    if step.kind != "average" or window is None or max(window.kernel) <= MAX_AVERAGE:
        return False
    return window.kernel == step.sources[0].shape[1:]


def summed(step: IntegerStep) -> IntegerStep:
    """The same average as a fully connected layer whose weights are ones: exact, in one step."""
    channels, height, width = step.sources[0].shape
    elements(step.name, (channels, channels, height, width))
    ones = np.repeat(np.eye(channels, dtype=np.int32), height * width, axis=1)
    ratio = step.ratio * channels if len(step.ratio) == 1 else step.ratio
    return dataclasses.replace(step, kind="average", weights=ones, ratio=ratio)


def summing(step: IntegerStep) -> str:
    """A line about an average that is ``summed``."""
    return (
        f"{step.name}: {step.operator} over more than {MAX_AVERAGE} x {MAX_AVERAGE} pixels is a "
        "fully connected layer of ones here"
    )


def _mac(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> MacLayer:
    weights, source = step.weights, step.sources[0]
    assert weights is not None
    matrix = weights.reshape(len(weights), -1)
    count, fan_in = matrix.shape
    window = reaching(step.window, source.shape) if step.kind == "conv" and step.window else None
    none = np.zeros(count, np.int32)
    steps = np.array([float(one) for one in step.steps])
    if step.target is None:
        # A logit is worth one step of a weight times one of the input, and nothing between.
        steps = np.array([float(step.ratio[0] / source.codes.scale)])
    shape = (count, *(window.out_sides(*source.shape[1:]) if window else (1, 1)))
    layer = MacLayer(
        name=step.name,
        kind="conv" if window else "fc",
        in_shape=source.shape,
        out_shape=shape,
        window=window,
        spec=HashSpec("dense", count, fan_in, count * fan_in),
        weights=_dense(matrix),
        multiplier=none,
        shift=none,
        bias=none.astype(np.int64),
        last=step.target is None,
        weight_scale=steps,
        groups=step.groups,
        scale=1.0,
        hi=config.act_max,
        fill=code(source) if window and any(window.padding) else 0,
    )
    bias = step.bias if step.bias is not None else np.zeros(count, np.int64)
    through = layer.virtual_weights.sum(1, dtype=np.int64) * code(source)
    sums = [int(zero) - int(own) for zero, own in zip(through, bias, strict=True)]
    if step.target is None:
        unit = step.ratio[0]
        words = [answer(step, one, unit) - zero for one, zero in each(step, sums)]
        return _with(layer, bias=biases(step, words), scale=float(unit))
    reach = layer.accumulator_bound(config.act_max).tolist()
    m, s, b = words_of(step, sums, reach, config, kernel)
    return _with(layer, multiplier=m, shift=s, bias=b, **_written(step))


def _average(step: IntegerStep, config: EngineConfig) -> AverageLayer:
    assert step.window is not None
    shape = step.sources[0].shape
    # Of a single window the stride is any: a column at stride 1 is read in one cycle.
    stride = tuple(
        1 if kernel == side else one
        for kernel, one, side in zip(step.window.kernel, step.window.stride, shape[1:], strict=True)
    )
    window = Window(step.window.kernel, (stride[0], stride[1]))
    none = np.zeros(1, np.int32)
    layer = AverageLayer(
        step.name,
        shape,
        (shape[0], *window.out_sides(*shape[1:])),
        window,
        none,
        none,
        none.astype(np.int64),
        last=step.target is None,
        scale=1.0,
        hi=config.act_max,
    )
    zero = code(step.sources[0]) * window.size
    if step.target is None:
        word = answer(step, step.offset[0], step.ratio[0]) - zero
        return _with(layer, bias=biases(step, [word]), scale=float(step.ratio[0]))
    m, s, b = words_of(step, [zero], [config.act_max * window.size], config)
    return _with(layer, multiplier=m, shift=s, bias=b, **_written(step))


def _add(step: IntegerStep, config: EngineConfig, kernel: Kernel | None) -> AddLayer:
    (m, n), s, b = sum_words(step, config, kernel)
    return AddLayer(
        step.name,
        step.sources[0].shape,
        np.array([m, n], np.int32),
        np.array([s], np.int32),
        biases(step, [b]),
        **_written(step),
    )


def reaching(window: Window, shape: tuple[int, int, int]) -> Window:
    """The window with padding at bottom and right only as far as windows reach."""
    top, left, _, _ = window.padding
    height, width = window.out_sides(*shape[1:])
    bottom = max(0, (height - 1) * window.stride[0] + window.kernel[0] - top - shape[1])
    right = max(0, (width - 1) * window.stride[1] + window.kernel[1] - left - shape[2])
    return dataclasses.replace(window, padding=(top, left, bottom, right))


def _written(step: IntegerStep) -> dict[str, Any]:
    assert step.target is not None
    codes = step.target.codes
    low, high = step.bounds
    return dict(
        scale=float(codes.scale),
        zero=codes.zero + codes.shift,
        lo=low + codes.shift,
        hi=high + codes.shift,
    )


def _dense(matrix: NDArray[Any]) -> NDArray[np.int32]:
    """Words in address order: weight (i, j) of (n_out, fan_in) stands at j · n_out + i."""
    return np.ascontiguousarray(matrix.T, np.int32).reshape(-1)


def _with(layer: Any, **fields: Any) -> Any:
    done = dataclasses.replace(layer, **fields)
    if isinstance(layer, MacLayer):
        done.share_table(layer)
    return done
