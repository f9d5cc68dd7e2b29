"""One exploration from what a user asked for to its result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.numbers.config import load_config
from hwsim.studies.explore.campaign import Exploration, Explored, ExploreEffort
from hwsim.studies.explore.design import Design, DesignGrid
from hwsim.studies.explore.objectives import DesignGoal
from hwsim.studies.explore.result import ExploredFront, ExplorePlan, result_of
from hwsim.studies.explore.search import search
from hwsim.studies.runner.machines import card, dataset, place
from hwsim.studies.runner.store import Store
from hwsim.studies.study import StudyResult, lack

Progress = Callable[[float, float], None]


class Explorer:
    """The grid of a plan, everything typed checked before any work. Raises HwsimError.

    plan: as given, with no more images than there are.
    """

    def __init__(self, plan: ExplorePlan) -> None:
        check_networks(plan.axes.networks)
        base = load_config(plan.base)
        self.grid = DesignGrid(plan.axes, base)
        images = len(dataset(card(plan.axes.networks[0]).dataset, "test"))
        self.plan = replace(plan, effort=bounded(plan.effort, images))
        self.exploration = Exploration(plan.base, self.plan.effort, plan.synthesis)

    @property
    def about(self) -> str:
        """What is under way, in a few words."""
        if self.plan.trials is not None:
            return f"{self.plan.trials:,} trials"
        return f"{len(self.grid.designs):,} designs"

    def compute(
        self, store: Store, executor: Executor, width: int, on_progress: Progress
    ) -> tuple[ExploredFront, StudyResult]:
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
        found = ExploredFront.of(explored, references, plan.goals)
        if not found.goals:
            raise InputError(
                f"{', '.join(goal.head for goal in plan.goals)}: not known of all these designs, "
                "so that there is nothing to compare: choose other --goals, or --synth for LUTs"
            )
        seconds = time.perf_counter() - began
        return found, result_of(plan, self.exploration, found, refused, store, seconds)

    def _searched(self, references: Sequence[Explored]) -> list[DesignGoal]:
        """Axes that are known of engines like these."""
        return [goal for goal in self.plan.goals if all(goal.name in r.values for r in references)]


def check_networks(names: Sequence[str]) -> None:
    """Raise InputError unless all of them are there, with their data, and of one data set."""
    sets: dict[str, str] = {}
    for name in names:
        if place(name) is None:
            how = f": {zoo.advice(name)}" if name in zoo.RECIPES else (
                ": designs are of networks of the zoo, or trained into runs/zoo (hwsim zoo list)"
            )  # fmt: skip
            raise InputError(f"unknown model {name!r}{how}")
        sets.setdefault(card(name).dataset, name)
    if len(sets) > 1:
        (one, first), (other, second) = list(sets.items())[:2]
        raise InputError(
            f"{first} is of {one} and {second} of {other}: their accuracies and attacks cannot be "
            "compared; explore one data set at a time"
        )
    for name in names:
        if why := lack(name):
            raise InputError(f"{name} is missing: {why}")


def bounded(effort: ExploreEffort, images: int) -> ExploreEffort:
    """No more test images than there are. Raises InputError where PGD was asked for more."""
    if effort.attacked > images:
        raise InputError(f"{effort.attacked:,} samples asked for, the test images are {images:,}")
    tested = min(effort.tested or images, images)
    return replace(effort, tested=tested, timed=min(effort.timed, images))
