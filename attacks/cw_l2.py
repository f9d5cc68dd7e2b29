"""Carlini and Wagner's L2 attack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_count
from hwsim.attacks.core.grid import Space
from hwsim.attacks.cw import LARGEST_CONST, CarliniWagner, Look, Runs
from hwsim.attacks.tanh import to_tanh


@dataclass(eq=False)
class _Bisection(Runs):
    """low, high: the largest c that failed and the smallest that succeeded. trial: runs so far."""

    low: Tensor
    high: Tensor
    trial: Tensor


class CWL2(CarliniWagner):
    """min ‖δ‖² + c·max(0, κ − margin(x + δ)), with c by bisection for each example.

    Carlini, Wagner 2017, sections V and VI-A. steps: of Adam in each search over δ, >= 1, with
    ``step_size`` in units of w; the textbook's 1e-2 is meant for thousands of steps. confidence:
    κ >= 0 in units of the logits. initial_const: the first c. binary_search_steps: searches, each
    from δ = 0; with ten or more, the last one of an example that was never found takes c = 1e10.
    The textbook's last search at the smallest successful c is not repeated for the others: it
    has been run, and nothing in it is random. abort_early: give up a search without progress.
    """

    norm = "l2"

    def __init__(
        self,
        *,
        steps: int = 100,
        binary_search_steps: int = 9,
        step_size: float = 5e-2,
        confidence: float = 0.0,
        initial_const: float = 1e-3,
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
        check_count(binary_search_steps, "binary_search_steps")
        self.binary_search_steps = binary_search_steps

    def begin(self, runs: Runs) -> Runs:
        """c starts at initial_const, with nothing known of it."""
        return _Bisection(
            **vars(runs),
            low=torch.zeros_like(runs.c),
            high=torch.full_like(runs.c, math.inf),
            trial=torch.zeros_like(runs.step),
        )

    def penalty(self, runs: Runs, moved: Tensor) -> tuple[Tensor, Tensor]:
        """‖δ‖² and 2δ."""
        return moved.square().flatten(1).sum(1), 2.0 * moved

    def follow(self, runs: Runs, look: Look, ended: Tensor) -> Tensor:
        """c × 10 until a run succeeds, then halve the interval; always from δ = 0."""
        assert isinstance(runs, _Bisection)
        runs.high = torch.where(ended & runs.succeeded, runs.c, runs.high)
        runs.low = torch.where(ended & ~runs.succeeded, runs.c, runs.low)
        runs.trial += ended
        open_ended = runs.high.isinf()
        c = torch.where(open_ended, runs.c * 10.0, (runs.low + runs.high) / 2.0)
        finished = ended & (runs.trial >= self.binary_search_steps)
        if self.binary_search_steps >= 10:
            last = runs.trial == self.binary_search_steps - 1
            c = torch.where(last, LARGEST_CONST, c)
            finished |= ended & last & ~open_ended
        runs.again(ended, c, to_tanh(runs.original, self.factor))
        return finished
