"""From counts to the dict that hwsim.report.report describes."""

from __future__ import annotations

import math
from typing import Any

from hwsim.attacks.evaluate.tally import Tally
from hwsim.cost.timing import TimingReport, analyze
from hwsim.networks.open import versions
from hwsim.report import budgets, robustbench
from hwsim.runs.experiment import Experiment
from hwsim.runs.tally import shares


def build(experiment: Experiment, tally: Tally, seconds: float) -> dict[str, Any]:
    """The result of a finished run."""
    config, chosen = experiment.network.program.config, experiment.settings
    test = experiment.test
    found = {
        "attack": chosen.attack,
        "norm": experiment.norm,
        "values": math.prod(experiment.network.program.input_shape),
        "model": chosen.model,
        "config": config.name,
        "bits": config.act_w,
        **budgets.input_range(experiment.grid.bounds),
        "samples": tally.samples,
        "targeted": chosen.target or False,
        "loss": chosen.loss if chosen.entry.differentiates == "loss" else None,
        "temperature": chosen.temperature,
        "probabilities": chosen.probabilities,
        "gradient": chosen.gradient if chosen.entry.needs_gradient else None,
        "options": dict(chosen.options),
        "backend": chosen.backend,
        **({} if experiment.judge is None else {"judged": _judged(experiment)}),
        "dataset": test.about,
        **shares(tally),
        **_costs(analyze(experiment.network.program)),
        "versions": versions(),
        "command": chosen.command,
        "seconds": seconds,
    }
    return found | {"robustbench": robustbench.of_attack(found)}


def _judged(experiment: Experiment) -> dict[str, int]:
    assert experiment.judge is not None
    images = len(experiment.judge.known)
    logits = images * experiment.network.program.classes
    # A difference would have ended the run.
    return {"images": images, "logits": logits, "equal": logits, "differences": 0}


def _costs(timing: TimingReport) -> dict[str, Any]:
    report = timing.to_dict()
    return {
        "cycles": timing.cycles,
        "energy_nj": report["energy_nj"],
        "memory_bits": timing.memory_bits,
        "timing": {
            "cycles": timing.cycles,
            "clock_mhz": timing.config.clock_mhz,
            "microseconds": timing.seconds * 1e6,
            "utilization": timing.utilization,
            "stalls": timing.stalls,
            "bank_conflicts": timing.bank_conflicts,
        },
    }
