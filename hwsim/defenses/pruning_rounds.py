"""Iterative magnitude pruning: which weights are left after so many rounds.

Each round takes the smallest 10% of the nonzero weights of every fully connected layer and 5% of
those of every convolution ("Defend NN against adversarial attacks" slides; the percentile is taken
per layer, as in the public re-implementation).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError

#: Surviving weights of each layer, bool (K,).
Masks = dict[str, NDArray[np.bool_]]
#: Share of the nonzero weights that one round removes, by kind of layer.
SHARE = {"fc": 0.10, "conv": 0.05}
#: No schedule needs more: 0.95^400 leaves one weight of 800 million.
MAX_ROUNDS = 400


@dataclass(frozen=True)
class Round:
    """After round ``number`` (from 1): nonzero weights left, and all weights by those left."""

    number: int
    left: int
    compression: float


def prune_round(values: NDArray[np.generic], kind: str) -> NDArray[np.bool_]:
    """(K,) bool: weights that survive one round; zeros do not. Ties go to the higher address.

    A layer with too few weights to lose a whole one keeps them, so no layer is ever emptied.
    """
    magnitude = np.abs(values.astype(np.float64)).reshape(-1)
    alive = np.flatnonzero(magnitude)
    keep = magnitude > 0
    if len(alive):
        gone = int(len(alive) * SHARE[kind])
        order = np.argsort(magnitude[alive], kind="stable")
        keep[alive[order[:gone]]] = False
    return keep


def check_compression(compression: float) -> None:
    """Raise InputError unless it is a number above 1."""
    if not 1.0 < compression < float("inf"):
        raise InputError(f"pruning needs a compression above 1, got {compression}")


def plan(
    sizes: Mapping[str, int], nonzero: Mapping[str, int], kinds: Mapping[str, str], to: float
) -> list[Round]:
    """The rounds that ``rounds`` will take, by counting alone, if no weight becomes 0 by itself.

    sizes, nonzero: weights of each layer, in all and at the beginning. Raises InputError for a
    compression that cannot be reached.
    """
    check_compression(to)
    left, total = dict(nonzero), sum(sizes.values())
    found: list[Round] = []
    while not found or found[-1].compression < to:
        gone = {name: int(count * SHARE[kinds[name]]) for name, count in left.items()}
        left = {name: count - gone[name] for name, count in left.items()}
        remaining = sum(left.values())
        if not any(gone.values()) or len(found) == MAX_ROUNDS:
            raise _out_of_reach(to, remaining, total)
        found.append(Round(len(found) + 1, remaining, total / remaining))
    return found


def _out_of_reach(compression: float, left: int, total: int) -> InputError:
    return InputError(
        f"pruning to {compression:g} times fewer weights is out of reach: {left} of {total} are "
        "left and no layer has enough to lose a share: choose a lower one"
    )


def rounds(
    values: Mapping[str, NDArray[np.generic]], kinds: Mapping[str, str], compression: float
) -> Generator[tuple[Round, Masks], Mapping[str, NDArray[Any]] | None, None]:
    """Masks of the surviving weights after each round, until all / left >= compression.

    The caller may send new values (retrained between rounds) with ``send``; zeroed weights must
    have stayed zero. Raises InputError for a compression that cannot be reached.
    """
    check_compression(compression)
    now: dict[str, NDArray[Any]] = {k: np.asarray(v).reshape(-1) for k, v in values.items()}
    total = sum(array.size for array in now.values())
    for number in range(1, MAX_ROUNDS + 1):
        keep = {name: prune_round(array, kinds[name]) for name, array in now.items()}
        left = sum(int(mask.sum()) for mask in keep.values())
        if left == sum(np.count_nonzero(array) for array in now.values()):
            raise _out_of_reach(compression, left, total)
        sent = yield Round(number, left, total / left), keep
        if total / left >= compression:
            return
        source = now if sent is None else sent
        for name, mask in keep.items():
            now[name] = np.where(mask, np.asarray(source[name]).reshape(-1), 0)
    raise InputError(f"pruning to {compression:g} times fewer weights takes too many rounds")
