"""A naive attack and its adaptive company, on many machines: the grid that most studies share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hwsim.runs.attack_catalog import ENTRIES
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row

ATTACK = "hwsim.studies.grid.attack_rows:attack"
#: Of one row: an interruption costs no more than this many images.
CHUNK = 250


@dataclass(frozen=True)
class Line:
    """A network with its defenses; label: what the study calls it. judges: others that judge the
    images of the naive attack, on the same kind of machine.
    """

    label: str
    network: str
    apply: tuple[str, ...] = ()
    judges: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Method:
    """An attack of the catalogue. cost: inferences per image and budget, for the estimate. only:
    the places of the campaign's budgets that it is made for, None for all; it counts as having
    found nothing at the others.
    """

    name: str
    loss: str = "cross-entropy"
    options: Mapping[str, Any] = field(default_factory=dict)
    probabilities: str = "float32"
    cost: float = 4
    only: tuple[int, ...] | None = None

    @property
    def every_option(self) -> dict[str, Any]:
        """Its options and the defaults of all others, so that a row says what it was made with."""
        return {o.name: o.default for o in ENTRIES[self.name].options} | dict(self.options)


def margin_suite(plan: Plan, only: tuple[int, ...] | None = None) -> dict[str, Method]:
    """What no saturated softmax can blind: the step and PGD on the margin of the logits.

    only: the budgets of PGD.
    """
    steps = 10 if plan.quick else 40
    return {
        "margin": Method("fgsm", "margin"),
        "pgd": Method("pgd", "margin", {"steps": steps}, cost=2 * steps, only=only),
    }


def telling(
    plan: Plan, lines: Sequence[Line], epsilon: float, samples: int, chunk: int = CHUNK
) -> Campaign:
    """PGD on the margin at one ε, at which undefended networks still withstand it on some images.

    At a large ε every network falls on every image, and no defense could show itself. Where ε is
    below one step of the pixels, it is that step.
    """
    step = 1 / ((1 << min(plan.bits)) - 1)
    method = margin_suite(plan)["pgd"]
    budget = max(epsilon, step)
    return Campaign(plan, lines, method, {}, (budget,), samples, chunk=chunk, name="telling")


@dataclass(frozen=True)
class Campaign:
    """``naive`` and every ``adaptive`` method on each line's machines, on the same images.

    budgets: rising, None for no bound. chunk: images of a row. name: of the campaign, where a study
    has several.
    """

    plan: Plan
    lines: Sequence[Line]
    naive: Method
    adaptive: Mapping[str, Method]
    budgets: Sequence[float | None]
    samples: int
    targeted: bool = False
    chunk: int = CHUNK
    name: str = ""

    def points(self) -> list[Point]:
        """The grid; methods of one machine stand together, so that it is opened once."""
        parts = -(-self.samples // self.chunk)
        return [
            Point(
                {"line": line.label, "machine": machine, "method": label, "of": self.name},
                ATTACK,
                {
                    "subject": subject.parameters(),
                    "name": method.name,
                    "budgets": [self.budgets[k] for k in self._places(method)],
                    "samples": self.samples,
                    "part": [part, parts],
                    "loss": method.loss,
                    "probabilities": method.probabilities,
                    "targeted": self.targeted,
                    "options": method.every_option,
                }
                | self._judges(line, subject, label),
                method.cost * self.samples / parts * len(self._places(method)),
            )
            for line in self.lines
            for machine, subject in self.plan.machines(line.network, *line.apply)
            for label, method in {"naive": self.naive, **self.adaptive}.items()
            for part in range(parts)
        ]

    def _judges(self, line: Line, subject: Subject, method: str) -> dict[str, Any]:
        if method != "naive" or not line.judges:
            return {}
        others = [replace(subject, network=j.network, apply=j.apply) for j in line.judges]
        return {"judges": [other.parameters() for other in others]}

    def rows(self, answers: Answers, line: str, machine: str, method: str = "naive") -> list[Row]:
        """The rows of all parts."""
        return answers.of(of=self.name, line=line, machine=machine, method=method)

    def outcome(self, answers: Answers, line: str, machine: str, method: str = "naive") -> Outcome:
        """What a method did there."""
        found = Outcome.of(self.rows(answers, line, machine, method))
        chosen = {"naive": self.naive, **self.adaptive}[method]
        return found.spread(self._places(chosen), len(self.budgets))

    def complete(self, at: int) -> bool:
        """Whether every adaptive method was made at this budget: else they are no worst case."""
        return all(at in self._places(method) for method in self.adaptive.values())

    def _places(self, method: Method) -> Sequence[int]:
        return range(len(self.budgets)) if method.only is None else method.only

    def all(self, answers: Answers, line: str, machine: str) -> list[Outcome]:
        """The naive attack and its company."""
        return [self.outcome(answers, line, machine, m) for m in ("naive", *self.adaptive)]

    def records(self, answers: Answers) -> list[dict[str, Any]]:
        """One flat record for each line, machine and budget."""
        found = []
        for line in self.lines:
            for machine in self.plan.names:
                every = self.all(answers, line.label, machine)
                naive = every[0]
                for at, budget in enumerate(self.budgets):
                    whole = self.complete(at)
                    one, escalated, most = (
                        naive.single(at), naive.escalated(at), worst(every, at),
                    )  # fmt: skip
                    found.append(
                        {
                            "attack": self.name or self.naive.name, "line": line.label,
                            "network": line.network,
                            "apply": " ".join(line.apply), "machine": machine, "budget": budget,
                            "images": naive.images, "correct": int(naive.correct.sum()),
                            "success": one.value, "low": one.interval[0], "high": one.interval[1],
                            "algorithm1": escalated.value, "algorithm1_low": escalated.interval[0],
                            "algorithm1_high": escalated.interval[1],
                            "adaptive": most.value if whole else None,
                            "adaptive_low": most.interval[0] if whole else None,
                            "adaptive_high": most.interval[1] if whole else None,
                            "zero_gradient": naive.blind, "mean_l2": naive.mean_l2(at),
                        }
                    )  # fmt: skip
        return found
