"""Counts of a cross evaluation: of batches, to be added up, kept as JSON and read again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate.rates import Rate


def _sum(a: Any, b: Any) -> Any:
    """Sum of numbers, or entry by entry of equally shaped dicts and tuples of numbers."""
    if isinstance(a, dict):
        return {key: _sum(a[key], b[key]) for key in a}
    return tuple(map(_sum, a, b)) if isinstance(a, tuple) else a + b


@dataclass(frozen=True)
class Tally:
    """Counts of a cross evaluation; those of two sets of inputs add up.

    Keys of ``success`` and ``success_escalated`` read "<crafted on>_<judged by>", their values
    have one entry per ε. ``success``: single ε, against the labels, denominator
    ``correct[judge]``. ``success_escalated``: Algorithm 1 up to ε, against the judge's own
    prediction, denominator ``escalated_total[judge]``: every input, less (targeted) those that
    the judge sees as the target already. ``zero_gradient``: images whose gradient on the crafting
    model is exactly zero in every pixel, at every step and ε, out of ``samples``.

    By crafting model, one entry per ε: ``distortion``, sums of L0, L1, L2 and L∞ over the
    successes that ``success`` counts on that model; ``forward`` and ``backward``, passes summed
    over the samples; ``adaptive``, successes of the counterpart attack (empty without one).
    """

    epsilons: tuple[float, ...]
    effective_epsilons: tuple[float, ...]
    samples: int
    correct: dict[str, int]
    escalated_total: dict[str, int]
    zero_gradient: dict[str, int]
    success: dict[str, tuple[int, ...]]
    success_escalated: dict[str, tuple[int, ...]]
    distortion: dict[str, tuple[tuple[float, ...], ...]]
    forward: dict[str, tuple[int, ...]]
    backward: dict[str, tuple[int, ...]]
    adaptive: dict[str, tuple[int, ...]]

    def __add__(self, other: Tally) -> Tally:
        if self.epsilons != other.epsilons or self.success.keys() != other.success.keys():
            raise AttackError("two tallies of different epsilons or models do not add up")

        mine, theirs = asdict(self), asdict(other)
        parts = {key: _sum(mine[key], theirs[key]) for key in mine if "epsilons" not in key}
        return replace(self, **parts)

    def clean(self, model: str) -> Rate:
        """Accuracy on the unperturbed (gridded) inputs."""
        return Rate(self.correct[model], self.samples)

    def zero_gradient_share(self, model: str) -> float:
        return self.zero_gradient[model] / self.samples

    def rates(self, craft: str, by: str) -> list[Rate]:
        """Single-ε success per ε, on the inputs that ``by`` classifies correctly."""
        return [Rate(n, self.correct[by]) for n in self.success[f"{craft}_{by}"]]

    def escalated_rates(self, craft: str, by: str) -> list[Rate]:
        """Algorithm 1's success up to each ε, against ``by``'s own prediction."""
        counts = self.success_escalated[f"{craft}_{by}"]
        return [Rate(n, self.escalated_total[by]) for n in counts]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tally:
        """What ``as_dict`` wrote, also after JSON made lists of its tuples and null of inf."""
        lists = {
            k: tuple(math.inf if e is None else e for e in data[k])
            for k in ("epsilons", "effective_epsilons")
        }
        tables = {
            k: {key: tuple(counts) for key, counts in data[k].items()}
            for k in ("success", "success_escalated", "forward", "backward", "adaptive")
        }
        sums = {key: tuple(map(tuple, rows)) for key, rows in data["distortion"].items()}
        return cls(**{**data, **lists, **tables, "distortion": sums})


def total(tallies: Iterator[Tally]) -> Tally:
    """The sum of at least one tally."""
    result = next(tallies)
    for tally in tallies:
        result += tally
    return result
