"""From counts to the dict that hwsim.report.report describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwsim.attacks.evaluate.cross import Rate, Tally
from hwsim.cost.timing import TimingReport, analyze
from hwsim.networks.open import versions
from hwsim.report.report import PAIRS

if TYPE_CHECKING:
    from hwsim.runs.experiment import Experiment

#: What the columns of a tally's distortions are.
DISTANCES = ("l0", "l1", "l2", "linf")


def build(experiment: Experiment, tally: Tally, seconds: float) -> dict[str, Any]:
    """The result of a finished run."""
    config, chosen = experiment.network.program.config, experiment.settings
    test = experiment.test
    return {
        "attack": chosen.attack,
        "norm": experiment.norm,
        "values": math.prod(experiment.network.program.input_shape),
        "model": chosen.model,
        "config": config.name,
        "bits": config.act_w,
        "samples": tally.samples,
        "targeted": chosen.target or False,
        "loss": chosen.loss if chosen.entry.differentiates == "loss" else None,
        "temperature": chosen.temperature,
        "probabilities": chosen.probabilities,
        "gradient": chosen.gradient if chosen.entry.needs_gradient else None,
        "options": dict(chosen.options),
        "backend": chosen.backend,
        **({} if experiment.judge is None else {"judged": _judged(experiment)}),
        "dataset": {
            "name": test.name,
            "source": test.source,
            "note": test.note,
            "digest": test.digest,
        },
        **shares(tally),
        **_costs(analyze(experiment.network.program)),
        "versions": versions(),
        "command": chosen.command,
        "seconds": seconds,
    }


def _judged(experiment: Experiment) -> dict[str, int]:
    assert experiment.judge is not None
    images = len(experiment.judge.known)
    logits = images * experiment.network.program.classes
    # A difference would have ended the run.
    return {"images": images, "logits": logits, "equal": logits, "differences": 0}


def judged_by_rtl(tally: Tally) -> Tally:
    """A tally of float, engine and rtl with the counts of judge rtl in the place of the engine's.

    Crafted on the engine stays: that is where the gradients come from.
    """
    judges = {"float": "float", "engine": "rtl"}
    pairs = {pair: f"{craft}_{judges[by]}" for pair, (craft, by) in PAIRS.items()}
    return replace(
        tally,
        correct={name: tally.correct[by] for name, by in judges.items()},
        escalated_total={name: tally.escalated_total[by] for name, by in judges.items()},
        success={pair: tally.success[own] for pair, own in pairs.items()},
        success_escalated={pair: tally.success_escalated[own] for pair, own in pairs.items()},
    )


def _rates(counts: tuple[int, ...], of: int, part: str) -> list[Any]:
    """``value`` or ``interval`` of each count; None where there is nothing to count on."""
    return [getattr(Rate(count, of), part) if of else None for count in counts]


def shares(tally: Tally) -> dict[str, Any]:
    """Everything that is counted; LookupError for a tally of other models."""

    def table(
        counts: Mapping[str, tuple[int, ...]], of: Mapping[str, int], part: str
    ) -> dict[str, Any]:
        return {pair: _rates(counts[pair], of[by], part) for pair, (_, by) in PAIRS.items()}

    def named(counts: Mapping[str, int]) -> dict[str, int]:
        return {"float": counts["float"], "fixed": counts["engine"]}

    single, escalated = tally.success, tally.success_escalated
    return {
        "epsilons": list(tally.epsilons),
        "effective_epsilons": list(tally.effective_epsilons),
        "clean": {"float": tally.clean("float").value, "fixed": tally.clean("engine").value},
        "denominator": named(tally.correct),
        "success": table(single, tally.correct, "value"),
        "interval": table(single, tally.correct, "interval"),
        "success_escalated": table(escalated, tally.escalated_total, "value"),
        "interval_escalated": table(escalated, tally.escalated_total, "interval"),
        "denominator_escalated": named(tally.escalated_total),
        "zero_gradient": {name: tally.zero_gradient_share(name) for name in ("float", "engine")},
        "distortion": {name: _means(tally, name) for name in ("float", "engine")},
        "passes": {
            name: {
                "forward": [n / tally.samples for n in tally.forward[name]],
                "backward": [n / tally.samples for n in tally.backward[name]],
            }
            for name in ("float", "engine")
        },
        "adaptive": _adaptive(tally),
    }


def _means(tally: Tally, name: str) -> list[dict[str, float] | None]:
    """Mean L0, L1, L2 and L∞ over the successes on the crafting model; None without any."""
    counts = tally.success[f"{name}_{name}"]
    return [
        dict(zip(DISTANCES, (s / n for s in sums), strict=True)) if n else None
        for n, sums in zip(counts, tally.distortion[name], strict=True)
    ]


def _adaptive(tally: Tally) -> dict[str, Any] | None:
    """Success of the margin loss on the model that it was crafted on."""
    if not tally.adaptive:
        return None
    own = {name: f"{name}_{name}" for name in tally.adaptive}
    return {
        "loss": "margin",
        **{
            table: {
                own[name]: _rates(counts, tally.correct[name], part)
                for name, counts in tally.adaptive.items()
            }
            for table, part in (("success", "value"), ("interval", "interval"))
        },
    }


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
