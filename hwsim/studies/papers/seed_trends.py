"""The paper's other trends once training and hash seeds vary: Figs. 3, 5, 6, 7 and 9."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hwsim.studies.grid.attack_rows import QUANTILES
from hwsim.studies.grid.campaign import Campaign, Line, Method
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.amplitudes import LARGE, SMALL, merged, within
from hwsim.studies.judge.claims import Verdict, apart
from hwsim.studies.judge.findings import Findings, number
from hwsim.studies.papers.fig3 import rate as accuracy
from hwsim.studies.papers.fig6 import RANGE
from hwsim.studies.papers.seeds import SEEDS, TAUS
from hwsim.studies.papers.tau_sweep import rewrite

NETWORKS = tuple(network for group in SEEDS.values() for network in group)
#: Changed values of HJSMA, where Fig. 5 rises.
ELEMENTS = 20
#: Images, full and quick.
ACCURACY, GRADIENTS, JSMA = (10_000, 1000), (1000, 200), (500, 40)
DENSE, DEEPEST = SEEDS


@dataclass(frozen=True)
class Trend:
    """title: the number, with its unit. figure: of the paper. claim: which of the two rates lies
    below, as the paper has it. paper: its numbers. of: (plan, answers, network, machine, τ) -> it.
    taus: compared are the rates at the first of them, or, with two, the two at both rates.
    """

    title: str
    figure: str
    claim: str
    lower: str
    paper: str
    of: Callable[[Plan, Answers, str, str, float], float]
    digits: int = 1
    taus: tuple[float, ...] = (0.0,)


def hjsma(plan: Plan, present: Sequence[str]) -> Campaign:
    """The attack of Fig. 5, on the softmax."""
    lines = [Line(n, n) for n in present]
    method = Method("hjsma", options={"output": "probabilities"}, cost=20)
    return Campaign(plan, lines, method, {}, (ELEMENTS,), plan.images(*JSMA), chunk=100)


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Accuracy, weights, gradients with and without inhibition, and HJSMA, of every seed."""
    found = []
    samples, few = plan.images(*ACCURACY), plan.images(*GRADIENTS)
    for network in present:
        for machine, subject in plan.machines(network):
            here = {"network": network, "machine": machine}
            part = {"subject": subject.parameters(), "samples": samples, "part": [0, 1]}
            found += [
                Point(here | {"what": "accuracy"}, f"{_MEASURES}:accuracy", part, samples),
                Point(here | {"what": "weights"}, "hwsim.studies.grid.weight_rows:weights",
                      {"subject": subject.parameters()}),
            ]  # fmt: skip
        for tau in TAUS:
            for machine, subject in plan.machines(network, *rewrite(tau)):
                found.append(
                    Point(
                        {"network": network, "machine": machine, "what": "gradients", "tau": tau},
                        f"{_MEASURES}:gradients",
                        {
                            "subject": subject.parameters(), "samples": few, "part": [0, 1],
                            "probabilities": "float32",
                        },
                        3 * few,
                    )
                )  # fmt: skip
    return [*found, *hjsma(plan, present).points()]


_MEASURES = "hwsim.studies.grid.attack_rows"


def _accuracy(plan: Plan, answers: Answers, network: str, machine: str, tau: float) -> float:
    return 100 * accuracy(answers, network=network, machine=machine, what="accuracy").value


def _range(plan: Plan, answers: Answers, network: str, machine: str, tau: float) -> float:
    (row,) = answers.of(network=network, machine=machine, what="weights")
    return float(row["layers"][-1]["quantiles"][RANGE])


def _share(
    span: tuple[int, int], plan: Plan, answers: Answers, network: str, machine: str, tau: float
) -> float:
    row = merged(answers.of(network=network, machine=machine, what="gradients", tau=tau))
    return 100 * within(row["means"], span).value


def _margin(plan: Plan, answers: Answers, network: str, machine: str, tau: float) -> float:
    row = merged(answers.of(network=network, machine=machine, what="gradients", tau=tau))
    return float(row["margins"][QUANTILES.index(0.5)])


def _hjsma(plan: Plan, answers: Answers, network: str, machine: str, tau: float) -> float:
    return 100 * hjsma(plan, [network]).outcome(answers, network, machine).escalated(0).value


TRENDS = (
    Trend("accuracy, %", "Fig. 3", "1/64 is less accurate than uncompressed", DEEPEST,
          "99.29, 99.13", _accuracy, 2),
    Trend(f"HJSMA, {ELEMENTS} values, %", "Fig. 5", "HJSMA fools 1/64 less often", DEEPEST, "–",
          _hjsma),
    Trend("range of weights", "Fig. 6", "weights of 1/64 reach further", DENSE, "4× at 1/64",
          _range, 3),
    Trend("large gradients, %", "Fig. 7", "1/64 has fewer large gradients", DEEPEST,
          "68, 19", partial(_share, LARGE)),
    Trend("small gradients, %", "Fig. 7", "1/64 has more small gradients", DENSE,
          "1, 32", partial(_share, SMALL)),
    Trend("margin, nats", "(ours)", "1/64 has smaller margins", DEEPEST, "–", _margin),
    Trend("large gradients, %", "Fig. 9",
          "inhibition leaves fewer large gradients", "τ 0.1", "–", partial(_share, LARGE),
          taus=TAUS),
)  # fmt: skip


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Mean and range over the seeds of every trend's number; which side lies below."""

    def values(trend: Trend, rate: str, machine: str, tau: float) -> list[float]:
        some = [n for n in SEEDS[rate] if n in present]
        return [trend.of(plan, answers, n, machine, tau) for n in some]

    rates = [rate for rate, group in SEEDS.items() if any(n in present for n in group)]
    rows, records = [], []
    for trend in TRENDS:
        for tau in trend.taus:
            title = trend.title if len(trend.taus) == 1 else f"{trend.title}, τ {tau:g}"
            for m in plan.names:
                cells = []
                for rate in SEEDS:
                    found = values(trend, rate, m, tau) if rate in rates else []
                    cells.append(_cell(found, trend.digits))
                    records += [
                        {"trend": trend.title, "figure": trend.figure, "rate": rate, "tau": tau,
                         "machine": m, "seed": k, "value": v}
                        for k, v in enumerate(found)
                    ]  # fmt: skip
                rows.append([title, trend.figure, m, trend.paper, *cells])
    few = {
        "accuracy": plan.images(*ACCURACY), "gradients": plan.images(*GRADIENTS),
        "HJSMA": plan.images(*JSMA),
    }  # fmt: skip
    return Findings(
        heads=["number", "figure", "machine", "paper", *SEEDS],
        rows=rows,
        notes=[
            "Mean over three training and hash seeds of each network [least–largest]. Images: "
            + ", ".join(f"{count:,} for {name}" for name, count in few.items())
            + ". range: 99.9% of the virtual weights lie within ±range. large: mean |∂J/∂x| of an "
            "image in 1e-10 … 1, small: in 1e-25 … 1e-15, in % "
            "of images. margin: of the right class, median.",
        ],
        verdicts=[_verdict(plan, trend, values, rates) for trend in TRENDS],
        records=records,
        draw=lambda figure: _draw(figure, plan, values, rates),
        size=(11.0, 3.4),
    )


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    mean, least, most = (number(v, digits) for v in (float(np.mean(values)), min(values),
                                                     max(values)))  # fmt: skip
    return f"{mean} [{least}–{most}]"


Values = Callable[[Trend, str, str, float], list[float]]


def _verdict(plan: Plan, trend: Trend, values: Values, rates: Sequence[str]) -> Verdict:
    claim = f"{trend.figure}: {trend.claim}"
    if len(trend.taus) > 1:
        return apart(claim, [
            (f"{rate} {m}", values(trend, rate, m, TAUS[-1]), values(trend, rate, m, TAUS[0]))
            for rate in rates for m in plan.names
        ])  # fmt: skip
    upper = DENSE if trend.lower == DEEPEST else DEEPEST
    return apart(claim, [
        (m, values(trend, trend.lower, m, 0.0), values(trend, upper, m, 0.0))
        for m in plan.names if len(rates) == len(SEEDS)
    ])  # fmt: skip


def _draw(figure: Figure, plan: Plan, values: Values, rates: Sequence[str]) -> None:
    """A small panel a trend: every seed a point, its own scale."""
    some = [trend for trend in TRENDS if len(trend.taus) == 1]
    looks = figures.styles(list(SEEDS))
    figure.set_facecolor("white")
    every: Any = figure.subplots(1, len(some), squeeze=False)[0]
    for axes, trend in zip(every, some, strict=True):
        figures.plain(axes)
        axes.set_title(trend.title.replace(", ", ",\n"), fontsize=8, loc="left")
        for rate in rates:
            for k, m in enumerate(plan.names):
                found = values(trend, rate, m, 0.0)
                axes.plot([k] * len(found), found, linestyle="", markersize=6, alpha=0.8,
                          label=rate if k == 0 else "_", **looks[rate])  # fmt: skip
        axes.set_xticks(range(len(plan.names)), plan.names, fontsize=8)
        axes.set_xlim(-0.5, len(plan.names) - 0.5)
    figures.legend(figure, figure.axes[0])
    figure.tight_layout(rect=(0, 0.1, 1, 1))
