"""Liu et al. 2018, Fig. 10a: gradient inhibition of the last layer against HFGSM, MNIST."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge.findings import Findings
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.papers.tau_sweep import Sweep

NETWORKS = tuple(RATES)


def sweep(plan: Plan, present: Sequence[str]) -> Sweep:
    """Every rate at every τ; the paper's mean is over the HashNets."""
    labels = {n: RATES[n] for n in present}
    return Sweep(
        plan, labels, averaged=[RATES[n] for n in NETWORKS[1:]], expected=len(NETWORKS) - 1,
        before=0.8799, after=0.0477, telling=0.1, single=("1", 0.9581, 0.0124), samples=(1000, 60),
    )  # fmt: skip


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every rate, τ, machine and attack."""
    return sweep(plan, present).points()


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Success by τ at ε = 0.5."""
    return sweep(plan, present).find(answers)
