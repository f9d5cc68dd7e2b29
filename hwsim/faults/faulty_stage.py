"""A stage whose layer has faults: its outputs from the clean accumulators and what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.requantizing import requantize_wrapping
from hwsim.engine.stages import Post, Stage, post_of
from hwsim.faults.deltas import I64, Delta
from hwsim.faults.layers import FaultyMemory
from hwsim.faults.pieces import in_pieces
from hwsim.numbers import fixedpoint
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer
from hwsim.units import pool as pool_unit
from hwsim.units import post_wrap

if TYPE_CHECKING:
    from hwsim.faults.trials import Trials

#: Images whose accumulators are corrected at a time.
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
        post = post_of(layer, self._config, wraps=True)
        self._post = post
        self._some = post if post is None or channels is None else post.of(channels)

    @classmethod
    def of(cls, trials: Trials, stage: Stage, memory: FaultyMemory) -> FaultyStage | None:
        """None where no fault concerns the stage, or none changes anything."""
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
        return cls(trials, stage, layer, delta, channels)

    def diverging(self, rows: I64) -> tuple[I64, NDArray[Any]]:
        """(those of the images ``rows``, which came here as ever, whose output is another; it)."""
        before = self._trials.output(self._stage)
        new, outs = [rows[:0]], [before[:0]]
        for start in range(0, len(rows), SLAB):
            some = rows[start : start + SLAB]
            there = before[some]
            sources = self._trials.clean(self._stage, some)
            if self._channels is None:
                out = whole = self.output(sources)
            else:
                assert self._some is not None
                out, whole = self._finished([self._sums(some, sources[0])], self._some), there
                there = there[..., self._channels]
            differs = (out != there).any((1, 2, 3))
            whole = whole[differs]
            if self._channels is not None:
                whole[..., self._channels] = out[differs]
            new.append(some[differs])
            outs.append(whole)
        return np.concatenate(new), np.concatenate(outs)

    def _sums(self, rows: I64, source: NDArray[Any]) -> I64:
        """Accumulators (N, OH, OW, channels) of images that came here as ever."""
        assert self._channels is not None
        clean = self._trials.sums(self._stage)[self._channels][:, rows]
        sums = np.ascontiguousarray(clean.transpose(1, 2, 3, 0), np.int64)
        if self._delta is not None:
            at = np.asarray(np.searchsorted(self._channels, self._delta.rows), np.int64)
            self._delta.add(source, at, sums)
        return sums

    def output(self, sources: list[NDArray[Any]]) -> NDArray[Any]:
        """What the stage makes of any sources."""
        layer = self._layer
        if isinstance(layer, LutLayer):
            table = layer.table.astype(self._trials.datapath.map_dtype)
            found: NDArray[Any] = table[sources[0]]
            return found
        assert self._post is not None
        if isinstance(layer, AddLayer):
            return self._finished(sources, self._post)
        return self._finished([self._all_sums(sources[0])], self._post)

    def _all_sums(self, source: NDArray[Any]) -> I64:
        sums = in_pieces(lambda one: self._trials.datapath.sums(self._stage, one), [source])
        sums = sums.astype(np.int64)
        if self._delta is not None:
            self._delta.add(source, self._delta.rows, sums)
        return sums

    def logits(self, source: NDArray[Any]) -> I64:
        """Of a last stage."""
        assert self._post is not None
        return self._logits(self._all_sums(source), self._post)

    def clean_logits(self, rows: I64) -> I64:
        """Of a last stage, of images that came here as ever."""
        source = self._trials.clean(self._stage, rows)[0]
        if self._channels is None:
            return self.logits(source)
        assert self._some is not None
        found = self._trials.logits[rows]
        found[:, self._channels] = self._logits(self._sums(rows, source), self._some)
        return found

    def _logits(self, sums: I64, post: Post) -> I64:
        """Of exact accumulators (N, 1, 1, C)."""
        self._count([sums], post)
        wide = sums[:, 0, 0] + post.bias
        return fixedpoint.wrapped(wide, self._config.acc_w)

    def _count(self, sources: list[NDArray[Any]], post: Post) -> None:
        """What wraps of sums, or of the two maps of an addition."""
        m, b, spare = post.multiplier, post.bias, post_wrap.spare_bits(self._config)
        if len(sources) == 2:
            one, two = sources
            more = 0, post_wrap.add_overflows(one, two, m[0], m[1], b[0], spare)
        else:
            more = post_wrap.overflows(sources[0].astype(np.int64), m, b, spare, self._stage.last)
        self.wrapped = self.wrapped[0] + more[0], self.wrapped[1] + more[1]

    def _finished(self, sources: list[NDArray[Any]], post: Post) -> NDArray[Any]:
        """Codes of exact accumulators, or of the two maps of an addition, pooled."""
        self._count(sources, post)
        kind = self._trials.datapath.map_dtype
        codes = np.empty(sources[0].shape, kind)
        requantize_wrapping(self._config, post, sources, codes, None)
        pool = self._stage.pool
        if pool is None:
            return codes
        shape = (len(codes), *pool.out_shape[1:], codes.shape[3])
        out, winner = np.empty(shape, kind), np.empty(shape, np.uint8)
        pool_unit.max_pool(codes, pool.window.kernel, pool.window.stride, (0, 0), out, winner)
        return out
