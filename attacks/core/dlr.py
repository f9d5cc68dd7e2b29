"""The difference of logits ratio (Croce & Hein, ICML 2020): a margin that scaling cannot change.

Its denominator is a difference of logits too, and integer logits tie: where it is exactly 0 the
plain difference is taken instead (a denominator of 1, which has no gradient). AutoAttack adds
1e-12 to it, and so turns a tie into a loss of 10^12 times the difference. ``tied`` of ``seen``
says how often that happened; many ties mean that the ratio carries little information.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.losses import Margin, SourceLoss


class _Ratio:
    """Counts the examples of all calls so far, and those whose denominator was 0."""

    def __init__(self) -> None:
        self.seen = self.tied = 0

    def _divide(self, difference: Tensor, spread: Tensor) -> Tensor:
        tie = spread.detach() == 0
        self.seen += len(tie)
        self.tied += int(tie.sum())
        return difference / torch.where(tie, torch.ones_like(spread), spread)


class DLR(_Ratio):
    """(max_{i≠y} z_i − z_y) / (z_π1 − z_π3), π sorting the logits downwards; at least 3 classes.

    In a targeted attack y is the target and the loss is descended; ``TargetedDLR`` is AutoAttack's.
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N,), −1 … 0 where y wins and above 0 elsewhere; unchanged by scaling the logits."""
        best = _largest(logits, 3)
        return self._divide(Margin()(logits, labels), best[:, 0] - best[:, 2])


class TargetedDLR(_Ratio, SourceLoss):
    """(z_s − z_t) / (z_π1 − (z_π3 + z_π4)/2) of source s and target t; at least 4 classes."""

    def between(self, logits: Tensor, targets: Tensor, sources: Tensor) -> Tensor:
        """(N,) losses to be descended; unchanged by scaling the logits."""
        best = _largest(logits, 4)
        here, there = (logits.gather(1, c[:, None]).flatten() for c in (sources, targets))
        return self._divide(here - there, best[:, 0] - (best[:, 2] + best[:, 3]) / 2)


def _largest(logits: Tensor, count: int) -> Tensor:
    if logits.shape[1] < count:
        raise AttackError(
            f"this ratio of logits needs at least {count} classes, the model has "
            f"{logits.shape[1]}: use Margin()"
        )
    return logits.topk(count, 1).values
