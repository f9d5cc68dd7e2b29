"""The transposes of layers behind their gates: a gradient at the output -> at each source.

Factors are in real units, slope and steps in one, because each alone may leave the range of float32
where their product does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.flows import Bits, Flow
from hwsim.engine.input_gradient import InputGradient, Precision
from hwsim.engine.stages import slope
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    LutLayer,
    MacLayer,
    PoolLayer,
    is_last,
)
from hwsim.program.program import Program
from hwsim.units import average as average_unit
from hwsim.units import pool as pool_unit

F32 = NDArray[np.float32]
#: Called with a gradient (N, OH, OW, C) and what the stage kept of the forward pass.
Pull = Callable[[Any, Any], Sequence[F32 | Bits | Flow]]


def counted(program: Program, scale: float) -> float:
    """What a step worth ``scale`` counts for here: itself, but 2^-A where it is that of pixels.

    So the engine sees pixels in [0, 1]; the factor to 1/(2^A − 1) comes last, and no product before
    it is rounded otherwise.
    """
    config = program.config
    pixels = program.input.scale == Fraction(1, config.act_max)
    return 2.0**-config.act_w if pixels and scale == float(program.input.scale) else scale


def pull_of(
    program: Program, number: int, signed: bool = True, precision: Precision = "float32"
) -> Pull:
    """The transpose of a layer of a program, by its number there.

    signed: as it is; otherwise with the size of every factor, for sums of the sizes of all terms.
    precision: of the products of convolutions.
    """
    layer = program.layers[number]
    if isinstance(layer, PoolLayer):
        return _MaxPool(layer)
    factors = layer_factors(program, number)
    if not signed:
        factors = [np.abs(each) for each in factors]
    if isinstance(layer, MacLayer):
        return Product(InputGradient(layer, factors[0], signed, precision))
    scaled = [each.astype(np.float32) for each in factors]
    if isinstance(layer, LutLayer):
        return lambda flow, codes: (flow * scaled[0][codes],)
    if isinstance(layer, AverageLayer):
        return _Average(layer, scaled[0][0])
    if isinstance(layer, AddLayer):
        return lambda flow, _: [Flow(flow, each[0]) for each in scaled]
    return lambda flow, _: tuple(flow * each for each in scaled)


def layer_factors(program: Program, number: int) -> list[NDArray[np.float64]]:
    """For each source, what a step of a sum (of a lut: at each code) does to the output.

    In real units, by output channel; an add has one number a source, an average one. number: of
    the layer, not the layer: one object may stand in a program twice, and read maps of two steps.
    """
    layer = program.layers[number]
    if isinstance(layer, PoolLayer):
        return [np.ones(1)]
    numbers = program.numbers[number]
    # Logits are what the user gets, whatever their step.
    scale = layer.scale if is_last(layer) else counted(program, layer.scale)
    ratio = [scale / counted(program, found.scale) for found in numbers]
    if isinstance(layer, LutLayer):
        return [lut_slopes(layer) * ratio[0]]
    own = np.ones(len(layer.multiplier)) if is_last(layer) else slope(layer)
    if isinstance(layer, AddLayer):
        return [own[:1] * ratio[0], own[1:] * ratio[1]]
    assert isinstance(layer, MacLayer | AverageLayer | AffineLayer)
    return [own * ratio[0]]


def lut_slopes(layer: LutLayer) -> NDArray[np.float64]:
    """The straight-through slope at each code: the table's own difference around it.

    Central, one-sided at the ends; in codes by codes, float64 (2^ACT_W,).
    """
    return np.gradient(layer.table.astype(np.float64))


class Product:
    """That of a layer with weights."""

    def __init__(self, product: InputGradient) -> None:
        self._product = product

    def takes_bits(self, shape: tuple[int, ...]) -> bool:
        """Whether a gradient of this shape may come as bits of bfloat16; it gives them, too."""
        return self._product.takes_bits(shape)

    def __call__(self, flow: F32 | Bits, _: Any) -> tuple[F32 | Bits]:
        return (self._product(flow),)


class _MaxPool:
    """Each gradient to the winner of its window."""

    def __init__(self, layer: PoolLayer) -> None:
        self._layer = layer

    def __call__(self, flow: F32, winner: Any) -> tuple[F32, ...]:
        channels, height, width = self._layer.in_shape
        window = self._layer.window
        out = np.zeros((len(flow), height, width, channels), np.float32)
        corner = window.padding[:2]
        pool_unit.max_pool_gradient(flow, winner, window.kernel, window.stride, corner, out)
        return (out,)


class _Average:
    """Each gradient to all places of its window."""

    def __init__(self, layer: AverageLayer, factor: np.float32) -> None:
        self._layer, self._factor = layer, factor

    def __call__(self, flow: F32, _: Any) -> tuple[F32, ...]:
        channels, height, width = self._layer.in_shape
        window = self._layer.window
        out = np.zeros((len(flow), height, width, channels), np.float32)
        scaled = flow * self._factor
        average_unit.window_sums_gradient(scaled, window.kernel, window.stride, out)
        return (out,)
