"""How often something happens, never without its denominator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from hwsim.attacks.core.errors import AttackError

_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class Rate:
    """``successes`` of ``total`` > 0."""

    successes: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1:
            raise AttackError(
                "no inputs to count on: the judge classifies none of them correctly "
                "(or has reached the target on all of them already)"
            )

    @property
    def value(self) -> float:
        return self.successes / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% score interval (Wilson 1927)."""
        n, p, z2 = self.total, self.value, _Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        # At p = 0 and 1 the ends are exactly 0 and 1, which rounding would miss.
        low = 0.0 if self.successes == 0 else middle - half
        return low, 1.0 if self.successes == n else middle + half


def success_rate(success: Tensor, correct: Tensor) -> Rate:
    """Share of ``success`` among the inputs that the judge classified ``correct``ly, (N,) bool."""
    return Rate(int((success & correct).sum()), int(correct.sum()))
