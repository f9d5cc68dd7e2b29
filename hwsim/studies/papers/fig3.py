"""Liu et al. 2018, Fig. 3: test accuracy of HashNets by compression rate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import falls_by, holds, near
from hwsim.studies.judge.findings import Findings

#: Networks and their rates, as the paper labels them.
RATES = {
    "mnist-cnn": "1",
    "mnist-cnn-h8": "1/8",
    "mnist-cnn-h16": "1/16",
    "mnist-cnn-h32": "1/32",
    "mnist-cnn-h64": "1/64",
}
NETWORKS = tuple(RATES)
PAPER = {"mnist-cnn": 0.9929, "mnist-cnn-h8": 0.9925, "mnist-cnn-h64": 0.9913}
#: Points of accuracy by which ours may differ from the paper's: another recipe, another seed.
NEAR = 0.003
#: The most that "slightly decreased" may mean, in points of accuracy.
SLIGHT = Fraction(5, 1000)
CHUNK = 2500


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Clean accuracy of each network on each machine."""
    samples = plan.images(10_000, 5000)
    parts = -(-samples // CHUNK)
    return [
        Point(
            {"network": network, "machine": machine},
            "hwsim.studies.grid.attack_rows:accuracy",
            {"subject": subject.parameters(), "samples": samples, "part": [part, parts]},
            samples / parts,
        )
        for network in present
        for machine, subject in plan.machines(network)
        for part in range(parts)
    ]


def rate(answers: Answers, **fields: object) -> Rate:
    """Accuracy from the rows of all parts."""
    rows = answers.of(**fields)
    return Rate(sum(row["correct"] for row in rows), sum(row["images"] for row in rows))


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Table by rate; the drop to 1/64 and the published values are judged."""
    found = {(n, m): rate(answers, network=n, machine=m) for n in present for m in plan.names}
    rows = [
        [
            RATES[n], f"{100 * PAPER[n]:.2f}" if n in PAPER else "–",
            *(span_fine(found[n, m]) for m in plan.names),
        ]
        for n in present
    ]  # fmt: skip
    first, last = NETWORKS[0], NETWORKS[-1]
    drops = [
        (f"{RATES[n]} {m}", falls_by(found[first, m], found[n, m]) <= SLIGHT)
        for m in plan.names
        for n in present
        if first in present and n != first
    ]
    named = [n for n in PAPER if n in present]
    verdicts = [
        holds(
            "accuracy is only slightly decreased by compression (by at most "
            f"{float(100 * SLIGHT):g} points)", "0.16 points to 1/64", drops,
            ", ".join(
                f"{m} {100 * (found[first, m].value - found[last, m].value):.2f} points"
                for m in plan.names
            ) if {first, last} <= set(present) else "–",
        ),
        near(
            "accuracy of 1, 1/8 and 1/64, float", list(PAPER.values()),
            [found[n, "float"].value for n in named], NEAR,
        ),
    ]  # fmt: skip
    records = [
        {
            "network": n, "rate": RATES[n], "machine": m, "images": r.total, "accuracy": r.value,
            "low": r.interval[0], "high": r.interval[1], "paper": PAPER.get(n),
        }
        for (n, m), r in found.items()
    ]  # fmt: skip
    return Findings(
        heads=["rate", "paper", *plan.names],
        rows=rows,
        notes=["% of test images [95% interval]. No attack, so no adaptive counterpart."],
        verdicts=verdicts,
        records=records,
        draw=lambda figure: _draw(figure, plan, present, found),
    )


def span_fine(rate: Rate) -> str:
    """Accuracy with an interval to a tenth."""
    low, high = rate.interval
    return f"{100 * rate.value:.2f} [{100 * low:.1f}–{100 * high:.1f}]"


def _draw(
    figure: Figure, plan: Plan, present: Sequence[str], found: dict[tuple[str, str], Rate]
) -> None:
    (axes,) = figures.panels(figure, [""])
    places = range(len(present))
    looks = figures.styles(plan.names)
    for shift, machine in enumerate(plan.names):
        rates = [found[n, machine] for n in present]
        errors = [
            [r.value - r.interval[0] for r in rates], [r.interval[1] - r.value for r in rates],
        ]  # fmt: skip
        axes.errorbar(
            [p + 0.08 * shift for p in places], [r.value for r in rates], yerr=errors,
            capsize=3, linewidth=1.5, markersize=6, label=machine, **looks[machine],
        )  # fmt: skip
    stars = [(p, PAPER[n]) for p, n in zip(places, present, strict=True) if n in PAPER]
    axes.plot(*zip(*stars, strict=True), "*", color=figures.GREY, markersize=13)
    axes.set_xticks(list(places), [RATES[n] for n in present])
    axes.set_xlabel("compression rate", fontsize=9)
    axes.set_ylabel("test accuracy", fontsize=9)
    low = min(r.interval[0] for r in found.values())
    figures.percents(axes, min(0.98, low - 0.002), 1.0005)
    figures.legend(figure, axes, [figures.PAPER])
    figure.tight_layout(rect=(0, 0.08, 1, 1))
