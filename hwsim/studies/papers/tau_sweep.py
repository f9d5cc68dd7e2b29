"""Success by τ of gradient inhibition: what Fig. 10a, Fig. 10b and the seeds study share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.attacks.evaluate.cross import Rate
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
        asked, plan = self.campaign, self.plan
        names, labels = plan.names, list(self.labels.values())
        every = {
            (label, tau, m): asked.all(answers, f"{label} τ {tau:g}", m)
            for label in labels for tau in TAUS for m in names
        }  # fmt: skip

        def naive(label: str, tau: float, m: str) -> Rate:
            return every[label, tau, m][0].escalated(LAST)

        def adaptive(label: str, tau: float, m: str) -> Rate:
            return worst(every[label, tau, m], LAST)

        pgd = self.small
        small = {
            (label, tau, m): pgd.outcome(answers, f"{label} τ {tau:g}", m).single(0)
            for label in labels for tau in (TAUS[0], TAUS[-1]) for m in names
        }  # fmt: skip

        paper = {}
        if self.single:
            label, start, end = self.single
            paper = {(label, TAUS[0]): start, (label, TAUS[-1]): end}
        rows = []
        for label in labels:
            for tau in TAUS:
                some: list[Outcome] = [every[label, tau, m][0] for m in names]
                published = paper.get((label, tau))
                rows.append([
                    label, f"{tau:g}", share(published) if published is not None else "–",
                    *(share(one.clean) for one in some),
                    *(share(naive(label, tau, m)) for m in names),
                    *(share(adaptive(label, tau, m)) for m in names),
                    *(share(small.get((label, tau, m))) for m in names),
                    share(max(one.blind for one in some)),
                ])  # fmt: skip
        mean_of = [label for label in labels if label in self.averaged]
        if mean_of:
            for tau in (TAUS[0], TAUS[-1]):
                rows.append([
                    f"mean of {len(mean_of)}", f"{tau:g}",
                    share(self.before if tau == TAUS[0] else self.after), *("–" for _ in names),
                    *(share(_mean([naive(n, tau, m) for n in mean_of])) for m in names),
                    *(share(_mean([adaptive(n, tau, m) for n in mean_of])) for m in names),
                    *(share(_mean([small[n, tau, m] for n in mean_of])) for m in names), "–",
                ])  # fmt: skip
        verdicts = self._verdicts(labels, naive, small)
        stars = {
            label: [(tau, value) for (n, tau), value in paper.items() if n == label]
            for label in labels
        }
        return Findings(
            heads=["network", "τ", "paper", *(f"clean {m}" for m in names), *names,
                   *(f"{m} adapt." for m in names),
                   *(f"{m} PGD {pgd.budgets[0]:.2g}" for m in names),
                   "blind"],
            rows=rows,
            notes=[
                f"Success in % of {asked.samples:,} test images at ε = 0.5, inhibition of the last "
                f"layer. {ALGORITHM_NOTE} Here: Algorithm 1.", ADAPTIVE_NOTE,
                f"PGD {pgd.budgets[0]:.2g}: on the margin, at that ε, where undefended networks "
                "withstand it on some images; within 0.5 every image can become the same grey one.",
                BLIND_NOTE,
                "On the engine a τ below half a step of the layer's words changes nothing.",
            ],
            verdicts=verdicts,
            records=asked.records(answers),
            draw=lambda figure: figures.curves(
                figure, names, labels, TAUS,
                lambda n, m: [naive(n, tau, m).value for tau in TAUS],
                lambda n, m: [adaptive(n, tau, m).value for tau in TAUS],
                xlabel="inhibition coefficient τ", ylabel="success rate at ε = 0.5",
                paper={k: v for k, v in stars.items() if v},
            ),
        )  # fmt: skip

    def _verdicts(
        self,
        labels: Sequence[str],
        naive: Callable[[str, float, str], Rate],
        small: Mapping[tuple[str, float, str], Rate],
    ) -> list[Verdict]:
        names = self.plan.names
        complete = [n for n in labels if n in self.averaged]
        found = []
        published = ((TAUS[0], self.before), (TAUS[-1], self.after))
        for tau, value in published:
            means = [
                _mean([naive(n, tau, m) for n in complete])
                for m in names
                if len(complete) == self.expected
            ]
            what = f"mean success at τ = {tau:g} ({', '.join(names)})"
            found.append(near(what, [value] * len(names), means, NEAR))
        if self.single and self.single[0] in labels:
            label, *values = self.single
            for tau, value in zip((TAUS[0], TAUS[-1]), values, strict=True):
                found.append(
                    near(
                        f"success of {label} at τ = {tau:g} ({', '.join(names)})",
                        [value] * len(names),
                        [naive(label, tau, m).value for m in names],
                        NEAR,
                    )
                )
        found.append(
            ordered(
                "inhibition at τ = 0.1 lowers the success of the paper's attack",
                "on every network",
                [
                    Pair(f"{n} {m}", naive(n, TAUS[-1], m), naive(n, TAUS[0], m))
                    for n in labels
                    for m in names
                ],
            )
        )
        found.append(
            holds(
                "inhibition mitigates attacks: PGD on the margin, at an ε at which undefended "
                "networks withstand it on some images, succeeds at τ = 0.1 at most half as often "
                "as at τ = 0",
                "implied",
                [
                    (f"{n} {m}", small[n, TAUS[-1], m].value <= HALF * small[n, TAUS[0], m].value)
                    for n in labels
                    for m in names
                ],
                ", ".join(
                    f"{n} {m} {share(small[n, TAUS[0], m])} to {share(small[n, TAUS[-1], m])}"
                    for n in labels
                    for m in names
                ),
            )
        )
        return found


def _mean(rates: Sequence[Rate]) -> float:
    return sum(rate.value for rate in rates) / len(rates)
