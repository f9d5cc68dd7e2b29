"""Liu et al. 2018, Fig. 8: accuracy stays as it is under gradient inhibition."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import falls_by, holds
from hwsim.studies.judge.findings import Findings, span
from hwsim.studies.papers.fig3 import rate
from hwsim.studies.papers.tau_sweep import rewrite

#: The four of Table I; the text says that the HashNets behave alike.
CIFAR = {
    "cifar-dnn1": "DNN1",
    "cifar-dnn2": "DNN2",
    "cifar-dnn3": "DNN3",
    "cifar-vgg16": "VGG-16",
}
LABELS = CIFAR | {
    "mnist-cnn": "MNIST 1",
    "mnist-cnn-h8": "MNIST 1/8",
    "mnist-cnn-h64": "MNIST 1/64",
}
NETWORKS = tuple(LABELS)
TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: "always at the same level": accuracy falls by no more, in points.
LEVEL = Fraction(1, 100)
CHUNK = 2500


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Clean accuracy at every τ."""
    samples = plan.images(10_000, 500)
    parts = -(-samples // CHUNK)
    return [
        Point(
            {"network": network, "tau": tau, "machine": machine},
            "hwsim.studies.grid.attack_rows:accuracy",
            {"subject": subject.parameters(), "samples": samples, "part": [part, parts]},
            samples / parts,
        )
        for network in present
        for tau in TAUS
        for machine, subject in plan.machines(network, *rewrite(tau))
        for part in range(parts)
    ]


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Accuracy by τ; the drop from τ = 0 is judged."""
    found = {
        (n, tau, m): rate(answers, network=n, tau=tau, machine=m)
        for n in present for tau in TAUS for m in plan.names
    }  # fmt: skip
    rows = [
        [LABELS[n], f"{tau:g}", "as at τ 0", *(span(found[n, tau, m]) for m in plan.names)]
        for n in present
        for tau in TAUS
    ]
    verdicts = [
        holds(
            f"accuracy stays at the same level for τ = 0.1 … 0.5 ({what}: falls by at most "
            f"{float(100 * LEVEL):g} point)", "yes",
            [
                (f"{LABELS[n]} {m} τ {tau:g}",
                 falls_by(found[n, 0.0, m], found[n, tau, m]) <= LEVEL)
                for n in present if (n in CIFAR) == (what == "CIFAR-10")
                for m in plan.names for tau in TAUS[1:]
            ],
            ", ".join(
                f"{LABELS[n]} {m} {100 * (found[n, tau, m].value - found[n, 0.0, m].value):+.1f} "
                f"at {tau:g}"
                for n in present if (n in CIFAR) == (what == "CIFAR-10")
                for m in plan.names for tau in TAUS[-1:]
            ),
        )
        for what in ("CIFAR-10", "MNIST HashNets")
    ]  # fmt: skip
    records = [
        {
            "network": n, "tau": tau, "machine": m, "images": r.total, "accuracy": r.value,
            "low": r.interval[0], "high": r.interval[1],
        }
        for (n, tau, m), r in found.items()
    ]  # fmt: skip
    return Findings(
        heads=["network", "τ", "paper", *plan.names],
        rows=rows,
        notes=[
            f"% of {plan.images(10_000, 500):,} test images [95% interval], inhibition of the last "
            "layer. No attack, so no adaptive counterpart; the paper gives no numbers for Fig. 8 "
            "in its text."
        ],
        verdicts=verdicts,
        records=records,
        draw=lambda figure: _draw(figure, plan, present, found),
    )


def _draw(
    figure: Figure, plan: Plan, present: Sequence[str],
    found: dict[tuple[str, float, str], Rate],
) -> None:  # fmt: skip
    looks = figures.styles([LABELS[n] for n in NETWORKS])
    for axes, machine in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for n in present:
            values = [found[n, tau, machine].value for tau in TAUS]
            axes.plot(TAUS, values, linewidth=1.6, label=LABELS[n], **looks[LABELS[n]])
        axes.set_xlabel("inhibition coefficient τ", fontsize=9)
        figures.percents(axes)
    figure.axes[0].set_ylabel("test accuracy", fontsize=9)
    figures.legend(figure, figure.axes[0])
    figure.tight_layout(rect=(0, 0.12, 1, 1))
