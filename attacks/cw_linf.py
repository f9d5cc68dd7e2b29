"""Carlini and Wagner's L∞ attack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.cw import CarliniWagner, Look, Runs, positive
from attacks.errors import AttackError
from attacks.grid import LSB_TOLERANCE, Grid, Space

#: τ below which the search is over: half a step of 8-bit pixels is invisible to them.
SMALLEST_TAU = 1.0 / 256.0
#: An adversarial image that is nearer than the last by this factor ends a run.
NEARER = 0.99


@dataclass(eq=False)
class _Shrinking(Runs):
    """tau: changes up to here are free. nearest: (n,) float64, L∞ of the last success."""

    tau: Tensor
    nearest: Tensor


class CWLinf(CarliniWagner):
    """min Σ max(0, |δ| − τ) + c·max(0, κ − margin) for ever smaller τ."""

    norm = "linf"

    def __init__(
        self,
        *,
        steps: int = 100,
        step_size: float = 1e-2,
        confidence: float = 0.0,
        initial_const: float = 1e-5,
        largest_const: float = 20.0,
        decrease_factor: float = 0.9,
        abort_early: bool = True,
        space: Space | None = None,
    ) -> None:
        super().__init__(
            steps=steps,
            step_size=step_size,
            confidence=confidence,
            initial_const=initial_const,
            abort_early=abort_early,
            space=space,
        )
        self.largest_const = positive("largest_const", largest_const)
        self.decrease_factor = positive("decrease_factor", decrease_factor)
        if decrease_factor >= 1.0:
            raise AttackError(f"decrease_factor must lie below 1, got {decrease_factor}")

    def begin(self, runs: Runs) -> Runs:
        """τ = 1: anything goes."""
        one = torch.ones_like(runs.c)
        return _Shrinking(**vars(runs), tau=one, nearest=torch.full_like(one.double(), math.inf))

    def content(self, runs: Runs, look: Look) -> Tensor:
        """An adversarial image that is clearly nearer than the last ends a run."""
        assert isinstance(runs, _Shrinking)
        return look.margin.reached & (look.distance < NEARER * runs.nearest)

    def penalty(self, runs: Runs, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Σ max(0, |δ| − τ), and sign(δ) where |δ| > τ."""
        assert isinstance(runs, _Shrinking)
        excess = (moved.abs() - runs.tau[:, None, None, None]).clamp(min=0.0)
        return excess.flatten(1).sum(1), moved.sign() * (excess > 0)

    def follow(self, runs: Runs, look: Look, ended: Tensor) -> Tensor:
        """After a success shrink τ and go on from there; otherwise double c."""
        assert isinstance(runs, _Shrinking)
        success = ended & self.content(runs, look)
        runs.nearest = torch.where(success, look.distance, runs.nearest)
        smaller = torch.minimum(runs.tau.double(), look.distance) * self.decrease_factor
        runs.tau = torch.where(success, self._whole_steps(smaller).float(), runs.tau)
        runs.again(success, runs.c, look.w)
        doubled = ended & ~success
        runs.again(doubled, runs.c * 2.0)
        least = SMALLEST_TAU
        if isinstance(self.space, Grid):
            least = max(least, (1.0 - LSB_TOLERANCE) / self.space.levels)
        return ended & ((runs.tau < least) | (doubled & (runs.c >= self.largest_const)))

    def _whole_steps(self, tau: Tensor) -> Tensor:
        """τ rounded down to steps of the grid, since a larger change would round up."""
        if not isinstance(self.space, Grid):
            return tau
        return torch.floor(tau * self.space.levels + LSB_TOLERANCE) / self.space.levels
