"""A quantized network as integer steps: what is computed on codes, in the file's exact numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.importer.codes import Codes, Rounding, rounded
from hwsim.program.layers import Shape, Window

Kind = Literal["conv", "fc", "average", "affine", "add", "lut", "pool", "output"]
Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(eq=False)
class Value:
    """A map of codes.

    tensor: what the file calls it, None of what only the engine has. parent: the map that it is
    part of and from which channel on; of a slice from the start, of what is put together as soon as
    that is known.
    """

    name: str
    shape: Shape
    codes: Codes
    tensor: str | None = None
    parent: tuple[Value, int] | None = None

    @property
    def place(self) -> tuple[Value, int]:
        """The outermost map, and the channel in it."""
        if self.parent is None:
            return self, 0
        outer, first = self.parent
        root, more = outer.place
        return root, first + more


@dataclass(frozen=True, eq=False)
class IntegerStep:
    """One integer operation.

    acc = Σ w · (q − z) of conv and fc, Σ (q − z) of a window of an average, q − z of an affine
    step; a sum has two of them. Behind it stands the real number (acc + bias) · ratio + offset,
    clamped to low … high and quantized to the codes of ``target``; of the last step, the number
    itself is the answer.

    name, operator: the file's. weights: int32 (O, I/groups, kh, kw) or (O, F). ratio: (O,), (1,)
    or, of a sum, (2,). bias: int64 (O,) on the accumulator's scale. offset: real, (O,) or (1,).
    steps: what the weights are worth, one or one a row. function: of a lut, on
    real numbers. bipolar: codes 0 below real 0 and 1 from it on.
    """

    name: str
    operator: str
    kind: Kind
    sources: tuple[Value, ...]
    target: Value | None
    ratio: tuple[Fraction, ...] = (Fraction(1),)
    offset: tuple[Fraction, ...] = (Fraction(0),)
    bias: NDArray[np.int64] | None = None
    low: float = -np.inf
    high: float = np.inf
    weights: NDArray[Any] | None = None
    steps: tuple[Fraction, ...] = (Fraction(1),)
    window: Window | None = None
    groups: int = 1
    rounding: Rounding = "even"
    function: Function | None = None
    bipolar: bool = False

    @property
    def channels(self) -> int:
        """Output channels."""
        if self.weights is not None:
            return len(self.weights)
        return self.sources[0].shape[0]

    @property
    def post_moves(self) -> bool:
        """Whether an average is scaled or shifted besides."""
        assert self.window is not None
        unit = self.sources[0].codes.scale / self.window.size
        return any(one != unit for one in self.ratio) or any(self.offset)

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and largest code of the target, its clamp included."""
        assert self.target is not None
        codes = self.target.codes
        return codes.nearest(self.low), codes.nearest(self.high)

    def table(self) -> NDArray[np.int64]:
        """Codes of the target for all codes of the source, of a lut: (levels,)."""
        assert self.function is not None
        assert self.target is not None
        source, to = self.sources[0].codes, self.target.codes
        codes = np.arange(source.low, source.high + 1)
        real = np.asarray((codes - source.zero) * float(source.scale), np.float64)
        values = self.function(real)
        steps = np.asarray(np.clip(values / float(to.scale), -(2.0**31), 2.0**31), np.float64)
        if self.rounding == "even-behind-zero":
            found = rounded(steps + to.zero, self.rounding)
        else:
            found = rounded(steps, self.rounding) + to.zero
        return np.clip(found, *self.bounds).astype(np.int64)


@dataclass(frozen=True, eq=False)
class IntegerSteps:
    """A network in the order of execution, from ``input`` to the answers.

    scale: what one of the answers' integers is worth. notes: what was dropped.
    """

    input: Value
    steps: tuple[IntegerStep, ...]
    notes: tuple[str, ...] = field(default=())
