"""A program cut into stages: each layer with what the fast path needs, pools fused where they can.

A max-pool that alone reads what a weighted layer wrote is done in the same pass as its
requantization; the map between them never exists.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.kernels import Kernel
from hwsim.engine.sums import Sums
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    Layer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    is_last,
    rounding_of,
)
from hwsim.program.program import Program
from hwsim.program.sums_proof import cannot_wrap
from hwsim.program.wires import Place, Wire
from hwsim.units.post import POSITIONS, Words, words_of
from hwsim.units.post_add import AddWords, add_words_of

I64 = NDArray[np.int64]
ONE = (1, 1)


@dataclass(frozen=True, eq=False)
class Post:
    """Requantization words by output channel, int64, as the loops take them.

    wraps: sums may leave their width, by faults (units/post_wrap.py); there are no vectors then.
    threshold: what p must exceed for its gradient to pass, lo · 2^s + 2^(s−1); where that is beyond
    int64, nothing does. narrow: the multipliers as int32. words: all of them, for vectors. away:
    the code of 0, if halves go away from it (units/post_away.py); None of ``up``.
    """

    multiplier: I64
    narrow: NDArray[np.int32]
    bias: I64
    shift: I64
    threshold: I64
    lo: int
    hi: int
    negative: bool
    words: Any  # Words; AddWords of an addition
    away: int | None
    wraps: bool = False

    def of(self, channels: NDArray[np.int64], bound: NDArray[Any]) -> Post:
        """The words of some channels of a layer that is no addition; bound: as of ``post_of``."""
        m, b, s = self.multiplier[channels], self.bias[channels], self.shift[channels]
        limits = self.threshold[channels]
        return Post(
            m, self.narrow[channels], b, s, limits, self.lo, self.hi, bool((m < 0).any()),
            None if self.wraps else words_of(m, b, s, limits, bound[channels]),
            self.away, self.wraps,
        )  # fmt: skip


@dataclass(eq=False)
class Stage:
    """A layer, with the max-pool that follows it in the same pass.

    number: of the layer in its program, in which one object may be several layers. sources, target:
    as of ``Wire``, target of the pool where there is one. done: maps that nobody reads behind this
    stage. states of a run: one byte an output (units/post.py); of a max-pool on its own the
    winners; of a lut the input codes; of the output stage None.
    """

    number: int
    layer: Layer
    pool: PoolLayer | None
    sources: tuple[Place, ...]
    target: Place | None
    sums: Sums | None
    post: Post | None
    done: tuple[int, ...] = field(default=())

    def with_layer(self, layer: MacLayer, config: EngineConfig, wraps: bool) -> Stage:
        """The same with another layer of the same shape, and no way of its own to its sums."""
        return replace(self, layer=layer, sums=None, post=post_of(layer, config, wraps))

    def reads(self, maps: Set[int]) -> bool:
        """Whether it reads any of these maps, by number."""
        return any(place.map in maps for place in self.sources)

    @property
    def mac(self) -> MacLayer | None:
        """The layer, if it has weights."""
        return self.layer if isinstance(self.layer, MacLayer) else None

    @property
    def end(self) -> Layer:
        """The layer or pool that ends the stage."""
        return self.pool or self.layer

    @cached_property
    def out_shape(self) -> Shape:
        return self.end.out_shape

    @property
    def name(self) -> str:
        return self.end.name

    @cached_property
    def last(self) -> bool:
        return is_last(self.layer)

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """Of the fused pool; 1 without."""
        return self.pool.window.kernel if self.pool else ONE

    @cached_property
    def stride(self) -> tuple[int, int]:
        return self.pool.window.stride if self.pool else ONE


def stages_of(program: Program, trusted: frozenset[Kernel]) -> list[Stage]:
    """The stages of a checked program, in execution order."""
    readers: dict[int, list[int]] = {}
    writers: dict[int, int] = {}
    for number, wire in enumerate(program.wires):
        for place in wire.sources:
            readers.setdefault(place.map, []).append(number)
        if wire.target is not None:
            writers[wire.target.map] = writers.get(wire.target.map, 0) + 1
    stages: list[Stage] = []
    number = 0
    while number < len(program.layers):
        layer, wire = program.layers[number], program.wires[number]
        first, pool = number, None
        wraps = program.held is not None and not cannot_wrap(program.config, layer)
        # What wraps around is not monotone: no pool is taken before.
        if not wraps and _fuses(program, number, readers, writers):
            number += 1
            found = program.layers[number]
            assert isinstance(found, PoolLayer)
            pool, wire = found, Wire(wire.sources, program.wires[number].target)
        sums = Sums(layer, program.config, trusted) if isinstance(layer, MacLayer) else None
        post = post_of(layer, program.config, wraps)
        stages.append(Stage(first, layer, pool, wire.sources, wire.target, sums, post))
        number += 1
    alive: set[int] = set()
    for stage in reversed(stages):
        read = {place.map for place in stage.sources}
        stage.done = tuple(sorted(read - alive))
        alive |= read
    return stages


def _fuses(
    program: Program, number: int, readers: dict[int, list[int]], writers: dict[int, int]
) -> bool:
    """Whether the layer behind is a pool that takes all of what this one alone writes."""
    layer, target = program.layers[number], program.wires[number].target
    if not isinstance(layer, MacLayer) or target is None or number + 1 == len(program.layers):
        return False
    pool = program.layers[number + 1]
    if not isinstance(pool, PoolLayer) or any(pool.window.padding):
        return False
    return (
        pool.window.size <= POSITIONS
        and readers.get(target.map) == [number + 1]
        and writers[target.map] == 1
        and pool.in_shape == layer.out_shape
    )


def post_of(
    layer: Layer, config: EngineConfig, wraps: bool = False, bound: NDArray[Any] | None = None
) -> Post | None:
    """The words of a layer, None of one without. wraps: no proof covers them.

    bound: the largest |accumulator| of each output, where it is not that of the layer's weights.
    """
    if isinstance(layer, PoolLayer | LutLayer):
        return None
    act_max = config.act_max
    channels = layer.out_shape[0]
    m, s, b = layer.multiplier, layer.shift, layer.bias
    if isinstance(layer, AverageLayer):
        m, s, b = np.repeat(m, channels), np.repeat(s, channels), np.repeat(b, channels)
    top = np.iinfo(np.int64).max
    limits = [
        min((layer.lo << shift) + half, int(top))
        for shift, half in zip(s.tolist(), rounding_of(s).tolist(), strict=True)
    ]
    thresholds = np.array(limits, np.int64)
    words: Words | AddWords | None
    if wraps:
        words = None
    elif isinstance(layer, AddLayer):
        words = add_words_of(m, b, s, act_max)
    else:
        reach = layer.accumulator_bound(act_max) if bound is None else bound
        words = words_of(m, b, s, thresholds, reach)
    return Post(
        m.astype(np.int64), m.astype(np.int32), b.astype(np.int64), s.astype(np.int64),
        thresholds, layer.lo, layer.hi, bool((m < 0).any()), words,
        layer.zero if config.requantization == "twice-away" else None, wraps,
    )  # fmt: skip


def slope(layer: Layer) -> NDArray[np.float64]:
    """m · 2^-s of a requantizing layer, one a word (an add: of both sources)."""
    assert isinstance(layer, MacLayer | AverageLayer | AffineLayer | AddLayer)
    multiplier: NDArray[Any] = layer.multiplier.astype(np.float64)
    return np.ldexp(multiplier, -layer.shift.astype(np.int64))
