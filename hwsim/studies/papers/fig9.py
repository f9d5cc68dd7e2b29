"""Liu et al. 2018, Fig. 9: gradients shrink with τ of gradient inhibition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.campaign import Line
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import amplitudes as amp
from hwsim.studies.judge.claims import Pair, Verdict, holds, ordered
from hwsim.studies.judge.findings import Findings
from hwsim.studies.papers.tau_sweep import rewrite
from hwsim.studies.runner.task import Row

NETWORKS = ("mnist-cnn", "mnist-cnn-h64")
TAUS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5)
HASHED = "1/64, τ 0"
#: "most of gradients are approaching to 0": more than half of them below 1e-10.
MOST = 0.5


def lines(present: Sequence[str]) -> list[Line]:
    """The uncompressed network at every τ; beside it 1/64, which the text compares with."""
    found = []
    if NETWORKS[0] in present:
        found = [Line(f"τ {tau:g}", NETWORKS[0], rewrite(tau)) for tau in TAUS]
    if NETWORKS[1] in present:
        found.append(Line(HASHED, NETWORKS[1]))
    return found


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every τ, machine and precision."""
    return amp.points(plan, lines(present), plan.images(2000, 300))


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Shares of large, small and zero gradients by τ."""
    found = amp.all_rows(plan, lines(present), answers)
    labels = [line.label for line in lines(present)]
    return Findings(
        heads=["network", "machine", "softmax", *(f"images {h}" for h in amp.HEADS),
               *(f"pixels {h}" for h in amp.HEADS), "margin"],
        rows=[[*key, *amp.cells(row)] for key, row in found.items()],
        notes=[
            f"{plan.images(2000, 300):,} test images, uncompressed network, inhibition of its last "
            f"layer. {amp.NOTE}",
            "The paper gives no numbers for Fig. 9 in its text.",
        ],
        verdicts=_verdicts(plan, labels, found),
        records=[amp.record(*key, row) for key, row in found.items()],
        draw=lambda figure: amp.draw(figure, plan, labels, found, "float32"),
    )  # fmt: skip


def _verdicts(
    plan: Plan, labels: Sequence[str], found: dict[tuple[str, str, str], Row]
) -> list[Verdict]:
    def large(label: str, machine: str, precision: str = "float32") -> Rate:
        return amp.within(found[label, machine, precision]["means"], amp.LARGE)

    mine = [label for label in labels if label != HASHED]
    beside = bool(mine) and HASHED in labels
    last = f"τ {TAUS[-1]:g}"
    return [
        ordered(
            "already at τ = 0.01 gradients are smaller than at 1/64 without inhibition (fewer "
            "large ones)", "yes",
            [Pair(m, large("τ 0.01", m), large(HASHED, m)) for m in plan.names if beside],
        ),
        ordered(
            "the larger τ, the fewer large gradients", "yes",
            [
                Pair(f"{b} and {a}, {m}", large(b, m), large(a, m))
                for a, b in pairwise(mine) for m in plan.names
            ],
        ),
        holds(
            f"most gradients approach 0 (below 1e-10 for more than half of the images at {last})",
            "yes",
            [(m, large(last, m).value < 1 - MOST) for m in plan.names if last in labels],
            ", ".join(
                f"{m} {100 * (1 - large(last, m).value):.1f}%" for m in plan.names if last in labels
            ),
        ),
    ]  # fmt: skip
