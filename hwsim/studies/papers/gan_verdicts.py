"""What the rows of the study ``gan`` say, by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwsim.attacks.evaluate.rates import Rate
from hwsim.studies.grid.gan_rows import METHODS
from hwsim.studies.grid.plan import Plan
from hwsim.studies.judge.claims import Pair, Verdict, apart, holds, near, ordered
from hwsim.studies.judge.findings import share
from hwsim.studies.papers.gan_lines import GanLine

#: Of the slides, without a defense: success, and share of changed values.
SUCCESS, CHANGED = 0.971, 0.0444
#: Points within which a number counts as the published one: of success, of changed values.
NEAR, TIGHT = 0.05, 0.01
#: What a defense may cost in accuracy, and by how much machines may differ.
COST, APART = 0.01, 0.05
#: Room for what floats round: a limit in points is met where it is met.
EXACT = 1e-9
PLAIN, MADE, MORE = "real", "real + GAN", "2 × real"
HARD, HARD_MADE = "JSMA", "JSMA + GAN"
UNSAID = "no number"

Lines = Mapping[str, GanLine]


def verdicts(plan: Plan, lines: Lines) -> list[Verdict]:
    """One for each claim; those that need trainings which are not there are not tested."""
    first = METHODS[0]
    found = [
        near(
            "JSMA's success without a defense, float", [SUCCESS],
            [_pooled(lines[PLAIN].success("float", first)).value], NEAR,
        ),
        holds(
            "it changes about the published share of values (± 1 point)", f"{100 * CHANGED:g}%",
            [
                (m, abs(_changed(lines[PLAIN], m) - CHANGED) <= TIGHT)
                for m in plan.names
            ],
            ", ".join(f"{m} {share(_changed(lines[PLAIN], m))}%" for m in plan.names),
        ),
        _lower(plan, lines, "training with the GAN's samples lowers JSMA's success",
               [(MADE, PLAIN)]),
        _lower(
            plan, lines, "adversarial training lowers it, with and without the GAN's samples",
            [(HARD, PLAIN), (HARD_MADE, MADE)],
        ),
        _lower(plan, lines, "the GAN's samples lower it further in adversarial training",
               [(HARD_MADE, HARD)]),
        _more(plan, lines, "the GAN's samples make JSMA change more values",
              [(PLAIN, MADE), (HARD, HARD_MADE)]),
        _more(plan, lines, "adversarial training makes JSMA change more values",
              [(PLAIN, HARD), (MADE, HARD_MADE)]),
        _kept(plan, lines, "the GAN's samples cost at most 1 point of accuracy",
              [(PLAIN, MADE), (HARD, HARD_MADE)]),
        _kept(plan, lines, "adversarial training costs at most 1 point of accuracy",
              [(PLAIN, HARD), (MADE, HARD_MADE)]),
        _lower(
            plan, lines, "(ours) real images in place of the GAN's lower JSMA's success as well",
            [(MORE, PLAIN)],
        ),
        _better(plan, lines),
        _lower(
            plan, lines,
            "(ours) any of these defenses lowers the success of who may use σ-zero, too, within as "
            "many values",
            [(MADE, PLAIN), (HARD, PLAIN), (HARD_MADE, PLAIN)], adaptive=True,
        ),
        _alike(plan, lines),
    ]  # fmt: skip
    return found


def _changed(one: GanLine, machine: str) -> float:
    """Share of values that JSMA's successes change, mean of the seeds."""
    return float(np.mean(one.changed(machine, METHODS[0])))


def _pooled(rates: Sequence[Rate]) -> Rate:
    """All seeds together."""
    return Rate(sum(r.successes for r in rates), sum(r.total for r in rates))


def _lower(
    plan: Plan, lines: Lines, claim: str, pairs: Sequence[tuple[str, str]], adaptive: bool = False
) -> Verdict:
    """Whether the first of each pair is fooled less often, all seeds together."""

    def rate(name: str, machine: str) -> Rate:
        one = lines[name]
        return _pooled(one.adaptive(machine) if adaptive else one.success(machine, METHODS[0]))

    some = [
        Pair(f"{low} and {high}, {m}", rate(low, m), rate(high, m))
        for low, high in pairs if low in lines and high in lines for m in plan.names
    ]  # fmt: skip
    names = dict.fromkeys(name for pair in pairs for name in reversed(pair) if name in lines)
    ours = "; ".join(
        f"{name}: " + ", ".join(f"{m} {share(rate(name, m))}%" for m in plan.names)
        for name in names
    )
    return ordered(claim, UNSAID, some, ours)


def _more(plan: Plan, lines: Lines, claim: str, pairs: Sequence[tuple[str, str]]) -> Verdict:
    """Whether more values are changed on every seed of the second of a pair."""
    cases = [
        (f"{high} {m}", lines[low].changed(m, METHODS[0]), lines[high].changed(m, METHODS[0]))
        for low, high in pairs if low in lines and high in lines for m in plan.names
    ]  # fmt: skip
    # Where nothing was reached there is nothing to compare.
    real = [case for case in cases if not np.isnan([*case[1], *case[2]]).any()]
    return replace(apart(claim, real), paper=UNSAID)


def _kept(plan: Plan, lines: Lines, claim: str, pairs: Sequence[tuple[str, str]]) -> Verdict:
    """Whether the second of each pair is hardly less accurate, in the mean over seeds."""

    def mean(name: str, machine: str) -> float:
        return float(np.mean(lines[name].accuracy(machine)))

    some = [
        (f"{after} {m}", mean(before, m), mean(after, m))
        for before, after in pairs if before in lines and after in lines for m in plan.names
    ]  # fmt: skip
    return holds(
        claim, UNSAID, [(what, after >= before - COST - EXACT) for what, before, after in some],
        ", ".join(f"{what} {share(before)} to {share(after)}%" for what, before, after in some),
    )  # fmt: skip


def _better(plan: Plan, lines: Lines) -> Verdict:
    """Whether as many real images are worth more than the GAN's, in accuracy."""
    cases = [
        (m, lines[MADE].accuracy(m), lines[MORE].accuracy(m))
        for m in plan.names if MADE in lines and MORE in lines
    ]  # fmt: skip
    claim = "(ours) real images in place of the GAN's make a network more accurate"
    return replace(apart(claim, cases), paper=UNSAID)


def _alike(plan: Plan, lines: Lines) -> Verdict:
    """Whether float and engines are fooled alike, by each attack on its own gradients."""
    cases = []
    for name, one in lines.items():
        base = _pooled(one.success("float", METHODS[0])).value
        for m in plan.names[1:]:
            cases.append((f"{name} {m}", _pooled(one.success(m, METHODS[0])).value - base))
    widest = max(cases, key=lambda case: abs(case[1]))
    return holds(
        "(ours) the engine is fooled as often as float (± 5 points)", UNSAID,
        [(what, abs(gap) <= APART + EXACT) for what, gap in cases],
        f"widest: {widest[0]}, {100 * widest[1]:+.1f} points",
    )  # fmt: skip
