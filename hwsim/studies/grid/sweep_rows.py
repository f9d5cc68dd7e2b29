"""The pure function behind sweeps: an attack on any MODEL and any data, float against fixed."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hwsim.attacks.evaluate.tally import Tally
from hwsim.cost.timing import analyze
from hwsim.runs.count import count
from hwsim.runs.experiment import Experiment
from hwsim.runs.settings import Request
from hwsim.studies.runner.any_model import Choice, opened
from hwsim.studies.runner.task import Row, version


@version(1)
def sweep(
    choice: Mapping[str, Any],
    attack: str,
    budgets: Sequence[float | None],
    samples: int,
    loss: str,
    target: str | None,
    options: Mapping[str, Any],
) -> Row:
    """What ``hwsim attack`` counts with these options: {tally, cycles, energy_nj, memory_bits}.

    choice: of ``Choice``. budgets: rising, in the attack's norm, None for no bound.
    """
    with closing(experiment(choice, attack, budgets, samples, loss, target, options)) as made:
        with tempfile.TemporaryDirectory() as folder:
            tally = count(made, Path(folder) / "partial.json")
        timing = analyze(made.network.program)
    return {
        "tally": _plain(tally),
        "cycles": timing.cycles,
        "energy_nj": timing.to_dict()["energy_nj"],
        "memory_bits": timing.memory_bits,
    }


def experiment(
    choice: Mapping[str, Any],
    attack: str,
    budgets: Sequence[float | None],
    samples: int,
    loss: str,
    target: str | None,
    options: Mapping[str, Any],
) -> Experiment:
    """What is to be counted. Raises InputError and AttackError for what makes no sense."""
    subject = opened(Choice.of(choice))
    epsilons = tuple(math.inf if one is None else float(one) for one in budgets)
    request = Request(
        attack=attack, model=choice["model"], epsilons=epsilons, samples=samples, loss=loss,
        target=target, options=dict(options),
    )  # fmt: skip
    return Experiment(request, subject.network, subject.test, lambda: subject.training(samples))


def _plain(tally: Tally) -> dict[str, Any]:
    """For JSON, which has no word for no bound; ``Tally.from_dict`` takes None for it."""
    found = tally.as_dict()
    for name in ("epsilons", "effective_epsilons"):
        found[name] = [None if math.isinf(one) else one for one in found[name]]
    return found
