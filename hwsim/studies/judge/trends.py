"""Claims about compression: success by rate and budget, as of Figs. 4 and 5 of Liu et al. 2018."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.campaign import Campaign
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.grid.plan import Answers
from hwsim.studies.judge.claims import Pair, Verdict, ordered, untested

#: What the studies call the uncompressed network; the other labels are rates, rising compression.
DENSE = "1"
#: Nothing is asked to rise above it.
FULL = 0.99


def trends(asked: Campaign, answers: Answers, what: str, nested: bool) -> list[Verdict]:
    """Rising with the budget, falling with compression: for the naive attack and the adaptive.

    what: name of the budget. nested: whether all that is found within a budget counts within a
    larger one. Then, and for Algorithm 1 and an adaptive attacker always, success cannot but rise;
    otherwise it is judged at single budgets.
    """
    labels = [line.label for line in asked.lines]
    every = {(n, m): asked.all(answers, n, m) for n in labels for m in asked.plan.names}

    def naive(n: str, m: str, k: int) -> Rate:
        return every[n, m][0].escalated(k)

    def adaptive(n: str, m: str, k: int) -> Rate:
        return worst(every[n, m], k)

    return [
        _rising(asked, every, what, nested),
        *_falling(asked, labels, naive, what, ""),
        *_falling(asked, labels, adaptive, what, ", adaptive attack"),
    ]


def _rising(
    asked: Campaign, every: dict[tuple[str, str], list[Outcome]], what: str, nested: bool
) -> Verdict:
    claim = f"success rises with {what}, for every network"
    if nested:
        return untested(
            claim, "yes", "true of any network: what a smaller budget finds, a larger one keeps"
        )
    budgets = asked.budgets
    pairs = [
        Pair(f"{n} {m}, {what} {budgets[k]:g} and {budgets[k + 1]:g}", one, other)
        for (n, m), outcomes in every.items()
        for k in range(len(budgets) - 1)
        for one, other in [(outcomes[0].single(k), outcomes[0].single(k + 1))]
        if one.value < FULL
    ]
    return ordered(f"{claim}, each {what} by itself", "yes", pairs)


def _falling(
    asked: Campaign,
    labels: list[str],
    success: Callable[[str, str, int], Rate],
    what: str,
    how: str,
) -> list[Verdict]:
    machines, budgets = asked.plan.names, asked.budgets
    hashed = [n for n in labels if n != DENSE]
    places = range(len(budgets))

    def at(k: int) -> str:
        return f"{what} {budgets[k]:g}"

    below = [
        Pair(f"{n} and {DENSE}, {m}, {at(k)}", success(n, m, k), success(DENSE, m, k))
        for n in hashed
        for m in machines
        for k in places
        if DENSE in labels
    ]
    falling = [
        Pair(f"{b} and {a}, {m}, {at(k)}", success(b, m, k), success(a, m, k))
        for a, b in pairwise(hashed)
        for m in machines
        for k in places
    ]
    return [
        ordered(
            f"every HashNet is fooled less often than the uncompressed network{how}",
            "at every budget",
            below,
        ),
        ordered(f"the more compressed, the lower the success{how}", "at every budget", falling),
    ]
