"""Rounds of examples: every subject in turn, areas with equal shares of the time.

A round is one run of a subject with a seed of its own. Seeds follow from one another, so that a
round that is started with its own seed is the same round again, and is followed by the same.
``make fuzz`` and ``make hostile`` both run in rounds.
"""

from __future__ import annotations

import functools
import hashlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis.errors import UnsatisfiedAssumption

SEEDS = 2**32

#: A test under ``hypothesis.given``, that takes ``arguments`` beside what is drawn.
Test = Callable[..., None]


class Subject(ABC):
    """What is put to the test: its name on the command line, its area, and its rounds.

    wanted: examples that it has before those that have theirs are run again; none by default.
    """

    name: str
    area: str
    wanted: int = 0

    def watch(self, progress: Progress) -> None:  # noqa: B027
        """Told once, before the first round, where its examples are counted."""

    @abstractmethod
    def round(self, seed: int, progress: Progress) -> None:
        """One round, the same for the same seed. Raises what it finds."""

    def end(self) -> None:  # noqa: B027
        """Give back what is held."""


@dataclass(frozen=True)
class Property(Subject):
    """One property: the test that draws examples, and what it takes beside them."""

    name: str
    area: str
    test: Test
    arguments: tuple[Any, ...] = ()

    def watch(self, progress: Progress) -> None:
        """Have every example of the test that is not rejected counted."""
        handle = self.test.hypothesis  # type: ignore[attr-defined]
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

    def round(self, seed: int, progress: Progress) -> None:
        """One run of the test."""
        hypothesis.seed(seed)(self.test)(*self.arguments)


def following(seed: int) -> int:
    """The seed of the round after the one with ``seed``."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")


@dataclass
class Progress:
    """What became of one subject: the seed of its next round, and what was done."""

    seed: int
    rounds: int = 0
    examples: int = 0
    seconds: float = 0.0
    failed: list[int] = field(default_factory=list)  # seeds


class Fuzz:
    """A run over ``subjects`` from ``seed`` on.

    on_round: called after each round with the subject and the error it ended in, if any. A
    subject that failed is not run again: it would find the same.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        seed: int,
        on_round: Callable[[Any, Progress, BaseException | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.subjects, self.on_round, self.clock = list(subjects), on_round, clock
        self.progress = {one.name: Progress(seed) for one in subjects}
        for one in subjects:
            one.watch(self.progress[one.name])

    def run(self, seconds: float) -> None:
        """Rounds until ``seconds`` have passed; every subject has at least one."""
        end = self.clock() + seconds
        try:
            while (chosen := self._next()) is not None:
                if self.clock() >= end and self.progress[chosen.name].rounds:
                    break
                self._round(chosen)
        finally:
            for one in self.subjects:
                one.end()

    def _next(self) -> Subject | None:
        """What has had no round yet; what has the smallest share of the examples that it is to
        have; else the area, then its subject, with the least time.
        """
        left = [one for one in self.subjects if not self.progress[one.name].failed]
        spent: Counter[str] = Counter()
        for one in self.subjects:
            spent[one.area] += self.progress[one.name].seconds  # type: ignore[assignment]

        def order(one: Subject) -> tuple[bool, float, float, float]:
            progress = self.progress[one.name]
            share = min(1.0, progress.examples / one.wanted) if one.wanted else 1.0
            return progress.rounds > 0, share, spent[one.area], progress.seconds

        return min(left, key=order, default=None)

    def _round(self, one: Subject) -> None:
        progress, start = self.progress[one.name], self.clock()
        error: Exception | None = None
        try:
            one.round(progress.seed, progress)
        except Exception as raised:
            error = raised
            progress.failed.append(progress.seed)
        finally:
            progress.seconds += self.clock() - start
        progress.rounds += 1
        self.on_round(one, progress, error)
        progress.seed = following(progress.seed)
