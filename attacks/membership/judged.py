"""How well scores tell members from others: on samples that nothing was chosen on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.rates import Rate
from hwsim.attacks.evaluate.roc import Auc, Scores, auc, threshold


@dataclass(frozen=True)
class MembershipRates:
    """balanced: accuracy on equally many of both. auc: area under the ROC curve.

    tpr1, tpr01: share of members above the score that 1%, 0.1% of the others exceed at most; None
    where fewer than 100, 1,000 others cannot measure it. All have 95% intervals.
    """

    balanced: Rate
    auc: Auc
    tpr1: Rate | None
    tpr01: Rate | None

    def facts(self) -> dict[str, Any]:
        """For a result: each number with its interval, None where it is not measurable."""
        found: dict[str, Any] = {"accuracy": self.balanced.value}
        found |= {"interval": self.balanced.interval, "judged_on": self.balanced.total}
        found |= {"auc": self.auc.value, "auc_interval": self.auc.interval}
        for name, rate in (("tpr1", self.tpr1), ("tpr01", self.tpr01)):
            found[name] = None if rate is None else rate.value
            found[f"{name}_interval"] = None if rate is None else rate.interval
        return found


def judge(members: Scores, others: Scores, at: float) -> MembershipRates:
    """Scores (N,) of members and (N,) of others; above ``at`` a sample is taken for a member.

    Raises AttackError where there are not equally many of both, or a score is NaN.
    """
    if not 0 < len(members) == len(others):
        raise AttackError(
            f"{len(members)} members beside {len(others)} others: accuracy is of equally many"
        )
    if np.isnan(members).any() or np.isnan(others).any():
        raise AttackError("a score is NaN: such an attack can be judged by nobody")
    right = int((members > at).sum() + (others <= at).sum())
    return MembershipRates(
        Rate(right, 2 * len(members)), auc(members, others),
        _tpr(members, others, 0.01), _tpr(members, others, 0.001),
    )  # fmt: skip


def _tpr(members: Scores, others: Scores, rate: float) -> Rate | None:
    if len(others) * rate < 1 - 1e-9:
        return None
    return Rate(int((members > threshold(others, rate)).sum()), len(members))


def best_threshold(members: Scores, others: Scores) -> float:
    """Above it lie members, as well as these scores allow: the least that is best.

    Halfway between two scores, so that none lies on it; beyond all where nothing is gained.
    """
    levels = np.unique(np.concatenate([members, others]))
    finite = levels[np.isfinite(levels)]
    if not len(finite):
        return 0.0
    cuts = np.concatenate([[finite[0] - 1.0], (finite[1:] + finite[:-1]) / 2, [finite[-1] + 1.0]])
    kept = 1 - np.searchsorted(np.sort(members), cuts, "right") / len(members)
    spared = np.searchsorted(np.sort(others), cuts, "right") / len(others)
    return float(cuts[np.argmax(kept + spared)])
