"""What the integers of a file stand for, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError

#: Where a dialect puts ties and its zero point: ``even`` rounds halves to even and then adds the
#: zero point (ONNX), ``even-behind-zero`` adds it before it rounds (QONNX, Brevitas), ``away``
#: and ``toward`` are QONNX's HALF_UP and HALF_DOWN, ``floor``, ``ceil`` and ``trunc`` its others;
#: ``kernel`` leaves it to the runtime (TFLite).
Rounding = Literal["even", "even-behind-zero", "away", "toward", "floor", "ceil", "trunc", "kernel"]
#: Widest integers of activations that a file may have, in bits.
MAX_BITS = 16


@dataclass(frozen=True)
class Codes:
    """Integers q in low … high, each worth (q − zero) · scale. scale > 0 is the file's, exactly."""

    scale: Fraction
    zero: int
    low: int
    high: int

    @property
    def shift(self) -> int:
        """What is added to q to give the engine's unsigned code."""
        return -self.low

    @property
    def levels(self) -> int:
        """How many integers there are."""
        return self.high - self.low + 1

    @property
    def range(self) -> tuple[float, float]:
        """The real values of both ends."""
        return (
            float((self.low - self.zero) * self.scale),
            float((self.high - self.zero) * self.scale),
        )

    def nearest(self, value: float) -> int:
        """The code next to a real value, which may be infinite; ties to even, zero added last."""
        if np.isinf(value):
            return self.high if value > 0 else self.low
        return min(max(round(Fraction(value) / self.scale) + self.zero, self.low), self.high)


def checked_codes(where: str, scale: float, zero: float, low: int, high: int) -> Codes:
    """The codes that a file declares; where: the beginning of the line that refuses them.

    Raises
    ------
    CompileError
        For a scale that is not positive and finite, and a zero point that is no integer of the
        tensor's own range.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise CompileError(
            f"{where} has a scale of {scale:g}, which must be positive and finite: quantize again"
        )
    if not np.isfinite(zero) or zero != int(zero):
        raise CompileError(
            f"{where} has a zero point of {zero:g}, which must be an integer: quantize again"
        )
    if not low <= zero <= high:
        raise CompileError(
            f"{where} has a zero point of {int(zero)}, outside its integers {low} … {high}: "
            "quantize again"
        )
    return Codes(Fraction(float(scale)), int(zero), low, high)


def integer_range(bits: int, signed: bool, narrow: bool = False) -> tuple[int, int]:
    """The least and the largest integer of a type; ``narrow`` leaves one out, as QONNX does."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def rounded(values: NDArray[np.float64], rounding: Rounding) -> NDArray[np.float64]:
    """Real numbers to integers in a dialect's way of ties; float64 of the same shape."""
    if rounding in ("even", "even-behind-zero", "kernel"):
        return np.rint(values)
    if rounding == "away":
        return np.sign(values) * np.floor(np.abs(values) + 0.5)
    if rounding == "toward":
        return np.sign(values) * np.ceil(np.abs(values) - 0.5)
    return {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc}[rounding](values)
