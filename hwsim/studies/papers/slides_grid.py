"""Three levels of a defense under four attacks: the grid behind Tables I and II of the slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.campaign import Campaign, Line, Method
from hwsim.studies.grid.outcomes import judged, worst
from hwsim.studies.grid.plan import Answers, Plan, Point

EPSILONS = (0.1, 0.15, 0.25)
#: Of logits augmentation. The slides do not give it; a power of two changes no word of the ROM.
TAU = 64
COMPRESSION = 7

#: (success in %, distortion) by model and attack, one pair for each ε.
Published = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]


@dataclass(frozen=True)
class Levels:
    """base, pruned: networks of level 0 and 1. letter: M or C. samples, carlini: images of the
    gradient attacks and of C&W, each full and quick.
    """

    plan: Plan
    letter: str
    base: str
    pruned: str | None
    published: Published
    samples: tuple[int, int]
    carlini: tuple[int, int]

    @property
    def lines(self) -> list[Line]:
        """Levels 0, 1 and 2; without the retrained network, level 1 is a rewrite of level 0."""
        zero, one, two = (f"{self.letter}{level}" for level in range(3))
        first = (
            Line(one, self.pruned)
            if self.pruned
            else Line(one, self.base, (f"pruning={COMPRESSION}@all",))
        )
        second = replace(first, label=two, apply=(*first.apply, f"augmentation={TAU}@last"))
        every = (Line(zero, self.base), first, second)
        # Level 0 is judged by all, the others by themselves, to count as the slides may count.
        return [replace(line, judges=every if k == 0 else (line,)) for k, line in enumerate(every)]

    @property
    def campaigns(self) -> dict[str, Campaign]:
        """One for each attack."""
        plan, quick = self.plan, self.plan.quick
        pgd = Method("pgd", "margin", {"steps": 10 if quick else 40}, cost=20)
        # Quick: fewer searches, begun where they would arrive.
        steps, searches, first = (50, 4, 1.0) if quick else (100, 10, 1e-3)
        effort = {"steps": steps, "binary_search_steps": searches, "initial_const": first}
        carlini = Method("cw-l2", options=effort, cost=3 * steps * searches)
        step = {"margin": Method("fgsm", "margin"), "pgd": pgd}
        bim = {"margin": Method("bim", "margin", cost=20), "pgd": pgd}
        # A tenth of the images: C&W takes a thousand gradients each.
        few = plan.samples and max(1, plan.samples // 10)
        count = plan.images(*self.samples)

        def made(name: str, naive: Method, beside: dict[str, Method], targeted: bool) -> Campaign:
            return Campaign(plan, self.lines, naive, beside, EPSILONS, count, targeted, name=name)

        every = [
            made("FGSM", Method("fgsm"), step, False),
            made("FGSM targeted", Method("fgsm"), step, True),
            made("BIM targeted", Method("bim", cost=20), bim, True),
            Campaign(
                plan, self.lines, carlini, {}, (None,),
                few or self.carlini[1 if quick else 0], True, chunk=10, name="C&W",
            ),
        ]  # fmt: skip
        return {one.name: one for one in every}

    def points(self) -> list[Point]:
        """The grid."""
        return [point for one in self.campaigns.values() for point in one.points()]

    def records(self, answers: Answers) -> list[dict[str, Any]]:
        """One for each level, attack, ε and machine: all that the table and the claims need."""
        found = []
        for name, one in self.campaigns.items():
            for level, line in enumerate(one.lines):
                for machine in self.plan.names:
                    every = one.all(answers, line.label, machine)
                    own = one.rows(answers, line.label, machine)
                    zero = one.rows(answers, one.lines[0].label, machine)
                    grey = judged(zero, level)
                    mine = judged(own, 0)
                    for at, budget in enumerate(one.budgets):
                        white, most = every[0].single(at), worst(every, at)
                        right, reached = grey
                        crafted = Rate(int((reached[at] & right).sum()), int(right.sum()))
                        found.append({
                            "model": line.label, "attack": name, "budget": budget,
                            "machine": machine, "images": every[0].images,
                            "correct": int(every[0].correct.sum()), "white": white.value,
                            "white_low": white.interval[0], "white_high": white.interval[1],
                            "grey": crafted.value, "grey_low": crafted.interval[0],
                            "grey_high": crafted.interval[1], "adaptive": most.value,
                            "of_all": float(mine[1][at].mean()),
                            "l2": every[0].mean_l2(at),
                            "l2_all": float(every[0].l2_all[at]) / every[0].images,
                            "zero_gradient": every[0].blind,
                            "rates": (white, crafted, most),
                            "fooled": (reached[at] & right).tobytes(),
                        })  # fmt: skip
        return found
