"""Liu et al. 2018, Fig. 4: success of HFGSM by compression rate and ε."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.grid.campaign import Campaign, Line, Method, margin_suite
from hwsim.studies.grid.outcomes import worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, holds, near
from hwsim.studies.judge.findings import ADAPTIVE_NOTE, ALGORITHM_NOTE, BLIND_NOTE, Findings, share
from hwsim.studies.judge.trends import DENSE, trends
from hwsim.studies.papers.fig3 import RATES

NETWORKS = tuple(RATES)
EPSILONS = (0.1, 0.2, 0.3, 0.4, 0.5)
#: Named at τ = 0 with Fig. 10a: uncompressed, and the mean of the HashNets, at ε = 0.5.
PAPER_DENSE, PAPER_MEAN = 0.9581, 0.8799
#: Points by which a success rate may differ from the paper's.
NEAR = 0.05


def campaign(plan: Plan, present: Sequence[str]) -> Campaign:
    """HFGSM and its adaptive company on every rate."""
    return Campaign(
        plan,
        [Line(RATES[n], n) for n in present],
        Method("hfgsm"),
        margin_suite(plan),
        EPSILONS,
        plan.images(1000, 100),
    )


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every rate, machine and attack."""
    return campaign(plan, present).points()


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Success at every ε; the claims about compression and ε are judged by Algorithm 1."""
    asked = campaign(plan, present)
    labels = [line.label for line in asked.lines]
    every = {(n, m): asked.all(answers, n, m) for n in labels for m in plan.names}
    rows = [
        [
            label, f"{epsilon:g}",
            f"{100 * PAPER_DENSE:.1f}" if (label, epsilon) == (DENSE, 0.5) else "–",
            *(share(every[label, m][0].single(at)) for m in plan.names),
            *(share(every[label, m][0].escalated(at)) for m in plan.names),
            *(share(worst(every[label, m], at)) for m in plan.names),
            share(max(every[label, m][0].blind for m in plan.names)),
        ]
        for label in labels
        for at, epsilon in enumerate(EPSILONS)
    ]  # fmt: skip
    names = plan.names
    return Findings(
        heads=["rate", "ε", "paper", *names, *(f"{m} Alg. 1" for m in names),
               *(f"{m} adapt." for m in names), "blind"],
        rows=rows,
        notes=[
            f"% of {asked.samples:,} test images. {ALGORITHM_NOTE}", ADAPTIVE_NOTE, BLIND_NOTE,
            f"The paper's mean of the HashNets at ε = 0.5 is {100 * PAPER_MEAN:.2f}% (Fig. 10a).",
        ],
        verdicts=_verdicts(asked, answers),
        records=asked.records(answers),
        draw=lambda figure: figures.curves(
            figure, names, labels, EPSILONS,
            lambda n, m: [every[n, m][0].escalated(k).value for k in range(len(EPSILONS))],
            lambda n, m: [worst(every[n, m], k).value for k in range(len(EPSILONS))],
            xlabel="perturbation amplitude ε", ylabel="success rate",
            paper={DENSE: [(0.5, PAPER_DENSE)]},
        ),
    )  # fmt: skip


def _verdicts(asked: Campaign, answers: Answers) -> list[Verdict]:
    labels = [line.label for line in asked.lines]
    hashed = [n for n in labels if n != DENSE]
    every = {(n, m): asked.all(answers, n, m)[0] for n in labels for m in asked.plan.names}
    found = trends(asked, answers, "ε", nested=False)
    drops = [
        (f"{n} {m}, ε {epsilon:g}",
         every[DENSE, m].escalated(k).value - every[n, m].escalated(k).value <= 0.30)
        for n in hashed for m in asked.plan.names for k, epsilon in enumerate(EPSILONS)
        if DENSE in labels
    ]  # fmt: skip
    found.append(holds("compression lowers success by at most 30 points", "≤ 30%", drops))
    last = len(EPSILONS) - 1
    ours = []
    if DENSE in labels and len(hashed) == len(NETWORKS) - 1:
        mean = sum(every[n, "float"].escalated(last).value for n in hashed) / len(hashed)
        ours = [every[DENSE, "float"].escalated(last).value, mean]
    found.append(
        near("success at ε = 0.5: uncompressed, mean of the HashNets (float)",
             [PAPER_DENSE, PAPER_MEAN], ours, NEAR)
    )  # fmt: skip
    return found
