"""What the engine will execute, still in real numbers: stages, the maps between them, views."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hwsim.compiler.operations import F64, NO_SIDES, Mac, Pair, Sides
from hwsim.program.layers import Shape

Samples = NDArray[np.float32]


@dataclass(eq=False)
class Coding:
    """The codes of maps that share a scale and a zero point, chosen together.

    fixed: whether it is that of the input. maps: all that share it. samples: values that are read
    from them, in real numbers. readers: how each reader uses them, None where it needs the value
    itself.
    """

    fixed: bool = False
    maps: list[Map] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    readers: list[Callable[[Tensor], Tensor] | None] = field(default_factory=list)
    _same: Coding | None = None

    @property
    def root(self) -> Coding:
        """The coding that stands for all that were joined."""
        return self if self._same is None else self._same.root

    @property
    def low(self) -> float:
        """What no value is below."""
        return min(one.low for one in self.root.maps)

    def join(self, other: Coding) -> None:
        """Let both be one."""
        mine, theirs = self.root, other.root
        if mine is not theirs:
            mine.fixed = mine.fixed or theirs.fixed
            mine.maps += theirs.maps
            mine.samples += theirs.samples
            mine.readers += theirs.readers
            theirs._same = mine


@dataclass(eq=False)
class Map:
    """What a stage writes: (C, H, W) values in low … high.

    producer: the stage, None of the input. shared: whether anyone but one chain of operations reads
    it, so that nothing more can be folded into the producer. parent: the map, and the channel from
    which on this one is part of it, where it is concatenated.
    """

    shape: Shape
    coding: Coding
    producer: PlannedStage | None
    low: float = -math.inf
    high: float = math.inf
    shared: bool = False
    parent: tuple[Map, int] | None = None

    def __post_init__(self) -> None:
        self.coding.root.maps.append(self)

    @property
    def place(self) -> tuple[Map, int]:
        """The outermost map that it is part of, and from which channel on."""
        if self.parent is None:
            return self, 0
        outer, first = self.parent
        root, more = outer.place
        return root, first + more


@dataclass(frozen=True, eq=False)
class View:
    """Values as an operation sees them: channels of a map, times scale, plus offset.

    first: the first channel; shape: of the channels, as a map, which ``flat`` says to be
    flattened. scale, offset: float64 that broadcast to ``shape``, per channel wherever that says
    it; None where they change nothing. path, samples: of the operation that gave the values;
    raw: samples in the map, before scale and offset.
    """

    map: Map
    shape: Shape
    path: str
    samples: Samples
    raw: Samples
    first: int = 0
    scale: F64 | None = None
    offset: F64 | None = None
    flat: bool = False

    @property
    def plain(self) -> bool:
        """Whether the values stand in the map as they are."""
        return self.scale is None

    @property
    def whole(self) -> bool:
        """Whether it is all channels of its map."""
        return self.shape == self.map.shape

    @property
    def factors(self) -> tuple[F64, F64]:
        """Scale and offset, each at least (1, 1, 1)."""
        one, none = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
        return (
            one if self.scale is None else self.scale,
            none if self.offset is None else self.offset,
        )

    @property
    def uniform(self) -> tuple[float, float] | None:
        """(scale, offset) if they are the same everywhere."""
        scale, offset = self.factors
        s, o = float(scale.flat[0]), float(offset.flat[0])
        return (s, o) if np.all(scale == s) and np.all(offset == o) else None


@dataclass(eq=False)
class Rescaling:
    """min(max(x · scale + offset, low), high), by channel: what requantization can do.

    scale, offset: float64 (C,), or (1,) where hardware has one of them for all channels.
    """

    scale: F64
    offset: F64
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def nothing(cls, channels: int) -> Rescaling:
        return cls(np.ones(channels), np.zeros(channels))

    @property
    def is_nothing(self) -> bool:
        plain = np.all(self.scale == 1) and np.all(self.offset == 0)
        return bool(plain) and not self.clamps

    @property
    def clamps(self) -> bool:
        return self.low > -math.inf or self.high < math.inf

    def takes(self, scale: F64, offset: F64) -> bool:
        """Whether x · scale + offset, float64 (C,), can follow in the same step."""
        same = bool(np.all(scale == scale[0]) and np.all(offset == offset[0]))
        if len(self.scale) == 1 and not same:
            return False
        if not self.clamps or (same and scale[0] != 0):
            return True
        # A rectified channel may be scaled by itself.
        rectified = self.low in (0.0, -math.inf) and self.high in (0.0, math.inf)
        return rectified and bool(np.all(offset == 0) and np.all(scale > 0))

    def affine(self, scale: F64, offset: F64) -> None:
        """Let x · scale + offset follow, which ``takes`` has allowed."""
        if len(self.scale) == 1:
            scale, offset = scale[:1], offset[:1]
        self.scale, self.offset = self.scale * scale, self.offset * scale + offset
        if self.clamps and not (np.all(offset == 0) and np.all(scale > 0) and self._rectified):
            bounds = [b * float(scale[0]) + float(offset[0]) for b in (self.low, self.high)]
            self.low, self.high = min(bounds), max(bounds)

    @property
    def _rectified(self) -> bool:
        return self.low in (0.0, -math.inf) and self.high in (0.0, math.inf)

    def clamp(self, low: float, high: float) -> None:
        """Let a clamp follow."""
        self.low = min(max(self.low, low), high)
        self.high = min(max(self.high, low), high)


@dataclass(eq=False)
class PlannedStage:
    """One layer to be. target: None of the last one, which hands out the logits."""

    path: str
    sources: tuple[View, ...]
    target: Map | None = field(init=False, default=None)

    @property
    def last(self) -> bool:
        return self.target is None


@dataclass(eq=False)
class MacStage(PlannedStage):
    """post(W · (gain · x + shifts) + bias).

    mac: the layer, a Linear if it is one, even where the module says convolution; op: as it was
    traced. gain: of all inputs; columns: of each column of dense weights, float64 (groups,
    fan_in), and rows: of each row, float64 (n_out,), both already in ``mac.real``. shifts: float64
    (groups, fan_in). fill: what stands around the map, in values of the map. mean: of what each
    column sees, before ``columns``, float64 (groups, fan_in).
    """

    mac: Mac
    op: Mac
    post: Rescaling
    gain: float
    columns: F64 | None
    shifts: F64
    fill: float = 0.0
    rows: F64 | None = None
    mean: F64 | None = None


@dataclass(eq=False)
class AffineStage(PlannedStage):
    """post(x), by channel."""

    post: Rescaling


@dataclass(eq=False)
class AverageStage(PlannedStage):
    """post(Σ over windows), one for all channels."""

    post: Rescaling
    kernel: Pair
    stride: Pair


@dataclass(eq=False)
class AddStage(PlannedStage):
    """post(x₁ · gains₁ + x₂ · gains₂), one for all channels."""

    post: Rescaling
    gains: tuple[float, float]


@dataclass(eq=False)
class LutStage(PlannedStage):
    """One function after the other, of single values."""

    functions: list[Callable[[Tensor], Tensor]]

    def function(self, x: Tensor) -> Tensor:
        """All of them."""
        for one in self.functions:
            x = one(x)
        return x


@dataclass(eq=False)
class PoolStage(PlannedStage):
    """Max-pool; of one pixel and stride 1 it copies."""

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    sides: Sides = NO_SIDES


@dataclass(eq=False)
class ConcatStage(PlannedStage):
    """Nothing to execute: the sources are written next to each other."""


@dataclass(frozen=True, eq=False)
class StagePlan:
    """Stages in the order of execution, on the image in ``input``.

    one_point: whether all rows of a dense layer share one binary point.
    """

    input: Map
    stages: tuple[PlannedStage, ...]
    notes: tuple[str, ...]
    one_point: bool = False

    @property
    def mac_stages(self) -> list[MacStage]:
        return [stage for stage in self.stages if isinstance(stage, MacStage)]
