"""What one step of weights per layer costs its channels, and when that deserves a warning.

Channels of one layer may differ by orders of magnitude where batch norm evens them out behind it:
the function is the same, but the small ones keep few bits or none. Hidden dense layers have a step
for every row, and lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.compiler.operations import F64
from hwsim.compiler.stages import MacStage
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer

#: Decibels of output below which rounding shows in the answers …
POOR = 20.0
#: … and by how many it must lie below that of the weights themselves: an even layer with few bits
#: is as good as its bits allow, and no unevenness is to blame.
UNEVEN = 6.0
#: Weights that are compared at once, which bounds memory.
ROW_WEIGHTS = 1 << 22


class UnevenChannelsWarning(UserWarning):
    """Channels of one layer differ so much that its one binary point loses some of them."""


@dataclass(frozen=True)
class ChannelLoss:
    """What rounding took from a layer.

    dead: channels whose weights all became 0 and that would have moved their output by a step;
    channels: all of them. output_db, weights_db: signal-to-noise ratio of the rounded weights,
    each channel weighted as batch norm scales it, and unweighted.
    """

    dead: int
    channels: int
    output_db: float
    weights_db: float

    @property
    def is_uneven(self) -> bool:
        """Whether the answers suffer from channels of different size."""
        poor = self.output_db < POOR and self.output_db < self.weights_db - UNEVEN
        return self.dead > 0 or poor

    def told(self, name: str) -> str:
        """One line for the user: what was lost, and what helps."""
        return (
            f"{name}: {self.dead} of {self.channels} channels rounded to zero, and its "
            f"signal-to-noise ratio is {self.output_db:.1f} dB: one binary point serves channels "
            "of very different size: give the weights more bits (wgt_w)"
        )


def channel_loss(stage: MacStage, layer: MacLayer, config: EngineConfig) -> ChannelLoss:
    """Compare the weights of a stage with the words that ``layer`` has for them.

    Parameters
    ----------
    stage : MacStage
        The float layer, with what batch norm does behind it.
    layer : MacLayer
        The same layer, quantized.
    config : EngineConfig
        Its engine.

    Returns
    -------
    ChannelLoss
        Ratios are infinite where nothing is lost, and where there is nothing to lose.
    """
    scale = _carried(stage, layer) if layer.last else 1.0
    noise, signal, reach = np.zeros(layer.n_out), np.zeros(layer.n_out), np.zeros(layer.n_out)
    for rows, real, words in _rows(stage, layer):
        noise[rows] = ((words / scale - real) ** 2).sum(1)
        signal[rows] = (real**2).sum(1)
        reach[rows] = np.maximum(np.maximum(real, 0).sum(1), np.maximum(-real, 0).sum(1))
    lost = (layer.accumulator_bound(1) == 0) & (signal > 0)
    # What moves its output by less than half a step is constant on the engine with any weights.
    step = 0.0 if layer.last else layer.scale
    seen = config.act_max * reach * np.abs(stage.post.scale) >= step / 2
    gain = stage.post.scale**2
    return ChannelLoss(
        int((lost & seen).sum()), layer.n_out, _decibels(gain * signal, gain * noise),
        _decibels(signal, noise),
    )  # fmt: skip


def _rows(stage: MacStage, layer: MacLayer) -> Iterator[tuple[slice, F64, F64]]:
    """Some rows at a time, the float weights and what the words are worth."""
    step = max(1, ROW_WEIGHTS // layer.fan_in)
    address, negative = layer.hash_table
    for first in range(0, layer.n_out, step):
        rows = slice(first, first + step)
        real = stage.mac.real[address[rows]]
        steps = np.broadcast_to(layer.weight_scale, (layer.n_out,))[rows]
        words = layer.virtual_weights[rows] * steps[:, None]
        yield rows, np.where(negative[rows], -real, real), words


def _carried(stage: MacStage, layer: MacLayer) -> float:
    """The factor in the words of a last layer: a network of one carries the input gain there."""
    parts = [((words * real).sum(), (real**2).sum()) for _, real, words in _rows(stage, layer)]
    both, square = np.sum(parts, axis=0)
    return float(both / square) if both > 0 else 1.0


def _decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    total, lost = float(signal.sum()), float(noise.sum())
    return 10 * math.log10(total / lost) if total > 0 and lost > 0 else math.inf
