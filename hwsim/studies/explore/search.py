"""Part of a grid by a search: Optuna's NSGA-II proposes designs, generation by generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from hwsim.errors import InputError
from hwsim.studies.explore.campaign import Explored
from hwsim.studies.explore.design import Design, DesignGrid
from hwsim.studies.explore.objectives import DesignGoal

#: Designs that are proposed before any of them is judged: a generation.
POPULATION = 24


def need_optuna() -> None:
    """InputError without Optuna."""
    if find_spec("optuna") is None:
        raise InputError("--trials needs Optuna: pip install 'hwsim[explore]'")


def search(
    grid: DesignGrid,
    goals: Sequence[DesignGoal],
    trials: int,
    seed: int,
    compute: Callable[[Sequence[Design]], Sequence[Explored]],
) -> list[Explored]:
    """The designs that ``trials`` proposals lead to, each once, in the order of their proposal.

    compute: the designs that fit. A proposal that is no engine, or does not fit, is told as failed;
    one that was made before costs nothing but counts. The same seed, grid and rows propose the
    same: rows come from the store, so that an interrupted search goes on by being asked again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.NSGAIISampler(population_size=min(POPULATION, trials), seed=seed)
    study = optuna.create_study(
        directions=["minimize" if goal.lowest else "maximize" for goal in goals], sampler=sampler
    )
    known: dict[Design, Explored] = {}
    left = trials
    while left > 0:
        asked = [study.ask() for _ in range(min(POPULATION, left))]
        left -= len(asked)
        designs = [_proposed(trial, grid) for trial in asked]
        fresh = list(dict.fromkeys(
            one for one in designs if grid.refusal(one.engine) is None and one not in known
        ))  # fmt: skip
        known |= {one.design: one for one in compute(fresh)}
        for trial, design in zip(asked, designs, strict=True):
            one = known.get(design)
            if one is None or any(goal.name not in one.values for goal in goals):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, [one.values[goal.name].value for goal in goals])
    return list(known.values())


def _proposed(trial: Any, grid: DesignGrid) -> Design:
    """Axes by the numbers of their values, which are all that Optuna has to know."""
    chosen = {
        name: values[trial.suggest_categorical(name, list(range(len(values))))]
        for name, values in grid.axes.values.items()
    }
    return grid.axes.design(chosen)
