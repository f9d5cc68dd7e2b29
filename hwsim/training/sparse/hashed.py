"""The candidate of a hashed network: no mask but an allocation of real weights, at a fixed sum."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def moved(
    counts: Mapping[str, int], room: Mapping[str, int], share: float, generator: torch.Generator
) -> dict[str, int]:
    """``share`` of one layer's words given to another one, both drawn; the sum stays.

    A layer keeps one word at least, and gets no more than ``room`` has for it. Unchanged where
    that leaves nothing to give.
    """
    names = list(counts)
    pairs = [
        (giver, taker, count)
        for giver in names
        for taker in names
        if giver != taker
        and (count := min(int(counts[giver] * share), counts[giver] - 1,
                          room[taker] - counts[taker])) > 0
    ]  # fmt: skip
    if not pairs:
        return dict(counts)
    giver, taker, count = pairs[int(torch.randint(len(pairs), (1,), generator=generator))]
    return {**counts, giver: counts[giver] - count, taker: counts[taker] + count}
