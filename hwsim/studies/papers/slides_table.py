"""Tables I and II of the slides: pruning and logits augmentation, white-box and grey-box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Pair, Verdict, holds, near, ordered, untested
from hwsim.studies.judge.findings import BLIND_NOTE, Findings, number, share
from hwsim.studies.papers.slides_grid import COMPRESSION, EPSILONS, TAU, Levels, Published

#: Points within which a success rate counts as the published one.
NEAR = 0.05
#: The same for a rate that is said to be another, small one.
TIGHT = 0.005
ATTACKS = ("FGSM", "FGSM targeted", "BIM targeted", "C&W")


class Table(Levels):
    """The slides' table, ours beside it."""

    def find(self, answers: Answers) -> Findings:
        """The slides' table, ours beside it."""
        records = self.records(answers)
        names = self.plan.names
        by = {(r["model"], r["attack"], r["budget"], r["machine"]): r for r in records}
        rows = []
        for name, one in self.campaigns.items():
            for line in one.lines:
                for at, budget in enumerate(one.budgets):
                    some = [by[line.label, name, budget, m] for m in names]
                    success, distortion = self.published[line.label][name][at]
                    rows.append([
                        line.label, name, "–" if budget is None else f"{budget:g}", f"{success:g}",
                        *(share(r["white"]) for r in some), *(share(r["grey"]) for r in some),
                        *(share(r["adaptive"]) for r in some), f"{distortion:g}",
                        *(number(r["l2"]) for r in some),
                        share(max(r["zero_gradient"] for r in some)),
                    ])  # fmt: skip
        counts = {name: one.samples for name, one in self.campaigns.items()}
        retrained = (
            f"{self.letter}1 is {self.pruned}, pruned {COMPRESSION}× with retraining."
            if self.pruned
            else f"{self.letter}1 is {self.base} pruned {COMPRESSION}× without retraining, since "
            "the retrained network is missing."
        )
        return Findings(
            heads=["model", "attack", "ε", "paper", *(f"{m} white" for m in names),
                   *(f"{m} grey" for m in names), *(f"{m} adapt." for m in names),
                   "paper L2", *(f"{m} L2" for m in names), "blind"],
            rows=rows,
            notes=[
                f"Success in % of images that the judge classifies correctly, of {counts['FGSM']:,}"
                f" ({counts['C&W']:,} for C&W); random targets. {retrained} {self.letter}2 adds "
                f"logits augmentation with τ = {TAU}, which the slides do not give.",
                f"white: white-box, crafted on the model itself. grey: grey-box, crafted on "
                f"{self.letter}0, judged by the model. adapt.: adaptive and white-box, any of the "
                "attack, the same on the margin of the logits, and PGD on that margin; C&W already "
                "is on the margin. L2: mean over white-box successes.",
                BLIND_NOTE,
            ],
            verdicts=self._verdicts(by),
            records=[
                {k: v for k, v in r.items() if k not in ("rates", "fooled")} for r in records
            ],
            draw=lambda figure: self._draw(figure, by),
            size=(10.0, 4.4),
        )  # fmt: skip

    def _verdicts(self, by: dict[Any, dict[str, Any]]) -> list[Verdict]:
        if self.pruned is None:
            why = f"the retrained network is missing; here {self.letter}1 is not the slides' model"
            return [
                untested("pruning lowers the success of attacks, augmentation further",
                         f"{self.letter}2 < {self.letter}1 < {self.letter}0", why)
            ]  # fmt: skip
        zero, one, two = (line.label for line in self.lines)
        keys = sorted({(a, b) for _, a, b, _ in by if a != "C&W"})

        def pairs(lower: str, upper: str, kind: int, crafted: int | None = None) -> list[Pair]:
            return [
                Pair(
                    f"{a} ε {b:g} {m}",
                    by[lower, a, b, m]["rates"][kind],
                    by[upper, a, b, m]["rates"][kind if crafted is None else crafted],
                )
                for a, b in keys
                for m in self.plan.names
            ]

        gradient = "of the gradient attacks"
        verdicts = [
            ordered(f"pruning lowers the success {gradient}, {how}", f"{one} < {zero}",
                    pairs(one, zero, kind))
            for kind, how in enumerate(("white-box", "grey-box", "adaptive"))
        ] + [
            ordered(f"augmentation lowers it further, {how}", f"{two} < {one}",
                    pairs(two, one, kind))
            for kind, how in enumerate(("white-box", "grey-box", "adaptive"))
        ]  # fmt: skip
        for name in ATTACKS:
            some = sorted((b for a, b in {(a, b) for _, a, b, _ in by} if a == name),
                          key=lambda b: b or 0)  # fmt: skip
            lines = [line.label for line in self.lines]
            paper = [self.published[n][name][at][0] / 100 for n in lines for at in range(len(some))]
            for kind, how in (("white", "white-box"), ("grey", "grey-box")):
                ours = [by[n, name, b, "float"][kind] for n in lines for b in some]
                verdicts.append(near(f"the numbers of {name} ({how}, float)", paper, ours, NEAR))
        places = [(a, b, m) for level, a, b, m in by if level == zero]
        verdicts.append(
            holds(
                f"(ours) grey-box, {two} is fooled exactly as {one} is: no image tells them apart",
                f"{two} far below {one}",
                [(f"{a} {m}", by[two, a, b, m]["fooled"] == by[one, a, b, m]["fooled"])
                 for a, b, m in places],
            )
        )  # fmt: skip
        verdicts.append(self._unmoved(by))
        verdicts.append(self._flat(by))
        return verdicts

    def _unmoved(self, by: dict[Any, dict[str, Any]]) -> Verdict:
        """Whether images without any gradient explain a distortion far below the others'.

        Ours alone could hardly differ, since FGSM moves just the images with a gradient: the
        slides' distortion must have fallen, too.
        """
        base, end = f"{self.letter}0", f"{self.letter}2"
        epsilon = EPSILONS[-1]
        paper = self.published[end]["FGSM"][-1][1] / self.published[base]["FGSM"][-1][1]
        found = []
        for m in self.plan.names:
            mine = by[end, "FGSM", epsilon, m]
            ratio = mine["l2_all"] / by[base, "FGSM", epsilon, m]["l2_all"]
            found.append((m, ratio, 1 - mine["zero_gradient"]))
        return holds(
            f"(ours) FGSM's mean distortion over all images of {end}, relative to {base}, is the "
            "share of images that have any gradient (± 5 points), and so it falls in the slides",
            f"{paper:.2f} of {base}'s",
            [("the slides' own", paper <= 1 - NEAR)]
            + [(m, abs(ratio - moved) <= NEAR) for m, ratio, moved in found],
            ", ".join(f"{m} {ratio:.2f} at {100 * moved:.0f}% moved" for m, ratio, moved in found),
        )  # fmt: skip

    def _flat(self, by: dict[Any, dict[str, Any]]) -> Verdict:
        """Whether a success that does not depend on ε is the error on clean images."""
        end = f"{self.letter}2"
        paper = ", ".join(f"{s:g}%" for s, _ in self.published[end]["FGSM"])
        conditions, ours = [], []
        for m in self.plan.names:
            for epsilon in EPSILONS:
                mine = by[end, "FGSM", epsilon, m]
                error = 1 - mine["correct"] / mine["images"]
                gap = abs(mine["of_all"] - error)
                conditions.append((f"{m} ε {epsilon:g}", gap <= TIGHT + 0.1 * error))
                ours.append(f"{100 * mine['of_all']:.1f}% at error {100 * error:.1f}%")
        return holds(
            f"(ours) FGSM's flat success on {end} is its error on clean images, counted as success "
            "(± 0.5 points and a tenth of it)", paper, conditions, ", ".join(ours),
        )  # fmt: skip

    def _draw(self, figure: Figure, by: dict[Any, dict[str, Any]]) -> None:
        names = self.plan.names
        labels = [line.label for line in self.lines]
        ticks = [(a, b) for a, one in self.campaigns.items() for b in one.budgets]
        looks = figures.styles(labels)
        for axes, m in zip(figures.panels(figure, names), names, strict=True):
            for shift, label in enumerate(labels):
                places = [k + 0.26 * (shift - 1) for k in range(len(ticks))]
                values = [by[label, a, b, m]["grey"] for a, b in ticks]
                color = looks[label]["color"]
                axes.bar(places, values, 0.24, color=color, label=f"{label}, grey-box")
                for key, marker in (("white", "o"), ("adaptive", "_")):
                    axes.plot(
                        places, [by[label, a, b, m][key] for a, b in ticks], marker,
                        color=figures.INK, markersize=4 if marker == "o" else 8,
                        markerfacecolor="white",
                    )  # fmt: skip
                stars = [
                    self.published[label][a][one.budgets.index(b)][0] / 100
                    for a, one in self.campaigns.items()
                    for b in one.budgets
                ]
                axes.plot(places, stars, "*", color=figures.GREY, markersize=6)
            axes.set_xticks(
                range(len(ticks)),
                [a.replace(" ", "\n") + (f"\n{b:g}" if b else "") for a, b in ticks],
                fontsize=6,
            )
            figures.percents(axes)
        figure.axes[0].set_ylabel("success rate", fontsize=9)
        figures.legend(figure, figure.axes[0], [
            figures.stroke("white-box", linestyle="", marker="o", markerfacecolor="white",
                           color=figures.INK),
            figures.stroke("adaptive", linestyle="", marker="_", color=figures.INK),
            figures.stroke("the slides' number", linestyle="", marker="*"),
        ])  # fmt: skip
        figure.tight_layout(rect=(0, 0.12, 1, 1))


@dataclass(frozen=True)
class Slides:
    """A table of the slides as a study: networks of levels 0 and 1, letter, what it published."""

    networks: tuple[str, str]
    letter: str
    published: Published

    def table(self, plan: Plan, present: Sequence[str]) -> Table | None:
        """None without the network of level 0."""
        base, pruned = self.networks
        if base not in present:
            return None
        found = pruned if pruned in present else None
        return Table(plan, self.letter, base, found, self.published, (1000, 40), (100, 4))

    def grid(self, plan: Plan, present: Sequence[str]) -> list[Point]:
        """Every level, attack and machine."""
        made = self.table(plan, present)
        return made.points() if made else []

    def find(self, plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
        """The slides' table, ours beside it."""
        made = self.table(plan, present)
        assert made is not None
        return made.find(answers)
