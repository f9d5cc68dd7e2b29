"""Liu et al. 2018, Fig. 7: gradients shrink with compression."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.grid.campaign import Line
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import amplitudes as amp
from hwsim.studies.judge.claims import Pair, Verdict, near, ordered
from hwsim.studies.judge.findings import Findings
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.runner.task import Row

NETWORKS = tuple(RATES)
FIRST, LAST = RATES[NETWORKS[0]], RATES[NETWORKS[-1]]
#: Shares of large and small gradients, uncompressed and at 1/64.
PAPER = {FIRST: (0.68, 0.01), LAST: (0.19, 0.32)}
NEAR = 0.10


def lines(present: Sequence[str]) -> list[Line]:
    """One for each rate."""
    return [Line(RATES[n], n) for n in present]


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every rate, machine and precision."""
    return amp.points(plan, lines(present), plan.images(2000, 300))


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Shares of large, small and zero gradients by rate."""
    found = amp.all_rows(plan, lines(present), answers)
    rows = [
        [label, machine, precision, _paper(label), *amp.cells(row)]
        for (label, machine, precision), row in found.items()
    ]
    return Findings(
        heads=["rate", "machine", "softmax", "paper, large small",
               *(f"images {h}" for h in amp.HEADS), *(f"pixels {h}" for h in amp.HEADS),
               "margin"],
        rows=rows,
        notes=[f"{plan.images(2000, 300):,} test images. {amp.NOTE}"],
        verdicts=_verdicts(plan, found),
        records=[amp.record(*key, row) for key, row in found.items()],
        draw=lambda figure: amp.draw(
            figure, plan, [line.label for line in lines(present)], found, "float32"
        ),
    )  # fmt: skip


def _paper(label: str) -> str:
    return " ".join(f"{100 * value:.0f}" for value in PAPER[label]) if label in PAPER else "–"


def _verdicts(plan: Plan, found: dict[tuple[str, str, str], Row]) -> list[Verdict]:
    both = all((label, "float", "float32") in found for label in PAPER)
    verdicts = []
    for place, (what, span) in enumerate((("large", amp.LARGE), ("small", amp.SMALL))):
        ours = [
            amp.within(found[label, "float", "float32"]["means"], span).value
            for label in PAPER
            if both
        ]
        verdicts.append(
            near(
                f"share of {what} gradients, uncompressed and 1/64 (float, float32 softmax)",
                [values[place] for values in PAPER.values()], ours, NEAR,
            )
        )  # fmt: skip
    for what, span, swap in (("large", amp.LARGE, False), ("small", amp.SMALL, True)):
        pairs = []
        for machine in plan.names if both else ():
            for precision in amp.PRECISIONS:
                a, b = (
                    amp.within(found[label, machine, precision]["means"], span)
                    for label in (LAST, FIRST)
                )
                lower, upper = (b, a) if swap else (a, b)
                pairs.append(Pair(f"{machine}, {precision}", lower, upper))
        word = "more" if swap else "fewer"
        verdicts.append(ordered(f"{word} {what} gradients at 1/64 than uncompressed", "yes", pairs))
    return verdicts
