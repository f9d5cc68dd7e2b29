"""Claims about compression: success by rate and budget, as of Figs. 4 and 5 of Liu et al. 2018."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from attacks.evaluate import Rate
from hwsim.studies.campaign import Campaign
from hwsim.studies.claims import Pair, Verdict, ordered
from hwsim.studies.outcomes import worst
from hwsim.studies.plan import Answers

#: What the studies call the uncompressed network; the other labels are rates, rising compression.
DENSE = "1"
#: Nothing is asked to rise above it.
FULL = 0.99


def trends(asked: Campaign, answers: Answers, what: str) -> list[Verdict]:
    """Rising with the budget, falling with compression: for the naive attack and the adaptive.

    what: name of the budget.
    """
    labels = [line.label for line in asked.lines]
    every = {(n, m): asked.all(answers, n, m) for n in labels for m in asked.plan.names}

    def naive(n: str, m: str, k: int) -> Rate:
        return every[n, m][0].escalated(k)

    def adaptive(n: str, m: str, k: int) -> Rate:
        return worst(every[n, m], k)

    return [
        *_three(asked, labels, naive, what, ""),
        *_three(asked, labels, adaptive, what, ", adaptive attack"),
    ]


def _three(
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

    rising = [
        Pair(f"{n} {m}, {at(k)} and {budgets[k + 1]:g}", success(n, m, k), success(n, m, k + 1))
        for n in labels
        for m in machines
        for k in places[:-1]
        if success(n, m, k).value < FULL
    ]
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
        ordered(f"success rises with {what}, for every network{how}", "yes", rising),
        ordered(
            f"every HashNet is fooled less often than the uncompressed network{how}",
            "at every budget",
            below,
        ),
        ordered(f"the more compressed, the lower the success{how}", "at every budget", falling),
    ]
