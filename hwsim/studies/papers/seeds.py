"""Does compression lower success, and does inhibition, once training and hash seeds vary?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hwsim.studies.grid.campaign import Campaign, Line, Method, margin_suite
from hwsim.studies.grid.outcomes import worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, apart
from hwsim.studies.judge.findings import ADAPTIVE_NOTE, Findings, share
from hwsim.studies.papers.tau_sweep import EPSILONS, rewrite

#: Networks of each rate; each has its own training seed, and hashed ones their own hash seed.
SEEDS = {
    "1": ("mnist-cnn", "mnist-cnn-s1", "mnist-cnn-s2"),
    "1/64": ("mnist-cnn-h64", "mnist-cnn-h64-s1", "mnist-cnn-h64-s2"),
}
NETWORKS = tuple(network for group in SEEDS.values() for network in group)
TAUS = (0.0, 0.1)
#: Places of EPSILONS at which PGD is made too, so that there is an adaptive success.
WORST = (0, 1, len(EPSILONS) - 1)
Spread = dict[tuple[str, float, str, str, int], list[float]]


def label(network: str, tau: float) -> str:
    """What rows call it."""
    return f"{network} τ {tau:g}"


def campaign(plan: Plan, present: Sequence[str]) -> Campaign:
    """HFGSM and its adaptive company on every seed, with and without inhibition."""
    lines = [Line(label(n, tau), n, rewrite(tau)) for n in present for tau in TAUS]
    return Campaign(
        plan, lines, Method("hfgsm"), margin_suite(plan, WORST), EPSILONS,
        plan.images(1000, 60),
    )  # fmt: skip


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every seed, τ, machine and attack."""
    return campaign(plan, present).points()


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Mean, least and largest success over the seeds, by rate, τ and ε."""
    asked = campaign(plan, present)
    spread: Spread = {}
    for rate, group in SEEDS.items():
        for network in [n for n in group if n in present]:
            for tau in TAUS:
                for m in plan.names:
                    every = asked.all(answers, label(network, tau), m)
                    for k in range(len(EPSILONS)):
                        for how, value in (
                            ("naive", every[0].escalated(k).value),
                            ("adaptive", worst(every, k).value),
                        ):
                            spread.setdefault((rate, tau, m, how, k), []).append(value)
    rates = [rate for rate, group in SEEDS.items() if any(n in present for n in group)]
    rows = [
        [
            rate, f"{tau:g}", f"{epsilon:g}",
            str(len(spread[rate, tau, plan.names[0], "naive", k])),
            *(_cell(spread[rate, tau, m, "naive", k]) for m in plan.names),
            *(_cell(spread[rate, tau, m, "adaptive", k]) if k in WORST else "–"
              for m in plan.names),
        ]
        for rate in rates for tau in TAUS for k, epsilon in enumerate(EPSILONS)
    ]  # fmt: skip
    return Findings(
        heads=["rate", "τ", "ε", "seeds", *plan.names, *(f"{m} adapt." for m in plan.names)],
        rows=rows,
        notes=[
            f"Mean success over the seeds [least–largest], % of {asked.samples:,} test images, "
            "Algorithm 1. The paper gives one network for each rate and no seed.", ADAPTIVE_NOTE,
        ],
        verdicts=_verdicts(plan, spread, rates),
        records=asked.records(answers),
        draw=lambda figure: _draw(figure, plan, spread, rates),
    )  # fmt: skip


def _cell(values: Sequence[float]) -> str:
    return f"{share(float(np.mean(values)))} [{share(min(values))}–{share(max(values))}]"


def _verdicts(plan: Plan, spread: Spread, rates: Sequence[str]) -> list[Verdict]:
    found = []
    both = len(rates) == len(SEEDS)
    places = range(len(EPSILONS))
    for how, some in (("naive", places), ("adaptive", WORST)):
        found.append(
            apart(
                f"compression to 1/64 lowers success at {_at(some)} ({how})",
                [
                    (f"{m} ε {EPSILONS[k]:g}", spread["1/64", 0.0, m, how, k],
                     spread["1", 0.0, m, how, k])
                    for m in plan.names for k in some if both
                ],
            )
        )  # fmt: skip
    # The adaptive attacker is asked where not every image falls anyway.
    for how, k in (("naive", places[-1]), ("adaptive", places[0])):
        found.append(
            apart(
                f"inhibition at τ = 0.1 lowers success at ε = {EPSILONS[k]:g} ({how})",
                [
                    (f"{rate} {m}", spread[rate, TAUS[-1], m, how, k], spread[rate, 0.0, m, how, k])
                    for rate in rates for m in plan.names
                ],
            )
        )  # fmt: skip
    return found


def _at(places: Sequence[int]) -> str:
    if len(places) == len(EPSILONS):
        return "every ε"
    return "ε = " + ", ".join(f"{EPSILONS[k]:g}" for k in places)


def _draw(figure: Figure, plan: Plan, spread: Spread, rates: Sequence[str]) -> None:
    names = [f"{rate}, τ {tau:g}" for rate in rates for tau in TAUS]
    looks = figures.styles(names)
    for axes, m in zip(figures.panels(figure, plan.names), plan.names, strict=True):
        for rate in rates:
            for tau in TAUS:
                name = f"{rate}, τ {tau:g}"
                look = looks[name]

                def line(
                    how: str, at: tuple[str, float, str], pick: Callable[..., Any]
                ) -> list[Any]:
                    some = WORST if how == "adaptive" else range(len(EPSILONS))
                    return [pick(spread[(*at, how, k)]) for k in some]

                at = (rate, tau, m)
                axes.plot(EPSILONS, line("naive", at, np.mean), linewidth=1.8, markersize=5,
                          label=name, **look)  # fmt: skip
                axes.fill_between(EPSILONS, line("naive", at, min), line("naive", at, max),
                                  color=look["color"], alpha=0.15, linewidth=0)  # fmt: skip
                axes.plot([EPSILONS[k] for k in WORST], line("adaptive", at, np.mean), "--",
                          linewidth=1.2, color=look["color"])  # fmt: skip
        axes.set_xlabel("perturbation amplitude ε", fontsize=9)
        axes.set_xticks(EPSILONS)
        figures.percents(axes)
    figure.axes[0].set_ylabel("success rate, mean and range of seeds", fontsize=9)
    figures.legend(figure, figure.axes[0], [figures.NAIVE, figures.ADAPTIVE])
    figure.tight_layout(rect=(0, 0.12, 1, 1))
