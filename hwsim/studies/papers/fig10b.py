"""Liu et al. 2018, Fig. 10b: gradient inhibition of the last layer against FGSM, CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge.findings import Findings
from hwsim.studies.papers.fig8 import CIFAR
from hwsim.studies.papers.tau_sweep import Sweep

NETWORKS = tuple(CIFAR)


def sweep(plan: Plan, present: Sequence[str]) -> Sweep:
    """The four networks of Table I at every τ."""
    labels = {n: CIFAR[n] for n in present}
    return Sweep(
        plan, labels, averaged=list(CIFAR.values()), expected=len(CIFAR), before=0.8674,
        after=0.0464, telling=2 / 255, samples=(500, 40),
    )  # fmt: skip


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every network, τ, machine and attack."""
    return sweep(plan, present).points()


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Success by τ at ε = 0.5."""
    return sweep(plan, present).find(answers)
