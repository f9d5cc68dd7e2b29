"""What makes a sentence of a paper reproduced: explicit rules over the rows, nothing else.

near: published numbers lie within a stated distance of ours, all of them (reproduced) or most of
them (partly). ordered: one number is said to lie
below another; every such pair is confirmed where the 95% interval of the difference lies above 0,
reversed where it lies below, open between. Of all pairs: reproduced if none is reversed and at
least half are confirmed; not reproduced if none is confirmed, or no more than chance confirms of as
many where nothing differs (one in forty), or more are reversed than confirmed; partly otherwise.
holds: a share of named conditions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hwsim.attacks.evaluate.rates import Rate

REPRODUCED, PARTLY, NOT, UNTESTED = "reproduced", "partly", "not reproduced", "not tested"


#: Intervals of 95% that lie above 0 where there is no difference.
BY_CHANCE = 0.025
#: Fewer seeds than this say nothing about a trend.
ENOUGH = 3


@dataclass(frozen=True)
class Verdict:
    """claim: the paper's sentence, in short. paper, ours: numbers as text. why: what decided."""

    claim: str
    paper: str
    ours: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Pair:
    """``lower`` is said to lie below ``upper``; what: which two."""

    what: str
    lower: Rate
    upper: Rate

    @property
    def difference(self) -> float:
        return self.upper.value - self.lower.value

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of upper − lower (Newcombe 1998, method 10: from Wilson's intervals)."""
        (a, b), (c, d) = self.upper.interval, self.lower.interval
        u, w, gap = self.upper.value, self.lower.value, self.difference
        return (
            gap - math.hypot(u - a, d - w),
            gap + math.hypot(b - u, w - c),
        )

    @property
    def state(self) -> str:
        """``confirmed``, ``reversed`` or ``open``."""
        low, high = self.interval
        return "confirmed" if low > 0 else "reversed" if high < 0 else "open"


def ordered(claim: str, paper: str, pairs: Sequence[Pair], ours: str = "") -> Verdict:
    """By the rule at the head of this file."""
    if not pairs:
        return untested(claim, paper, "the networks that it compares are missing")
    count = {s: sum(pair.state == s for pair in pairs) for s in ("confirmed", "open", "reversed")}
    yes, no = count["confirmed"], count["reversed"]
    lucky = yes <= BY_CHANCE * len(pairs)
    if no == 0 and 2 * yes >= len(pairs):
        verdict = REPRODUCED
    elif lucky or no > yes:
        verdict = NOT
    else:
        verdict = PARTLY
    why = f"of {len(pairs)} comparisons {yes} confirmed, {no} reversed, {count['open']} open at 95%"
    if yes and lucky:
        why += "; no more than by chance"
    against = [pair for pair in pairs if pair.state == "reversed"]
    if against:
        most = min(against, key=lambda pair: pair.difference)
        why += f"; most against it: {most.what} ({100 * most.difference:+.1f} points)"
    return Verdict(claim, paper, ours, verdict, why)


def near(
    claim: str, published: Sequence[float], ours: Sequence[float], tolerance: float
) -> Verdict:
    """Shares in 0 … 1, pairwise: reproduced if all are within ``tolerance``, partly if most are."""
    text = ", ".join(f"{100 * p:.2f}%" for p in published)
    if not ours or len(ours) != len(published):
        return untested(claim, text, "the networks that it names are missing")
    gaps = [abs(a - b) for a, b in zip(published, ours, strict=True)]
    inside = sum(gap <= tolerance for gap in gaps)
    verdict = REPRODUCED if inside == len(gaps) else PARTLY if 2 * inside > len(gaps) else NOT
    return Verdict(
        claim, text, ", ".join(f"{100 * o:.2f}%" for o in ours), verdict,
        f"{inside} of {len(gaps)} within {100 * tolerance:g} points; largest distance "
        f"{100 * max(gaps):.1f}",
    )  # fmt: skip


def holds(
    claim: str, paper: str, conditions: Sequence[tuple[str, bool]], ours: str = ""
) -> Verdict:
    """Reproduced if all conditions hold, partly if at least half do."""
    if not conditions:
        return untested(claim, paper, "the networks that it names are missing")
    good = [name for name, true in conditions if true]
    bad = [name for name, true in conditions if not true]
    verdict = REPRODUCED if not bad else PARTLY if len(good) >= len(bad) else NOT
    why = f"holds for {len(good)} of {len(conditions)}"
    if bad:
        why += f"; not for {', '.join(bad[:4])}{' …' if len(bad) > 4 else ''}"
    return Verdict(claim, paper, ours, verdict, why)


def apart(claim: str, cases: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> Verdict:
    """``(what, lower, upper)``: each seed of ``lower`` is said to lie below each of ``upper``.

    A case is confirmed where it does, reversed where every one lies above, open where the seeds
    overlap. Verdicts as in ``ordered``; not tested with fewer than ENOUGH seeds a side.
    """
    some = [(w, a, b) for w, a, b in cases if min(len(a), len(b)) >= ENOUGH]
    if not some:
        return untested(claim, "one seed", f"fewer than {ENOUGH} seeds of each are there")
    yes = [w for w, a, b in some if max(a) < min(b)]
    no = [w for w, a, b in some if min(a) > max(b)]
    if not no and 2 * len(yes) >= len(some):
        verdict = REPRODUCED
    elif not yes or len(no) > len(yes):
        verdict = NOT
    else:
        verdict = PARTLY
    why = (
        f"of {len(some)} cases the seeds lie apart as claimed in {len(yes)}, the other way in "
        f"{len(no)}, and overlap in {len(some) - len(yes) - len(no)}"
    )
    return Verdict(claim, "one seed", ", ".join(yes[:5]), verdict, why)


def falls_by(before: Rate, after: Rate) -> Fraction:
    """before − after, exactly: a limit in points is met where it is met, not where floats say."""
    return Fraction(before.successes, before.total) - Fraction(after.successes, after.total)


def untested(claim: str, paper: str, why: str) -> Verdict:
    """Nothing to judge by."""
    return Verdict(claim, paper, "–", UNTESTED, why)
