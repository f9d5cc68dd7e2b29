"""Carlini and Wagner's L0 attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwsim.attacks.core.checks import check_number
from hwsim.attacks.core.grid import Space
from hwsim.attacks.cw import LARGEST_CONST, CarliniWagner, Look, Runs


@dataclass(eq=False)
class _Freezing(Runs):
    """open: (n, C, H, W) bool, the values that may still change."""

    open: Tensor


class CWL0(CarliniWagner):
    """The L2 attack on ever fewer values: after each success the least useful ones are frozen.

    Carlini, Wagner 2017, section VI-B. A search ends with its first adversarial image; then all
    values that it left unchanged are frozen, and of the k others ⌊0.3·√k⌋, at least one, with the
    smallest |δ|·|∂margin/∂x|. The next search starts there. One that fails goes on with c doubled,
    and beyond ``largest_const`` the best image so far stands. per_channel: freeze values, which
    is what the L0 of this package counts; False: whole pixels by |Σδ|·Σ|∂margin/∂x|, as the
    authors' program does. Other options as in CWL2.
    """

    norm = "l0"

    def __init__(
        self,
        *,
        steps: int = 100,
        step_size: float = 5e-2,
        confidence: float = 0.0,
        initial_const: float = 1e-3,
        largest_const: float = 2e6,
        per_channel: bool = True,
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
        self.largest_const = largest_const
        self.per_channel = per_channel

    def begin(self, runs: Runs) -> Runs:
        """Every value may change."""
        return _Freezing(**vars(runs), open=torch.ones_like(runs.w, dtype=torch.bool))

    def free(self, runs: Runs) -> Tensor:
        """The values that are not frozen."""
        assert isinstance(runs, _Freezing)
        return runs.open

    def content(self, runs: Runs, look: Look) -> Tensor:
        """The first adversarial image ends a run."""
        return look.margin.reached

    def penalty(self, runs: Runs, moved: Tensor) -> tuple[Tensor, Tensor]:
        """‖δ‖² and 2δ."""
        return moved.square().flatten(1).sum(1), 2.0 * moved

    def follow(self, runs: Runs, look: Look, ended: Tensor) -> Tensor:
        """After a success freeze values and go on from there; otherwise double c."""
        assert isinstance(runs, _Freezing)
        success = ended & look.margin.reached
        runs.again(success, runs.c, look.w)
        runs.open &= ~(self._frozen(runs, look) & success[:, None, None, None])
        doubled = ended & ~success
        runs.again(doubled, runs.c * 2.0)
        nothing_left = ~runs.open.flatten(1).any(1)
        return ended & (nothing_left | (doubled & (runs.c > self.largest_const)))

    def _frozen(self, runs: _Freezing, look: Look) -> Tensor:
        """Values that matter least to the margin: all unchanged ones and some that are changed."""
        change = (look.images - runs.original) * runs.open
        effect = change.abs() * look.gradient.abs()
        changed = change != 0
        if not self.per_channel:
            effect = change.sum(1, keepdim=True).abs() * look.gradient.abs().sum(1, keepdim=True)
            changed = changed.any(1, keepdim=True)
        order = torch.where(changed, effect, torch.inf).flatten(1).argsort(dim=1, stable=True)
        few = (0.3 * changed.flatten(1).sum(1).double().sqrt()).floor().clamp(min=1.0)
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1]).expand_as(order)
        )
        least = (rank < few[:, None]).unflatten(1, changed.shape[1:])
        return (least | ~changed).expand_as(change)
