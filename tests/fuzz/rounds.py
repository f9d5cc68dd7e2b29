"""Rounds of examples: every property in turn, areas with equal shares of the time.

A round is one run of a property's test with a seed of its own. Seeds follow from one another, so
that a round that is started with its own seed is the same round again, and is followed by the same.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis.errors import UnsatisfiedAssumption

SEEDS = 2**32

#: A test under ``hypothesis.given``, that takes ``arguments`` beside what is drawn.
Test = Callable[..., None]


@dataclass(frozen=True)
class Property:
    """One property: its name on the command line, its area, and the test that draws examples."""

    name: str
    area: str
    test: Test
    arguments: tuple[Any, ...] = ()

    def end(self) -> None:
        """Give back what the test holds."""


def following(seed: int) -> int:
    """The seed of the round after the one with ``seed``."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")


@dataclass
class Progress:
    """What became of one property: the seed of its next round, and what was done."""

    seed: int
    rounds: int = 0
    examples: int = 0
    seconds: float = 0.0
    failed: list[int] = field(default_factory=list)  # seeds


def counted(one: Property, progress: Progress) -> None:
    """Have every example of the test that is not rejected counted."""
    handle = one.test.hypothesis  # type: ignore[attr-defined]
    inner = handle.inner_test

    @functools.wraps(inner)
    def count(*args: object, **kwargs: object) -> None:
        try:
            inner(*args, **kwargs)
        except UnsatisfiedAssumption:
            progress.examples -= 1
            raise
        finally:
            progress.examples += 1

    handle.inner_test = count


class Fuzz:
    """A run over ``properties`` from ``seed`` on.

    on_round: called after each round with the property and the error it ended in, if any. A
    property that failed is not run again: it would find the same.
    """

    def __init__(
        self,
        properties: Sequence[Property],
        seed: int,
        on_round: Callable[[Property, Progress, BaseException | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.properties, self.on_round, self.clock = list(properties), on_round, clock
        self.progress = {one.name: Progress(seed) for one in properties}
        for one in properties:
            counted(one, self.progress[one.name])

    def run(self, seconds: float) -> None:
        """Rounds until ``seconds`` have passed; every property has at least one."""
        end = self.clock() + seconds
        try:
            while (chosen := self._next()) is not None:
                if self.clock() >= end and self.progress[chosen.name].rounds:
                    break
                self._round(chosen)
        finally:
            for one in self.properties:
                one.end()

    def _next(self) -> Property | None:
        """What has had no round yet; else the area, then its property, with the least time."""
        left = [one for one in self.properties if not self.progress[one.name].failed]
        spent: Counter[str] = Counter()
        for one in self.properties:
            spent[one.area] += self.progress[one.name].seconds  # type: ignore[assignment]

        def order(one: Property) -> tuple[bool, float, float]:
            progress = self.progress[one.name]
            return progress.rounds > 0, spent[one.area], progress.seconds

        return min(left, key=order, default=None)

    def _round(self, one: Property) -> None:
        progress, start = self.progress[one.name], self.clock()
        error: Exception | None = None
        try:
            hypothesis.seed(progress.seed)(one.test)(*one.arguments)
        except Exception as raised:
            error = raised
            progress.failed.append(progress.seed)
        finally:
            progress.seconds += self.clock() - start
        progress.rounds += 1
        self.on_round(one, progress, error)
        progress.seed = following(progress.seed)
