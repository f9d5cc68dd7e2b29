"""Some weights of a layer changed: what that adds to sums that are known, without a library.

A flipped bit moves few virtual weights, so that the sums of a batch follow from the old ones at the
price of those few, exactly, and no kernel has to be packed and proved for a layer that may be given
up again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.engine.forms import even, sides, surround
from hwsim.engine.kernels import Kernel
from hwsim.engine.stages import Stage
from hwsim.engine.sums import Sums
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer
from hwsim.program.sums_proof import cannot_wrap

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


class Changed:
    """A weighted stage with other virtual weights.

    clean: the stage that the sums are known of. weights: int32 (n_out, fan_in), those of the
    changed layer. at: int64 (k,), which of them, row by row, differ from the clean ones.

    A stage with a pool in it does not take sums that wrap: see ``possible``.
    """

    def __init__(self, clean: Stage, weights: I32, at: I64, config: EngineConfig) -> None:
        layer = clean.mac
        assert layer is not None
        self._clean, self._config = layer, config
        self._layer = with_weights(layer, weights)
        #: Whether sums may leave their widths now.
        self.wraps = not cannot_wrap(config, self._layer)
        self.stage = clean.with_layer(self._layer, config, self.wraps)
        self._rows, inside = np.divmod(at, layer.fan_in)
        (kernel_rows, kernel_columns), self._stride, self._padding = sides(even(layer))
        channel, place = np.divmod(inside, kernel_rows * kernel_columns)
        self._down, self._right = np.divmod(place, kernel_columns)
        group = self._rows // layer.group_out
        self._channels = group * (layer.in_shape[0] // layer.groups) + channel
        moved = weights.reshape(-1)[at].astype(np.int64)
        self._moves = moved - layer.virtual_weights.reshape(-1)[at]
        largest = int(self._layer.accumulator_bound(config.act_max).max())
        self._dtype: Any = np.int32 if largest < 1 << 31 else np.int64

    @property
    def possible(self) -> bool:
        """Whether ``stage`` computes what the engine does. What wraps around is not monotone."""
        return not self.wraps or self.stage.pool is None

    def sums(self, maps: NDArray[Any], clean: NDArray[Any]) -> NDArray[Any]:
        """Exact sums (N, OH, OW, n_out) of maps (N, H, W, C), from those of the clean weights."""
        out = clean.astype(self._dtype)
        around = np.ascontiguousarray(surround(self._clean, maps))
        _add(
            around, self._rows, self._down, self._right, self._channels, self._moves,
            self._stride, self._padding, out,
        )  # fmt: skip
        return out

    def kept(self, trusted: frozenset[Kernel]) -> Stage:
        """The changed stage with kernels of its own, for whoever goes on with it."""
        return dataclasses.replace(self.stage, sums=Sums(self._layer, self._config, trusted))


def with_weights(layer: MacLayer, weights: I32) -> MacLayer:
    """A layer of the same shape with these virtual weights, whatever its hash says."""
    made = dataclasses.replace(layer)
    made.__dict__["virtual_weights"] = weights
    return made


@njit(nogil=True, cache=True)
def _add(  # type: ignore[no-untyped-def]
    maps, rows, down, right, channels, moves, stride, padding, out
):
    """out (N, OH, OW, n_out) += what each changed weight adds, of maps (N, H, W, C)."""
    count, height, width, _ = maps.shape
    _, out_h, out_w, _ = out.shape
    for k in range(len(rows)):
        row, channel, move = rows[k], channels[k], moves[k]
        for n in range(count):
            for y in range(out_h):
                line = y * stride[0] + down[k] - padding[0]
                if line < 0 or line >= height:
                    continue
                for x in range(out_w):
                    column = x * stride[1] + right[k] - padding[1]
                    if column >= 0 and column < width:
                        out[n, y, x, row] += move * np.int64(maps[n, line, column, channel])
