"""Any membership attack on any classifier: scores of those that it was not taught on, judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.roc import Scores
from hwsim.attacks.membership import thresholds
from hwsim.attacks.membership.judged import MembershipRates, best_threshold, judge
from hwsim.attacks.membership.known import MEMBERSHIP
from hwsim.attacks.membership.label_only import LabelOnly
from hwsim.attacks.membership.learned import Kind, LearnedAttack
from hwsim.attacks.membership.lira import Inside, aligned, lira
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.rmia import rmia
from hwsim.attacks.membership.splits import Split, halves

_SCORES = {
    "mia-gap": thresholds.gap,
    "mia-loss": thresholds.loss,
    "mia-confidence": thresholds.confidence,
    "mia-entropy": thresholds.entropy,
    "mia-mentr": thresholds.modified_entropy,
}


@dataclass(frozen=True, eq=False)
class Shadowed:
    """What shadow models answered to all samples, members and then others.

    odds, logs: float64 (K, 2N), ln(p / (1 − p)) and ln p of the true class. inside: bool (K, 2N).
    alike: whether they are networks of the target's kind and training; else LiRA aligns its odds.
    """

    odds: NDArray[np.float64]
    logs: NDArray[np.float64]
    inside: Inside
    alike: bool = False

    @staticmethod
    def of(records: list[Records], inside: Inside, alike: bool = False) -> Shadowed:
        """records: of each model, of all samples."""
        odds = np.stack([one.log_odds().numpy() for one in records])
        return Shadowed(odds, np.stack([thresholds.loss(one) for one in records]), inside, alike)


@dataclass(frozen=True, eq=False)
class MembershipTarget:
    """A network as one attacker sees it: N members, N others, and a seed for who knows what.

    members, others: what was seen, both alike. asked: gives shares (N,) of right answers under
    small changes of members and of others, for ``mia-label``. shadows: for those that need them.
    epochs: of attackers that learn.

    Raises AttackError for too few samples, and unequally many.
    """

    members: Records
    others: Records
    asked: Callable[[], tuple[Scores, Scores]] | None = None
    shadows: Shadowed | None = None
    seed: int = 0
    epochs: int = 50

    def __post_init__(self) -> None:
        if len(self.members) != len(self.others):
            raise AttackError(
                f"{len(self.members)} members beside {len(self.others)} others: take as many"
            )

    @cached_property
    def splits(self) -> tuple[Split, Split]:
        """Of members, and of others."""
        return (
            halves(self.members.labels, 2 * self.seed),
            halves(self.others.labels, 2 * self.seed + 1),
        )

    def parts(self, judged: bool) -> tuple[Records, Records]:
        """Members and others that the attacker knows, or those that judge him."""
        mine, theirs = self.splits
        if judged:
            return self.members.at(mine.judged), self.others.at(theirs.judged)
        return self.members.at(mine.known), self.others.at(theirs.known)


@dataclass(frozen=True)
class MembershipOutcome:
    """judged: numbers. epochs: chosen by the networks that learnt, by name."""

    judged: MembershipRates
    epochs: dict[str, int] = field(default_factory=dict)


def attack(name: str, target: MembershipTarget) -> MembershipOutcome:
    """The attack called ``name`` on a target.

    Threshold and epoch come from the half of the samples that the attacker knows, numbers from the
    other half. Raises AttackError for an unknown name, and for what was not seen.
    """
    if name not in MEMBERSHIP:
        raise AttackError(f"unknown attack {name!r}: choose from {', '.join(MEMBERSHIP)}")
    if MEMBERSHIP[name].learns:
        kind = cast(Kind, name.removeprefix("mia-"))
        learned = LearnedAttack(kind, target.epochs, target.seed)
        fitted = learned.fit(*target.parts(judged=False))
        mine, theirs = (fitted.score(one) for one in target.parts(judged=True))
        return MembershipOutcome(
            judge(mine, theirs, fitted.threshold), {str(k): n for k, n in fitted.epochs.items()}
        )
    both = _all_scores(name, target)
    known = [score[split.known.numpy()] for score, split in zip(both, target.splits, strict=True)]
    mine, theirs = (
        score[split.judged.numpy()] for score, split in zip(both, target.splits, strict=True)
    )
    return MembershipOutcome(judge(mine, theirs, best_threshold(*known)))


def _all_scores(name: str, target: MembershipTarget) -> tuple[Scores, Scores]:
    """Of all members and all others; none of these learns from those that are judged."""
    if name in _SCORES:
        return _SCORES[name](target.members), _SCORES[name](target.others)
    if name == "mia-label":
        if target.asked is None:
            raise AttackError("mia-label asks about changed samples: there is nobody to ask")
        return target.asked()
    shadows, count = target.shadows, len(target.members)
    if shadows is None:
        raise AttackError(f"{name} needs shadow models")
    whole = target.members.behind(target.others)
    if name == "mia-rmia":
        population = count + target.splits[1].known.numpy()
        found = rmia(thresholds.loss(whole), shadows.logs, shadows.inside, population)
    else:
        odds = np.asarray(whole.log_odds().numpy(), np.float64)
        if not shadows.alike:
            odds = aligned(odds, shadows.odds)
        found = lira(odds, shadows.odds, shadows.inside, online=name == "mia-lira")
    return found[:count], found[count:]


def label_scores(
    ask: Callable[[Tensor], Tensor],
    members: tuple[Tensor, Tensor],
    others: tuple[Tensor, Tensor],
    bounds: tuple[float, float] | None = None,
    how: LabelOnly | None = None,
) -> Callable[[], tuple[Scores, Scores]]:
    """``MembershipTarget.asked``: both sides' samples and labels, changed alike, when needed."""
    how = how or LabelOnly()
    if bounds is None:
        ends = torch.cat([members[0].flatten(), others[0].flatten()])
        bounds = float(ends.min()), float(ends.max())
    return lambda: (how.score(ask, *members, bounds), how.score(ask, *others, bounds))
