"""Carlini and Wagner's L∞ attack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.grid import LSB_TOLERANCE, Grid, Space
from hwsim.attacks.cw import LARGEST_CONST, CarliniWagner, Look, Runs

#: τ below which the search is over: 8-bit pixels have no smaller step.
SMALLEST_TAU = 1.0 / 256.0
#: An adversarial image that is nearer than the last by this factor ends a run.
NEARER = 0.99
#: τ must shrink by more than an image can come nearer unnoticed.
MOST_DECREASE = NEARER


@dataclass(eq=False)
class _Shrinking(Runs):
    """tau: changes up to here are free. nearest: (n,) float64, L∞ of the last success."""

    tau: Tensor
    nearest: Tensor


class CWLinf(CarliniWagner):
    """min Σ max(0, |δ| − τ) + c·max(0, κ − margin(x + δ)) for ever smaller τ.

    Carlini, Wagner 2017, section VI-C. A search ends with an adversarial image that is nearer
    than the last; then τ becomes decrease_factor · min(τ, max|δ|), in whole steps of the grid, and
    the next one starts there. One that fails goes on with c doubled. Over when c reaches
    ``largest_const`` or τ falls below 1/256 or one step of the grid. Other options as in CWL2.
    """

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
        check_number(largest_const, "largest_const", 0.0, LARGEST_CONST)
        check_number(decrease_factor, "decrease_factor", 0.0, MOST_DECREASE)
        self.largest_const, self.decrease_factor = largest_const, decrease_factor

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
