"""What the grid says of the engine that it starts from: beaten on every axis, or by none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from hwsim.studies.explore.campaign import Explored
from hwsim.studies.explore.objectives import DesignGoal, Standing, beats, no_worse, standings
from hwsim.studies.explore.words import said


@dataclass(frozen=True)
class DesignVerdict:
    """Of one network on the base engine, beside all other designs.

    verdict: ``beaten on every axis``, ``beaten``, where a design is better on some axes and worse
    on none as far as that can be told, or ``not beaten``. text: a sentence with the numbers.
    counts: axis -> designs better, worse, equal, open there. winner: the design named in the text.
    """

    reference: Explored
    verdict: str
    text: str
    counts: Mapping[str, Mapping[Standing, int]]
    winner: Explored | None


def judged(
    reference: Explored, others: Sequence[Explored], goals: Sequence[DesignGoal]
) -> DesignVerdict:
    """By enumeration: every other design is held against the reference, axis by axis.

    Of several that beat it, the one is named that is better on most axes, then that costs the least
    by the product of its exact axes over the reference's.
    """
    pairs = [
        (one, standings(one.values, reference.values, goals))
        for one in others
        if one.design != reference.design
    ]
    counts: dict[str, dict[Standing, int]] = {
        goal.name: {
            state: sum(found[goal.name] == state for _, found in pairs)
            for state in get_args(Standing)
        }
        for goal in goals
    }
    name = f"{reference.design.network} on {reference.design.engine.text}"
    many = f"{len(pairs):,} other designs"
    every = [pair for pair in pairs if beats(pair[1])]
    some = [pair for pair in pairs if no_worse(pair[1])]
    if every:
        one, found = _least(every, reference, goals)
        text = (
            f"{len(every):,} of {many} beat {name} on every axis. "
            f"{_beside(one, reference, found, goals)}"
        )
        return DesignVerdict(reference, "beaten on every axis", text, counts, one)
    blocked = [goal.head for goal in goals if pairs and not counts[goal.name]["better"]]
    why = f"None of {many} beats {name} on every axis"
    if blocked:
        why += f": on {', '.join(blocked)} none is better by more than can be told"
    if some:
        one, found = _least(some, reference, goals)
        text = (
            f"{why}. {len(some):,} are better on some axes and worse on none that can be told. "
            f"{_beside(one, reference, found, goals)}"
        )
        return DesignVerdict(reference, "beaten", text, counts, one)
    return DesignVerdict(reference, "not beaten", f"{why}, nor without a loss.", counts, None)


Pair = tuple[Explored, Mapping[str, Standing]]


def _least(pairs: Sequence[Pair], reference: Explored, goals: Sequence[DesignGoal]) -> Pair:
    def order(pair: Pair) -> tuple[int, float]:
        one, found = pair
        better = sum(state == "better" for state in found.values())
        product = 1.0
        for goal in goals:
            if goal.lowest and goal.name != "pgd":
                product *= one.values[goal.name].value / reference.values[goal.name].value
        return -better, product

    return min(pairs, key=order)


def _beside(
    one: Explored, reference: Explored, found: Mapping[str, Standing], goals: Sequence[DesignGoal]
) -> str:
    """``mnist-cnn-h16 on 8×4/8 8b hash: cycles 1 against 2, …``."""
    words = {"better": "", "worse": " (worse)", "equal": " (equal)", "open": " (can't be told)"}
    parts = [
        f"{goal.head} {said(goal.name, one.values[goal.name])} against "
        f"{said(goal.name, reference.values[goal.name])}{words[found[goal.name]]}"
        for goal in goals
    ]
    return f"{one.design.network} on {one.design.engine.text}: {', '.join(parts)}."
