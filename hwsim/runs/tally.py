"""What the counts of a run say: shares and intervals, and the Verilog in the engine's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwsim.attacks.evaluate.rates import Rate
from hwsim.attacks.evaluate.tally import Tally
from hwsim.report.schema import PAIRS

#: What the columns of a tally's distortions are.
DISTANCES = ("l0", "l1", "l2", "linf")


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
