"""Small budgets of steps and queries, by the name of the argument, for attacks of any library."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tests.clients.libraries.attempts import CLASSES

#: Wherever an attack takes an argument of that name.
BUDGET: dict[str, Any] = {
    "steps": 3, "max_iter": 3, "iterations": 3, "n_queries": 12, "queries": 12, "nb_iter": 3,
    "nb_steps": 3, "n_steps": 3, "binary_search_steps": 2, "restarts": 1, "n_restarts": 1,
    "nb_restarts": 1, "runs": 2, "max_eval": 20, "init_eval": 5, "init_size": 5,
    "initial_gradient_eval_steps": 5, "max_gradient_eval_steps": 10, "nb_samples": 2,
    "n_samples": 2, "N": 2, "m1": 2, "m": 2, "max_queries": 60, "max_trial": 60, "max_trials": 10,
    "sample_size": 4, "num_trial": 5, "query_limit": 200, "k": 1, "num_xforms": 4,
    "num_xforms_mask": 4, "num_xforms_boost": 4, "num_boost_queries": 20, "first_steps": 3,
    "nb_parallel": 4, "n_iter": 2,
    "inner_iters": 2, "outer_iters": 2, "inf_batch": 2, "inner_batch": 2, "popsize": 6,
    "directions": 4, "max_rotation": 10, "num_rotations": 3, "num_translations": 3,
    "max_translation": 2, "n_classes": CLASSES, "verbose": False, "grid_max": 2, "max_halving": 1,
    "max_doubling": 1, "initial_num_evals": 5, "max_num_evals": 10,
    "stepsize_search": "grid_search",
}  # fmt: skip


def budget(function: Callable[..., Any], **more: Any) -> dict[str, Any]:
    """The arguments of BUDGET and ``more`` that ``function`` takes; ``more`` has the last word."""
    parameters = inspect.signature(function).parameters
    return {
        name: _like(parameters[name].default, value)
        for name, value in {**BUDGET, **more}.items()
        if name in parameters
    }


def _like(default: Any, value: Any) -> Any:
    """As a float where the library's own default is one (max_rotation), as it is elsewhere."""
    return float(value) if type(default) is float and type(value) is int else value
