"""Some weights of a layer changed: what that adds to sums that are known, without a library.

A flipped bit moves few virtual weights, so that the sums of a batch follow from the old ones at the
price of those few, exactly, and no kernel has to be packed and proved for a layer that may be given
up again.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.delta import Delta
from hwsim.engine.kernels import Kernel
from hwsim.engine.requantizing import requantize, requantize_wrapping
from hwsim.engine.some_channels import fetch, place
from hwsim.engine.stages import Stage
from hwsim.engine.sums import Sums
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer
from hwsim.program.sums_proof import cannot_wrap

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]


#: What a multiply-add of ``Delta`` takes, by kernels that compute all sums: so many of theirs. All
#: these numbers were measured on one CPU; where another one differs that costs time, never a sum.
THEIRS = {"int8": 60, "float32": 30, "float64": 12, "int64": 1}
#: The same of a depthwise layer, whose loops are our own.
DEPTHWISE = 4
#: Multiply-adds of ``Delta``: besides those of a line of a plane; of a sum of a changed row, which
#: is fetched, requantized and compared alone; to pack a weight of a kernel.
LINE, ROW, PACK = 3, 10, 34
#: Images whose sums take the time to prove a kernel.
PROVED = 128


def cheaper_again(stage: Stage, delta: Delta, images: int, moved: int) -> bool:
    """Whether to compute a layer with the changed weights is less work than to correct its sums.

    By counted multiply-adds. images: all of them; moved: those whose sums are not known, and have
    to be computed in any case.
    """
    layer, sums = delta.layer, stage.sums
    assert sums is not None
    theirs = THEIRS[sums.ways[0].way.kernel] if sums.ways else DEPTHWISE
    every = layer.macs / theirs
    _, height, width = layer.out_shape
    one = delta.count * height * (width + LINE) + ROW * len(delta.rows) * layer.pixels
    pack = PACK * layer.spec.virtual_weights
    return (images - moved + PROVED) * every + pack < images * one


class Changed:
    """A weighted stage with other virtual weights.

    clean: the stage that the sums are known of. weights: int32 (n_out, fan_in), those of the
    changed layer. at: int64 (k,), which of them, row by row, differ from the clean ones.

    A stage with a pool in it does not take sums that wrap: see ``possible``.
    """

    def __init__(self, clean: Stage, weights: I32, at: I64, config: EngineConfig) -> None:
        layer = clean.mac
        assert layer is not None
        self._config = config
        moved = weights.reshape(-1)[at].astype(np.int64)
        delta = Delta(layer, at, moved - layer.virtual_weights.reshape(-1)[at])
        self._delta, self._act_max = delta, config.act_max
        self._layer = with_weights(layer, weights)
        # Of the rows that did not change what is known holds.
        self._layer.__dict__["_largest_sums"] = layer.largest_sums_with(weights, delta.rows)
        #: Whether sums may leave their widths now.
        self.wraps = not cannot_wrap(config, self._layer)
        self._clean = clean
        post = clean.post
        assert post is not None
        if self.wraps != post.wraps:
            assert self.stage.post is not None
            post = self.stage.post
        self._post = post.of(delta.rows, self._layer.accumulator_bound(config.act_max))

    @cached_property
    def stage(self) -> Stage:
        """The changed stage, without a way of its own to its sums."""
        return self._clean.with_layer(self._layer, self._config, self.wraps)

    @property
    def possible(self) -> bool:
        """Whether ``stage`` computes what the engine does. What wraps around is not monotone."""
        return not self.wraps or self._clean.pool is None

    def sums(self, maps: NDArray[Any], clean: NDArray[Any]) -> NDArray[Any]:
        """Exact sums (N, OH, OW, n_out) of maps (N, H, W, C), from those of the clean weights."""
        return self._delta.added(maps, clean, self._act_max)

    def output(self, maps: NDArray[Any], clean: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
        """What a stage but the last writes, where sums and output before the change are known."""
        delta, config = self._delta, self._config
        kind = delta.kind(self._act_max)
        sums = np.empty((*clean.shape[:3], len(delta.rows)), kind)
        fetch(clean, delta.rows, sums)
        delta.add(maps, sums, np.arange(len(delta.rows)))
        codes = np.empty((*before.shape[:3], len(delta.rows)), before.dtype)
        if self.wraps:
            requantize_wrapping(config, self._post, [sums], codes, None)
        else:
            requantize(self._clean, self._post, sums, codes, None)
        out = before.copy()
        place(out, delta.rows, codes, np.arange(len(out)))
        return out

    def kept(self, trusted: frozenset[Kernel]) -> Stage:
        """The changed stage with kernels of its own, for whoever goes on with it."""
        return dataclasses.replace(self.stage, sums=Sums(self._layer, self._config, trusted))


def with_weights(layer: MacLayer, weights: I32) -> MacLayer:
    """A layer of the same shape with these virtual weights, whatever its hash says."""
    made = dataclasses.replace(layer)
    made.__dict__["virtual_weights"] = weights
    return made
