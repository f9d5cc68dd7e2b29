"""The membership attacks by name, and what each needs to see. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: class: answers suffice. outputs: logits or probabilities. white: losses and gradients too.
Sees = Literal["class", "outputs", "white"]


@dataclass(frozen=True)
class MembershipEntry:
    """One attack. learns: a network of its own. shadows: shadow models. queries: more than one
    answer for each sample.
    """

    name: str
    title: str
    sees: Sees = "outputs"
    learns: bool = False
    shadows: bool = False
    queries: bool = False


MEMBERSHIP = {
    entry.name: entry
    for entry in (
        MembershipEntry("mia-gap", "Right or wrong: what the generalization gap gives away",
                        "class"),
        MembershipEntry("mia-loss", "Threshold of the loss (Yeom 2018)"),
        MembershipEntry("mia-confidence", "Threshold of the largest probability (Salem 2019)"),
        MembershipEntry("mia-entropy", "Threshold of the answer's entropy (Salem 2019)"),
        MembershipEntry("mia-mentr", "Threshold of the modified entropy (Song, Mittal 2021)"),
        MembershipEntry("mia-label", "Answers under small changes alone (Choquette-Choo 2021)",
                        "class", queries=True),
        MembershipEntry("mia-bmia", "Black-box network on outputs and class (SafeCompress)",
                        "class", learns=True),
        MembershipEntry("mia-wmia", "White-box network, loss and gradient too (SafeCompress)",
                        "white", learns=True),
        MembershipEntry("mia-mmia", "Black and white box together (SafeCompress)", "white",
                        learns=True),
        MembershipEntry("mia-lira", "Likelihood ratio of shadow models (Carlini 2022)",
                        shadows=True),
        MembershipEntry("mia-lira-offline", "Likelihood ratio, of shadow models without the sample",
                        shadows=True),
        MembershipEntry("mia-rmia", "Pairwise ratios to other samples (Zarifzadeh 2024)",
                        shadows=True),
    )
}  # fmt: skip


def listed(names: str | None = None) -> tuple[MembershipEntry, ...]:
    """Entries by names with commas between them, all where None; ValueError for an unknown one."""
    if names is None:
        return tuple(MEMBERSHIP.values())
    found = [part.strip() for part in names.split(",") if part.strip()]
    for name in found:
        if name not in MEMBERSHIP:
            raise ValueError(f"unknown attack {name!r}: choose from {', '.join(MEMBERSHIP)}")
    return tuple(MEMBERSHIP[name] for name in dict.fromkeys(found))
