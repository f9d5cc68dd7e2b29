"""What must hold of a layer's words: each in its range, and no sum can leave its width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
)


def check_words(config: EngineConfig, layer: Layer) -> None:
    """Raise CompileError for a word of a layer that the format does not allow."""
    if isinstance(layer, PoolLayer):
        return
    if isinstance(layer, LutLayer):
        _check_array(layer, "table", 1 << config.act_w, 0, config.act_max)
        return
    if isinstance(layer, MacLayer):
        _check_array(layer, "weights", layer.spec.real_weights, -config.wgt_max, config.wgt_max)
    _check_post(config, layer)


def _check_post(config: EngineConfig, layer: Layer) -> None:
    if isinstance(layer, PoolLayer | LutLayer):
        return
    m_max, s_max = (1 << (config.mult_w - 1)) - 1, config.acc_w + config.mult_w - 1
    b_max = (1 << s_max) - 1
    ones = 1 if isinstance(layer, AverageLayer | AddLayer) else layer.out_shape[0]
    _check_array(layer, "multiplier", 2 if isinstance(layer, AddLayer) else ones, -m_max, m_max)
    _check_array(layer, "shift", ones, 0, s_max)
    _check_array(layer, "bias", ones, -b_max, b_max)
    if not 0 <= layer.lo <= layer.hi <= config.act_max:
        raise CompileError(
            f"{layer.name}: clamps to {layer.lo} … {layer.hi}, outside 0 … {config.act_max}"
        )


def _check_array(layer: Layer, name: str, count: int, low: int, high: int) -> None:
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


def cannot_wrap(config: EngineConfig, layer: Layer, bound: NDArray[np.int64] | None = None) -> bool:
    """Whether no sum of a layer can leave its width, whatever stands in its memories.

    bound: the largest |accumulator| of each output, where it is not that of the layer's weights.
    """
    try:
        _check_post(config, layer)
        check_bounds(config, layer, bound)
    except CompileError:
        return False
    return True


def check_bounds(
    config: EngineConfig, layer: Layer, bound: NDArray[np.int64] | None = None
) -> None:
    """Raise CompileError where a sum of a layer could leave its width; bound: see above."""
    if isinstance(layer, PoolLayer | LutLayer):
        return
    if isinstance(layer, AddLayer):
        _check_sum(config, layer)
        return
    acc_max = (1 << (config.acc_w - 1)) - 1
    post_max = (1 << (config.acc_w + config.mult_w - 1)) - 1
    reaches = layer.accumulator_bound(config.act_max) if bound is None else bound
    rows = zip(reaches.tolist(), layer.multiplier.tolist(), layer.bias.tolist(), strict=True)
    for neuron, (reach, m, b) in enumerate(rows):
        total = reach + abs(b) if layer.last else reach
        # Of the two that add up the larger is to blame.
        if total > acc_max and total - reach > reach:
            raise CompileError(
                f"{layer.name}: neuron {neuron} has a bias of {b * layer.scale:.6g}, "
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


def _check_sum(config: EngineConfig, layer: AddLayer) -> None:
    one, two = (abs(int(m)) for m in layer.multiplier)
    b, width = abs(int(layer.bias[0])), config.acc_w + config.mult_w
    if config.act_max * (one + two) + b >= 1 << (width - 1):
        raise CompileError(
            f"{layer.name}: the addition can overflow the requantizer: {config.act_max} * ({one} "
            f"+ {two}) + {b} exceeds {width} bits"
        )


def _wider(config: EngineConfig) -> str:
    return " or a wider accumulator (acc_w = 48)" if config.acc_w < 48 else ""
