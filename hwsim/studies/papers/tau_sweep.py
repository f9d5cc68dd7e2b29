"""Success by τ of gradient inhibition: what Fig. 10a, Fig. 10b and the seeds study share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.campaign import Campaign, Line, Method, margin_suite, telling
from hwsim.studies.grid.outcomes import Outcome, worst
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Pair, Verdict, holds, near, ordered
from hwsim.studies.judge.findings import ADAPTIVE_NOTE, ALGORITHM_NOTE, BLIND_NOTE, Findings, share

TAUS = (0.0, 0.01, 0.02, 0.05, 0.1)
EPSILONS = (0.1, 0.2, 0.3, 0.4, 0.5)
LAST = len(EPSILONS) - 1
#: What labels of lines end in at the smallest τ and the largest.
ENDS = (f"τ {TAUS[0]:g}", f"τ {TAUS[-1]:g}")
#: A defense is said to work where the adaptive success falls to this share of what it was.
HALF = 0.5
NEAR = 0.05


def rewrite(tau: float) -> tuple[str, ...]:
    """The rewrite of the last layer for a τ; none for 0."""
    return (f"inhibition={tau:g}@last",) if tau else ()


@dataclass(frozen=True)
class Sweep:
    """labels: network -> what the study calls it. averaged: labels that the paper's mean is over.
    before, after: that mean at τ = 0 and at the largest τ. single: a label for which the paper
    gives both numbers itself, with them. telling: the ε at which PGD is compared, see
    ``campaign.telling``.
    """

    plan: Plan
    labels: Mapping[str, str]
    averaged: Sequence[str]
    expected: int
    before: float
    after: float
    telling: float
    single: tuple[str, float, float] | None = None
    samples: tuple[int, int] = (1000, 100)

    @property
    def campaign(self) -> Campaign:
        """FGSM over ε at every τ; PGD at the largest ε only."""
        return Campaign(
            self.plan, self.lines, Method("hfgsm"), margin_suite(self.plan, (LAST,)), EPSILONS,
            self.plan.images(*self.samples),
        )  # fmt: skip

    @property
    def lines(self) -> list[Line]:
        """Every network at every τ."""
        return [
            Line(f"{label} τ {tau:g}", network, rewrite(tau))
            for network, label in self.labels.items()
            for tau in TAUS
        ]

    @property
    def small(self) -> Campaign:
        """PGD at the telling ε, without inhibition and with the most of it."""
        some = [line for line in self.lines if line.label.endswith((ENDS[0], ENDS[1]))]
        return telling(self.plan, some, self.telling, self.plan.images(*self.samples))

    def points(self) -> list[Point]:
        """The grid."""
        return [*self.campaign.points(), *self.small.points()]

    def find(self, answers: Answers) -> Findings:
        """Table by network and τ at the largest ε, the means, the claims."""
        seen = Seen.of(self, answers)
        return Findings(
            heads=self._heads(),
            rows=[*self._rows(seen), *self._mean_rows(seen)],
            notes=self._notes(),
            verdicts=[*self._near_the_paper(seen), _lowered(seen), _mitigated(seen)],
            records=self.campaign.records(answers),
            draw=lambda figure: self._draw(figure, seen),
        )

    @property
    def published(self) -> dict[tuple[str, float], float]:
        """(label, τ) -> success, where the paper gives it for one network."""
        if self.single is None:
            return {}
        label, start, end = self.single
        return {(label, TAUS[0]): start, (label, TAUS[-1]): end}

    def _heads(self) -> list[str]:
        names = self.plan.names
        return [
            "network", "τ", "paper", *(f"clean {m}" for m in names), *names,
            *(f"{m} adapt." for m in names), *(f"{m} PGD {self._budget}" for m in names),
            "blind",
        ]  # fmt: skip

    @property
    def _budget(self) -> str:
        """The ε of ``small``, on the grid."""
        (budget,) = self.small.budgets
        return f"{budget:.2g}"

    def _rows(self, seen: Seen) -> Iterator[list[str]]:
        for label in seen.labels:
            for tau in TAUS:
                some = [seen.first(label, tau, m) for m in seen.names]
                published = self.published.get((label, tau))
                yield [
                    label, f"{tau:g}", share(published) if published is not None else "–",
                    *(share(one.clean) for one in some),
                    *(share(seen.naive(label, tau, m)) for m in seen.names),
                    *(share(seen.adaptive(label, tau, m)) for m in seen.names),
                    *(share(seen.small.get((label, tau, m))) for m in seen.names),
                    share(max(one.blind for one in some)),
                ]  # fmt: skip

    def _mean_rows(self, seen: Seen) -> Iterator[list[str]]:
        """Means over the networks that the paper averages, at both ends of τ."""
        some = self._averaged(seen)
        for tau, paper in ((TAUS[0], self.before), (TAUS[-1], self.after)):
            if some:
                yield [
                    f"mean of {len(some)}", f"{tau:g}", share(paper), *("–" for _ in seen.names),
                    *(share(_mean([seen.naive(n, tau, m) for n in some])) for m in seen.names),
                    *(share(_mean([seen.adaptive(n, tau, m) for n in some])) for m in seen.names),
                    *(share(_mean([seen.small[n, tau, m] for n in some])) for m in seen.names), "–",
                ]  # fmt: skip

    def _averaged(self, seen: Seen) -> list[str]:
        return [label for label in seen.labels if label in self.averaged]

    def _notes(self) -> list[str]:
        return [
            f"Success in % of {self.campaign.samples:,} test images at ε = 0.5, inhibition of the "
            f"last layer. {ALGORITHM_NOTE} Here: Algorithm 1.", ADAPTIVE_NOTE,
            f"PGD {self._budget}: on the margin, at that ε, where undefended networks "
            "withstand it on some images; within 0.5 every image can become the same grey one.",
            BLIND_NOTE,
            "On the engine a τ below half a step of the layer's words changes nothing.",
        ]  # fmt: skip

    def _draw(self, figure: Figure, seen: Seen) -> None:
        stars = {
            label: [(tau, value) for (n, tau), value in self.published.items() if n == label]
            for label in seen.labels
        }
        figures.curves(
            figure, seen.names, seen.labels, TAUS,
            lambda n, m: [seen.naive(n, tau, m).value for tau in TAUS],
            lambda n, m: [seen.adaptive(n, tau, m).value for tau in TAUS],
            xlabel="inhibition coefficient τ", ylabel="success rate at ε = 0.5",
            paper={k: v for k, v in stars.items() if v},
        )  # fmt: skip

    def _near_the_paper(self, seen: Seen) -> Iterator[Verdict]:
        """Whether the paper's means, and its numbers for one network, are met."""
        machines, complete = ", ".join(seen.names), self._averaged(seen)
        for tau, value in ((TAUS[0], self.before), (TAUS[-1], self.after)):
            means = [_mean([seen.naive(n, tau, m) for n in complete]) for m in seen.names
                     if len(complete) == self.expected]  # fmt: skip
            what = f"mean success at τ = {tau:g} ({machines})"
            yield near(what, [value] * len(seen.names), means, NEAR)
        for (label, tau), value in self.published.items():
            if label in seen.labels:
                what = f"success of {label} at τ = {tau:g} ({machines})"
                ours = [seen.naive(label, tau, m).value for m in seen.names]
                yield near(what, [value] * len(seen.names), ours, NEAR)


@dataclass(frozen=True)
class Seen:
    """What the machines answered. every: (label, τ, machine) -> naive outcome and adaptive ones.
    small: success of PGD at the telling ε, at both ends of τ.
    """

    names: list[str]
    labels: list[str]
    every: Mapping[tuple[str, float, str], list[Outcome]]
    small: Mapping[tuple[str, float, str], Rate]

    @classmethod
    def of(cls, sweep: Sweep, answers: Answers) -> Seen:
        """Of all points of a sweep."""
        names, labels = sweep.plan.names, list(sweep.labels.values())
        asked, pgd = sweep.campaign, sweep.small
        every = {
            (label, tau, m): asked.all(answers, f"{label} τ {tau:g}", m)
            for label in labels for tau in TAUS for m in names
        }  # fmt: skip
        small = {
            (label, tau, m): pgd.outcome(answers, f"{label} τ {tau:g}", m).single(0)
            for label in labels for tau in (TAUS[0], TAUS[-1]) for m in names
        }  # fmt: skip
        return cls(names, labels, every, small)

    def first(self, label: str, tau: float, m: str) -> Outcome:
        """The paper's attack."""
        return self.every[label, tau, m][0]

    def naive(self, label: str, tau: float, m: str) -> Rate:
        """Its success at the largest ε, by Algorithm 1."""
        return self.first(label, tau, m).escalated(LAST)

    def adaptive(self, label: str, tau: float, m: str) -> Rate:
        """The worst case over all attacks there."""
        return worst(self.every[label, tau, m], LAST)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, machine), all of them."""
        return [(label, m) for label in self.labels for m in self.names]


def _lowered(seen: Seen) -> Verdict:
    return ordered(
        "inhibition at τ = 0.1 lowers the success of the paper's attack",
        "on every network",
        [
            Pair(f"{n} {m}", seen.naive(n, TAUS[-1], m), seen.naive(n, TAUS[0], m))
            for n, m in seen.lines
        ],
    )


def _mitigated(seen: Seen) -> Verdict:
    ends = [(f"{n} {m}", seen.small[n, TAUS[0], m], seen.small[n, TAUS[-1], m])
            for n, m in seen.lines]  # fmt: skip
    return holds(
        "inhibition mitigates attacks: PGD on the margin, at an ε at which undefended "
        "networks withstand it on some images, succeeds at τ = 0.1 at most half as often "
        "as at τ = 0",
        "implied",
        [(what, after.value <= HALF * before.value) for what, before, after in ends],
        ", ".join(f"{what} {share(before)} to {share(after)}" for what, before, after in ends),
    )


def _mean(rates: Sequence[Rate]) -> float:
    return sum(rate.value for rate in rates) / len(rates)
