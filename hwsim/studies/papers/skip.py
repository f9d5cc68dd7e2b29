"""Zero skipping: does compression or inhibition change what it saves, what its time tells, and what
an attack on time gains? Nobody has published that; a leak of the class from such times was
(SparseLeakyNets, IEEE CAL 2024), and attacks that raise them (Krithivasan et al. 2020).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Pair, Verdict, holds, ordered
from hwsim.studies.judge.findings import Findings, number, share, span
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.runner.machines import Subject

NETWORKS = tuple(RATES)
DENSE = NETWORKS[0]
#: Rewrites by what the table calls them: of the last layer as Liu et al. place it, and of all.
DEFENSES: dict[str, tuple[str, ...]] = {
    "none": (),
    "inhibition, last": ("inhibition=0.1@last",),
    "inhibition, all": ("inhibition=0.1@all",),
}
EPSILON, SEED = 0.1, 0
#: What an attack gains is said to differ where the means lie this many standard errors apart.
APART = 1.96


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every rate behind every rewrite."""
    return [
        Point(
            {"network": network, "defense": defense},
            "hwsim.studies.grid.skip_rows:skipping",
            {
                "subject": Subject(
                    network, "fixed", steps, plan.bits[0], plan.config
                ).parameters(),
                "samples": plan.images(2000, 400), "attacked": plan.images(100, 20),
                "epsilon": EPSILON, "seed": SEED,
            },
            3.0,
        )
        for defense, steps in DEFENSES.items()
        for network in present
    ]  # fmt: skip


@dataclass(frozen=True)
class SkipLine:
    """One network behind one rewrite."""

    network: str
    defense: str
    row: Mapping[str, Any]

    @property
    def label(self) -> str:
        return RATES[self.network]

    def told(self, who: str) -> Rate:
        """Classes guessed right by who sees ``layers`` or ``total``."""
        return Rate(self.row[who]["right"], self.row[who]["asked"])

    @property
    def gain(self) -> float:
        """Cycles without skipping over the mean with."""
        return float(self.row["plain"] / self.row["cycles"]["mean"])

    def mean(self, who: str) -> tuple[float, float]:
        """(mean, its standard error) of the ratios of ``attack`` or ``uniform``."""
        ratios = self.row[who]
        return statistics.mean(ratios), statistics.stdev(ratios) / len(ratios) ** 0.5

    @property
    def excess(self) -> tuple[float, float]:
        """The same of attack over uniform noise, image by image."""
        pairs = zip(self.row["attack"], self.row["uniform"], strict=True)
        ratios = [a / b for a, b in pairs]
        return statistics.mean(ratios), statistics.stdev(ratios) / len(ratios) ** 0.5


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """What is saved, told and gained, a network behind a rewrite a line."""
    lines = [
        SkipLine(network, defense, rows[0])
        for defense in DEFENSES
        for network in present
        if (rows := answers.of(network=network, defense=defense))
    ]
    return Findings(
        heads=["rate", "rewrite", "accuracy", "cycles", "gain", "fc columns", "conv columns",
               "class from layers", "from the whole", "bits", "attack", "uniform noise"],
        rows=[
            [
                one.label, one.defense, share(one.row["accuracy"]),
                f"{one.row['cycles']['mean']:,.0f}", f"{one.gain:.2f}",
                share(one.row["columns"]["fc"]), share(one.row["columns"]["conv"]),
                span(one.told("layers")), span(one.told("total")),
                number(one.row["layers"]["bits"]), _ratio(one.mean("attack")),
                _ratio(one.mean("uniform")),
            ]
            for one in lines
        ],
        notes=[
            "cycles: mean of the test images on an engine that skips; gain: of one that does not, "
            "over it. columns: issued, of the layers whose time depends on the image. class: "
            "guessed right in %, from the cycles of every layer or of the whole, by the best of "
            "three classifiers, chosen on other images; bits: mutual information, its bias taken "
            "off. attack, uniform noise: cycles over those of the same image before, mean ± "
            f"standard error, within ε = {EPSILON:g}.",
        ],
        verdicts=_verdicts(lines),
        records=[
            {
                "network": one.network, "defense": one.defense, "accuracy": one.row["accuracy"],
                "plain": one.row["plain"], "cycles": one.row["cycles"]["mean"],
                "fc_columns": one.row["columns"]["fc"],
                "conv_columns": one.row["columns"]["conv"],
                "class_layers": one.told("layers").value, "class_total": one.told("total").value,
                "bits_layers": one.row["layers"]["bits"], "bits_total": one.row["total"]["bits"],
                "attack": one.mean("attack")[0], "uniform": one.mean("uniform")[0],
            }
            for one in lines
        ],
        draw=lambda figure: _draw(figure, lines),
        size=(10.0, 3.6),
    )  # fmt: skip


def _ratio(found: tuple[float, float]) -> str:
    return f"{found[0]:.3f} ± {found[1]:.3f}"


def _verdicts(lines: Sequence[SkipLine]) -> list[Verdict]:
    plain = {one.network: one for one in lines if one.defense == "none"}
    dense = plain.get(DENSE)
    hashed = [one for name, one in plain.items() if name != DENSE] if dense else []
    nobody = "nobody has said"

    def leak(claim: str, pairs: Sequence[tuple[str, SkipLine, SkipLine]]) -> Verdict:
        rates = [Pair(what, a.told("layers"), b.told("layers")) for what, a, b in pairs]
        ours = ", ".join(
            f"{what}: {share(a.told('layers'))} → {share(b.told('layers'))}" for what, a, b in pairs
        )
        return ordered(claim, nobody, rates, ours)

    found = [
        holds(
            "the class is told from the time, better than by chance",
            "SparseLeakyNets: predicted on MNIST",
            [(one.label, one.told("layers").interval[0] > one.row["layers"]["chance"])
             for one in plain.values()],
            ", ".join(f"{one.label}: {span(one.told('layers'))}" for one in plain.values()),
        ),
    ]  # fmt: skip
    if dense is not None:
        found.append(
            holds(
                "compression leaves fewer columns to issue in fc layers",
                nobody,
                [
                    (one.label, one.row["columns"]["fc"] < dense.row["columns"]["fc"])
                    for one in hashed
                ],
                ", ".join(
                    f"{one.label}: {share(one.row['columns']['fc'])}" for one in (dense, *hashed)
                ),
            )
        )
        found.append(
            leak(
                "the time of a compressed network tells more of the class",
                [(one.label, dense, one) for one in hashed],
            )
        )
        found.append(_gains("an attack on time gains more on a compressed network", dense, hashed))
    for defense in list(DEFENSES)[1:]:
        behind = [
            (one.label, one, plain[one.network])
            for one in lines
            if one.defense == defense and one.network in plain
        ]
        found.append(leak(f"{defense} makes the time tell less of the class", behind))
        found.append(
            holds(
                f"{defense} changes no cycle of any image's mean by more than a hundredth",
                nobody,
                [
                    (what, abs(a.row["cycles"]["mean"] / b.row["cycles"]["mean"] - 1) <= 0.01)
                    for what, a, b in behind
                ],
                ", ".join(
                    f"{what}: {b.row['cycles']['mean']:,.0f} → {a.row['cycles']['mean']:,.0f}"
                    for what, a, b in behind
                ),
            )
        )
    found.append(
        holds(
            "optimized images cost more than uniform noise of the same size",
            "Müller and Quiring 2024: uniform images match optimized ones",
            [(one.label, one.excess[0] - APART * one.excess[1] > 1) for one in plain.values()],
            ", ".join(f"{one.label}: {_ratio(one.excess)}" for one in plain.values()),
        )
    )
    return found


def _gains(claim: str, dense: SkipLine, hashed: Sequence[SkipLine]) -> Verdict:
    mean, error = dense.mean("attack")

    def more(one: SkipLine) -> bool:
        other, wide = one.mean("attack")
        return other - mean > APART * (error**2 + wide**2) ** 0.5

    return holds(
        claim,
        "Krithivasan et al. 2020: 1.12 to 1.59 × latency, uncompressed",
        [(one.label, more(one)) for one in hashed],
        ", ".join(f"{one.label}: {_ratio(one.mean('attack'))}" for one in (dense, *hashed)),
    )


def _draw(figure: Figure, lines: Sequence[SkipLine]) -> None:
    titles = ("cycles, share of plain", "class told, %", "attacked, cycles × clean")
    figure.set_facecolor("white")
    panels = [figures.plain(axes) for axes in figure.subplots(1, len(titles))]
    labels = list(dict.fromkeys(one.label for one in lines))
    looks = dict(zip(DEFENSES, ("o", "s", "^"), strict=True))
    for one in lines:
        number = list(DEFENSES).index(one.defense)
        place = labels.index(one.label) + 0.2 * (number - 1)
        mean, error = one.mean("attack")
        low, high = one.told("layers").interval
        values = (1 / one.gain, 100 * one.told("layers").value, mean)
        errors = (0.0, 50 * (high - low), APART * error)
        for axes, value, wide in zip(panels, values, errors, strict=True):
            axes.errorbar(
                place, value, wide or None, fmt=looks[one.defense], color=figures.COLORS[number],
                markersize=5,
            )  # fmt: skip
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
        axes.set_xticks(range(len(labels)), labels)
    figures.legend(
        figure,
        panels[0],
        [
            figures.stroke(name, marker=mark, linestyle="", color=figures.COLORS[number])
            for number, (name, mark) in enumerate(looks.items())
        ],
    )
