"""Liu et al. 2018, Fig. 5: success of HJSMA by compression rate and number of changed elements."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.grid.campaign import Campaign, Line, Method
from hwsim.studies.grid.outcomes import worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.findings import BLIND_NOTE, Findings, share
from hwsim.studies.judge.trends import trends
from hwsim.studies.papers.fig3 import RATES

NETWORKS = tuple(RATES)
#: The paper's text does not say which numbers it took; 14.5% of 784 values are 113.
ELEMENTS = (10, 20, 40, 60, 80, 100)
#: Iterations on one saliency map of the adaptive attack, quick and full.
BLOCKS = (5, 1)


def campaign(plan: Plan, present: Sequence[str]) -> Campaign:
    """HJSMA on the softmax, as eq. 7 has it; beside it the logits, and JSMA in pairs on both."""
    block = BLOCKS[0 if plan.quick else 1]
    pairs = {
        f"jsma {output}": Method(
            "jsma", options={"block": block, "output": output}, cost=30 / block
        )
        for output in ("probabilities", "logits")
    }
    return Campaign(
        plan,
        [Line(RATES[n], n) for n in present],
        Method("hjsma", options={"output": "probabilities"}, cost=20),
        {"hjsma logits": Method("hjsma", options={"output": "logits"}, cost=20), **pairs},
        ELEMENTS,
        plan.images(500, 40),
        chunk=100,
    )


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every rate, machine and attack."""
    return campaign(plan, present).points()


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Success by the number of elements."""
    asked = campaign(plan, present)
    labels, names = [line.label for line in asked.lines], plan.names
    every = {(n, m): asked.all(answers, n, m) for n in labels for m in names}
    places = range(len(ELEMENTS))
    rows = [
        [
            label, str(count), "–",
            *(share(every[label, m][0].single(k)) for m in names),
            *(share(every[label, m][0].escalated(k)) for m in names),
            *(share(worst(every[label, m], k)) for m in names),
            share(max(every[label, m][0].blind for m in names)),
        ]
        for label in labels for k, count in enumerate(ELEMENTS)
    ]  # fmt: skip
    return Findings(
        heads=["rate", "elements", "paper", *names, *(f"{m} Alg. 1" for m in names),
               *(f"{m} adapt." for m in names), "blind"],
        rows=rows,
        notes=[
            f"% of {asked.samples:,} test images, untargeted, θ = 1. Alg. 1: one element more "
            "until the machine's own answer changes, of all images, as the paper counts; else: "
            "with at most so many elements, on images classified correctly.",
            "adapt.: adaptive, fooled by HJSMA on the softmax or on the logits, or by JSMA in "
            "pairs on either, its saliency map computed anew "
            + ("every 5 iterations." if plan.quick else "in every iteration."),
            BLIND_NOTE, "The paper gives no numbers for Fig. 5 in its text.",
        ],
        verdicts=trends(asked, answers, "the number of elements", nested=True),
        records=asked.records(answers),
        draw=lambda figure: figures.curves(
            figure, names, labels, ELEMENTS,
            lambda n, m: [every[n, m][0].escalated(k).value for k in places],
            lambda n, m: [worst(every[n, m], k).value for k in places],
            xlabel="number of perturbed elements", ylabel="success rate",
        ),
    )  # fmt: skip
