"""The loop of test-driven sparse training and of its controls, which differ only in their tables.

Steps, and now and then an update. An update proposes candidates; each learns the same few batches,
is tested, and the best TM-score goes on with what it has learnt. Where nothing is tested, there is
nothing to try: one candidate is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from hwsim.errors import InputError
from hwsim.training.sparse.batches import Batches, seed_of
from hwsim.training.sparse.keeping import Finished, History, Keeper
from hwsim.training.sparse.learner import Learner, Term
from hwsim.training.sparse.opponents import Opponents
from hwsim.training.sparse.settings import Settings, SparseMethod
from hwsim.training.sparse.tester import Rating, Tester
from hwsim.training.sparse.updates import Due, Update

#: (epoch, step, loss, what is being done) after each batch of the network that goes on.
OnStep = Callable[[int, int, float, str], None]


def silent(epoch: int, step: int, loss: float, what: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Parts:
    """What a compression is made of.

    stops: whether a learner is to stop after an epoch. seed: of the choice.
    """

    method: SparseMethod
    settings: Settings
    batches: Batches
    update: Update
    due: Due
    seed: int
    tester: Tester | None = None
    opponent: Opponents | None = None
    stops: Callable[[Learner], bool] | None = None
    on_step: OnStep = silent


@dataclass
class _Compressing:
    """The loop's state between two steps."""

    parts: Parts
    learner: Learner
    history: History = field(default_factory=list)
    term: Term | None = None

    def epoch(self, number: int) -> None:
        """All steps of an epoch."""
        parts = self.parts
        steps = parts.batches.steps
        self._learn_opponent(number)
        step = 0
        while step < steps:
            progress = number * steps + step
            if parts.due(progress):
                taken = self._update(progress, min(parts.settings.trial, steps - step))
                step += taken
                if taken:
                    continue
            loss = self._step(self.learner, progress)
            parts.on_step(number, step, loss, "")
            step += 1

    def _learn_opponent(self, number: int) -> None:
        parts = self.parts
        plain = parts.settings.plain * parts.settings.recipe.epochs
        if parts.opponent is not None and number >= plain:
            self.term = parts.opponent.learn(self.learner.module)

    def _step(self, learner: Learner, progress: int) -> float:
        batches = self.parts.batches
        return learner.step(*batches.at(progress), progress, batches.total, self.term)

    def _update(self, progress: int, trial: int) -> int:
        """Replace the network by the best candidate; the steps that it has learnt already."""
        parts = self.parts
        epoch, step = divmod(progress, parts.batches.steps)
        if parts.tester is None:
            number = 0
            if parts.method.choice == "random":
                generator = torch.Generator().manual_seed(seed_of(parts.seed, progress, 6))
                number = int(torch.randint(parts.settings.candidates, (1,), generator=generator))
            self.learner = parts.update(self.learner, progress, number)
            self.history.append({"progress": progress, "chosen": number})
            return 0
        if not parts.tester.state:
            parts.tester.prepare(self.learner.module)
        best: tuple[int, Learner, Rating] | None = None
        told: list[dict[str, Any]] = []
        for number in range(parts.settings.candidates):
            learner, loss = parts.update(self.learner, progress, number), 0.0
            for ahead in range(trial):
                loss = self._step(learner, progress + ahead)
            verdict = parts.tester(learner.module)
            told.append({"task": verdict.task, "attack": verdict.attack, "score": verdict.score})
            if best is None or verdict.score > best[2].score:
                best = number, learner, verdict
            what = f"candidate {number + 1} of {parts.settings.candidates}"
            parts.on_step(epoch, step, loss, what)
        assert best is not None
        number, self.learner, verdict = best
        parts.tester.state = verdict.state
        self.history.append({"progress": progress, "chosen": number, "candidates": told})
        if trial:
            parts.on_step(epoch, step + trial - 1, loss, "")
        return trial


def run(learner: Learner, parts: Parts, keeper: Keeper | None) -> tuple[Learner, Finished]:
    """Train to the end, or to where it stops; go on where ``keeper`` has a beginning of it."""
    done = Finished(0)
    attackers: dict[str, Tester | Opponents | None] = {
        "tester": parts.tester, "opponent": parts.opponent,
    }  # fmt: skip
    if keeper is not None and (found := keeper.load(learner)) is not None:
        learner, done = found
        for name, one in attackers.items():
            if one is not None:
                one.state = done.states.get(name, {})
    state = _Compressing(parts, learner, list(done.history))
    for epoch in range(done.epoch, 0 if done.stopped else parts.settings.recipe.epochs):
        state.epoch(epoch)
        _check_finite(state.learner, epoch)
        stopped = parts.stops is not None and parts.stops(state.learner)
        states = {name: one.state for name, one in attackers.items() if one is not None}
        done = Finished(epoch + 1, state.history, states, stopped)
        if keeper is not None:
            keeper.save(state.learner, done)
        if stopped:
            break
    return state.learner, done


def _check_finite(learner: Learner, epoch: int) -> None:
    """Before the epoch is kept: what cannot be saved in the end is not trained to the end."""
    for value in learner.module.state_dict().values():
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"the training broke down in epoch {epoch + 1}, weights are no finite numbers any "
                "more: choose a smaller learning rate"
            )
