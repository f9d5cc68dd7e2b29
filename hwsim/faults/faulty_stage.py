"""A stage whose layer has faults: its outputs from the clean accumulators and what changed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.changes import cheaper_again, with_weights
from hwsim.engine.delta import I64, Delta
from hwsim.engine.requantizing import requantize, requantize_wrapping
from hwsim.engine.selfcheck import trusted_kernels
from hwsim.engine.some_channels import differing, picked, place
from hwsim.engine.stages import Post, Stage, post_of
from hwsim.engine.sums import Sums
from hwsim.faults.layers import FaultyMemory
from hwsim.faults.pieces import in_pieces
from hwsim.numbers import fixedpoint
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer
from hwsim.program.sums_proof import cannot_wrap
from hwsim.units import pool as pool_unit
from hwsim.units import post_wrap

if TYPE_CHECKING:
    from hwsim.faults.trials import Trials

#: Images whose accumulators are there at a time.
SLAB = 256


class FaultyStage:
    """What faults make of one stage.

    layer: with its faulty scales, biases or table, and clean weights. delta: what its weights add.
    channels: outputs that may be others, rising; None for all. wrapped: accumulators that wrapped,
    and p or logits, of all images that passed.
    """

    def __init__(
        self,
        trials: Trials,
        stage: Stage,
        layer: Layer,
        delta: Delta | None,
        channels: I64 | None,
    ) -> None:
        self._trials, self._stage, self._layer, self._delta = trials, stage, layer, delta
        self._config, self._channels = trials.program.config, channels
        self.wrapped = (0, 0)
        bound = delta.bound(self._config.act_max) if delta is not None else None
        #: Whether sums may leave their widths; where not, there is nothing to count.
        self._wraps = not cannot_wrap(self._config, layer, bound)
        post = post_of(layer, self._config, self._wraps, bound)
        self._post = post
        self._some = post
        if post is not None and channels is not None:
            assert isinstance(layer, MacLayer)
            if bound is None:
                bound = layer.accumulator_bound(self._config.act_max)
            self._some = post.of(channels, bound)

    @classmethod
    def of(
        cls, trials: Trials, stage: Stage, memory: FaultyMemory, moved: int
    ) -> FaultyStage | None:
        """None where no fault concerns the stage, or none changes anything.

        moved: images that come here otherwise than they did without faults.
        """
        place = memory.read.places[stage.number]
        if not memory.concerns(stage.layer, place):
            return None
        clean = stage.layer
        layer, delta, channels = memory.layer(clean, place, weights=False), None, None
        if isinstance(clean, MacLayer):
            changed = memory.virtual(clean, place, trials.readers_of(stage.number))
            channels = memory.channels(place)
            if len(changed.place):
                before = clean.virtual_weights.reshape(-1)[changed.place]
                delta = Delta(clean, changed.place, changed.value - before)
                channels = np.union1d(channels, delta.rows)
        if layer is clean and delta is None:
            return None
        if delta is not None and cheaper_again(stage, delta, len(trials.images), moved):
            channels = None
        return cls(trials, stage, layer, delta, channels)

    def diverging(self, rows: I64) -> tuple[I64, NDArray[Any]]:
        """(those of the images ``rows``, which came here as ever, whose output is another; it)."""
        before, channels = self._trials.output(self._stage), self._channels
        new, outs = [rows[:0]], [before[:0]]
        for start in range(0, len(rows), SLAB):
            some = rows[start : start + SLAB]
            sources = self._trials.clean(self._stage, some)
            if channels is None:
                out = self.output(some, sources)
                differs = (out != before[some]).any((1, 2, 3))
                whole = out[differs]
            else:
                out = self._finished([self._sums(some, sources[0])])
                differs = differing(before, some, channels, out)
                whole = before[some[differs]]
                place(whole, channels, out, np.flatnonzero(differs))
            new.append(some[differs])
            outs.append(whole)
        return np.concatenate(new), np.concatenate(outs)

    def _sums(self, rows: I64, source: NDArray[Any]) -> NDArray[Any]:
        """Accumulators (N, OH, OW, channels) of images that came here as ever."""
        assert self._channels is not None
        clean, delta = self._trials.sums(self._stage), self._delta
        if delta is None:
            return picked(clean, self._channels, rows, clean.dtype)
        return delta.of_planes(source, clean, rows, self._channels, self._config.act_max)

    def output(self, rows: I64, sources: list[NDArray[Any]]) -> NDArray[Any]:
        """What the stage makes of the images ``rows``, which may read other sources than clean."""
        layer = self._layer
        if isinstance(layer, LutLayer):
            table = layer.table.astype(self._trials.datapath.map_dtype)
            found: NDArray[Any] = table[sources[0]]
            return found
        if isinstance(layer, AddLayer):
            return self._finished(sources, every=True)
        slabs = range(0, max(1, len(sources[0])), SLAB)
        outs = []
        for n in slabs:
            sums = self._all_sums(rows[n : n + SLAB], sources[0][n : n + SLAB])
            outs.append(self._finished([sums], every=True))
        return np.concatenate(outs)

    def _all_sums(self, rows: I64, source: NDArray[Any]) -> NDArray[Any]:
        if not len(source):  # on none no kernel can be proved
            channels, height, width = self._layer.out_shape
            return np.zeros((0, height, width, channels), np.int32)
        if self._again is not None:
            return in_pieces(self._again, [source])
        sums = self._trials.sums_of(self._stage, rows, source)
        if self._delta is None:
            return sums
        return self._delta.added(source, sums, self._config.act_max)

    @cached_property
    def _again(self) -> Sums | None:
        """What computes all accumulators with the changed weights; None where these are few."""
        if self._delta is None or self._channels is not None:
            return None
        changed = with_weights(self._delta.layer, self._delta.weights())
        return Sums(changed, self._config, trusted_kernels())

    def logits(self, rows: I64, source: NDArray[Any]) -> I64:
        """Of a last stage, of images as ``output`` takes them."""
        assert self._post is not None
        return self._logits(self._all_sums(rows, source), self._post)

    def clean_logits(self, rows: I64) -> I64:
        """Of a last stage, of images that came here as ever."""
        source = self._trials.clean(self._stage, rows)[0]
        if self._channels is None:
            return self.logits(rows, source)
        assert self._some is not None
        found = self._trials.logits[rows]
        found[:, self._channels] = self._logits(self._sums(rows, source), self._some)
        return found

    def _logits(self, sums: NDArray[Any], post: Post) -> I64:
        """Of exact accumulators (N, 1, 1, C)."""
        wide = sums.astype(np.int64)
        self._count([wide], post)
        return fixedpoint.wrapped(wide[:, 0, 0] + post.bias, self._config.acc_w)

    def _count(self, sources: list[NDArray[Any]], post: Post) -> None:
        """What wraps of sums, or of the two maps of an addition."""
        if not self._wraps:
            return
        m, b, spare = post.multiplier, post.bias, post_wrap.spare_bits(self._config)
        if len(sources) == 2:
            one, two = sources
            more = 0, post_wrap.add_overflows(one, two, m[0], m[1], b[0], spare)
        else:
            more = post_wrap.overflows(sources[0].astype(np.int64), m, b, spare, self._stage.last)
        self.wrapped = self.wrapped[0] + more[0], self.wrapped[1] + more[1]

    def _finished(self, sources: list[NDArray[Any]], every: bool = False) -> NDArray[Any]:
        """Codes of exact accumulators, or of the two maps of an addition, pooled.

        every: of all outputs, not of ``channels`` only.
        """
        post, kind = self._post if every else self._some, self._trials.datapath.map_dtype
        assert post is not None
        count, channels = len(sources[0]), sources[0].shape[3]
        pooled = np.empty((count, *self._stage.out_shape[1:], channels), kind)
        if not self._wraps and len(sources) == 1:
            requantize(self._stage, post, sources[0], pooled, None)
            return pooled
        self._count(sources, post)
        codes = np.empty(sources[0].shape, kind)
        requantize_wrapping(self._config, post, sources, codes, None)
        pool = self._stage.pool
        if pool is None:
            return codes
        winner, window = np.empty(pooled.shape, np.uint8), pool.window
        pool_unit.max_pool(codes, window.kernel, window.stride, (0, 0), pooled, winner)
        return pooled
