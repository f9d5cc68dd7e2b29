"""One exploration from what a user asked for to its result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.numbers.config import load_config
from hwsim.studies.explore.campaign import Exploration, Explored
from hwsim.studies.explore.design import Design, DesignGrid
from hwsim.studies.explore.result import ExplorePlan, Found, result_of
from hwsim.studies.explore.search import search
from hwsim.studies.runner.machines import card, place
from hwsim.studies.runner.store import Store
from hwsim.studies.study import StudyResult, lack

Progress = Callable[[float, float], None]


class Explorer:
    """The grid of a plan, everything typed checked before any work. Raises HwsimError."""

    def __init__(self, plan: ExplorePlan) -> None:
        self.plan = plan
        check_networks(plan.axes.networks)
        base = load_config(plan.base)
        self.grid = DesignGrid(plan.axes, base)
        self.exploration = Exploration(plan.base, plan.effort, plan.synthesis)

    @property
    def about(self) -> str:
        """What is under way, in a few words."""
        if self.plan.trials is not None:
            return f"{self.plan.trials:,} trials"
        return f"{len(self.grid.designs):,} designs"

    def compute(
        self, store: Store, executor: Executor, width: int, on_progress: Progress
    ) -> tuple[Found, StudyResult]:
        """All designs, or those that are proposed; rows in the store from there.

        Raises InputError where no network fits any engine.
        """
        began, plan = time.perf_counter(), self.plan

        def compute(designs: Sequence[Design]) -> list[Explored]:
            return self.exploration.compute(designs, store, executor, width, on_progress)

        references = compute(self.grid.reference)
        if plan.trials is None:
            explored = compute(self.grid.designs)
        else:
            explored = search(self.grid, self._searched(references), plan.trials, plan.seed,
                              compute)  # fmt: skip
        refused = Counter(self.grid.refused) + self.exploration.refused
        if not explored:
            reason, _ = refused.most_common(1)[0]
            raise InputError(f"no network fits an engine of the grid: {reason}")
        found = Found.of(explored, references, plan.goals)
        seconds = time.perf_counter() - began
        return found, result_of(plan, self.exploration, found, refused, store, seconds)

    def _searched(self, references: Sequence[Explored]) -> list:
        """Axes that are known of engines like these."""
        return [goal for goal in self.plan.goals if all(goal.name in r.values for r in references)]


def check_networks(names: Sequence[str]) -> None:
    """Raise InputError unless all of them are there, with their data, and of one data set."""
    sets: dict[str, str] = {}
    for name in names:
        if place(name) is None and name not in zoo.RECIPES:
            raise InputError(
                f"unknown model {name!r}: designs are of networks of the zoo, or trained into "
                "runs/zoo; see hwsim zoo list"
            )
        if why := lack(name):
            raise InputError(f"{name} is missing: {why}")
        sets.setdefault(card(name).dataset, name)
    if len(sets) > 1:
        (one, first), (other, second) = list(sets.items())[:2]
        raise InputError(
            f"{first} is of {one} and {second} of {other}: their accuracies and attacks cannot be "
            "compared; explore one data set at a time"
        )
