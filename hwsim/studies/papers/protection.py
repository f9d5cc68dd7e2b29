"""What guards a memory against flipped bits, before who knows of it and who does not.

RADAR (Li et al., DATE 2021) is said to find 9.6 of 10 flips of a bit search that does not know it;
of who does, of shared weights and of indices nobody says anything.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.figure import Figure

from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.claims import Verdict, apart, holds, untested
from hwsim.studies.judge.findings import Findings, share
from hwsim.studies.papers.faults import HALF, IMAGES, K_TOP, LABELS, STOP, FlipLine
from hwsim.studies.runner.machines import Subject

NETWORKS = ("mnist-cnn-h16", "resnet20-h16")
MEMORIES = ("weights", "index")
#: What guards, and who attacks it; without a guard there is nothing to know.
GUARDS: dict[str, tuple[str, ...]] = {
    "none": ("adaptive",),
    "parity": ("blind", "adaptive"),
    "secded": ("blind", "adaptive"),
    "clip": ("blind", "adaptive"),
    "signature:64": ("blind", "keyless", "adaptive"),
}
#: Batches, of a full study and of a quick one, and flips after which a search gives up.
SEEDS, MOST = (3, 2), (40, 12)


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every network and memory behind every guard, before everyone, batch by batch."""
    return [
        Point(
            {"network": network, "memory": memory, "guard": guard, "attacker": who, "seed": seed},
            "hwsim.studies.grid.flip_rows:guarded",
            {
                "subject": Subject(network, "fixed", (), plan.bits[0], plan.config).parameters(),
                "protect": guard, "attacker": who, "memory": memory, "seed": seed,
                "images": IMAGES, "samples": plan.images(500, 200), "k_top": K_TOP,
                "most": MOST[plan.quick], "stop": STOP,
            },
            20.0 if network == "resnet20-h16" else 1.0,
        )
        # Batch by batch: interrupted, there is something of everything.
        for seed in range(SEEDS[plan.quick])
        for network in present
        for memory in MEMORIES
        for guard, attackers in GUARDS.items()
        for who in attackers
    ]  # fmt: skip


@dataclass(frozen=True)
class GuardLine(FlipLine):
    """All batches of one network and memory behind one guard, before one attacker.

    most: bits that a search may flip.
    """

    most: int = MOST[0]

    def flips(self, accuracy: float) -> list[int]:
        """Bits until at most so much is right; more than it may flip where a search is caught, or
        finds nothing more, before.
        """
        found = zip(super().flips(accuracy), self.reached(accuracy), strict=True)
        return [count if reached else self.most + 1 for count, reached in found]

    def text(self, accuracy: float) -> str:
        """``4.2 (3–6)``; ≥ where some never come to that, a dash where none does."""
        return super().text(accuracy) if any(self.reached(accuracy)) else "–"

    @property
    def guard(self) -> str:
        """What guards."""
        return self.machine.partition(", ")[0]

    @property
    def who(self) -> str:
        """Who attacks."""
        return self.machine.partition(", ")[2]

    @property
    def caught(self) -> int:
        """Searches that ended in an error status."""
        return sum(row["ended"] == "caught" for row in self.rows)

    @property
    def left(self) -> float | None:
        """Mean accuracy behind the last step of those that did not."""
        ends = [row["steps"][-1]["accuracy"] for row in self.rows if row["steps"]]
        answered = [end for end in ends if end is not None]
        return statistics.mean(answered) if answered else None


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Flips to half of the images and to 11% of them, by memory, guard and attacker."""
    lines = [
        GuardLine(network, f"{guard}, {who}", memory, rows, MOST[plan.quick])
        for network in present
        for memory in MEMORIES
        for guard, attackers in GUARDS.items()
        for who in attackers
        if (rows := answers.of(network=network, memory=memory, guard=guard, attacker=who))
    ]
    return Findings(
        heads=["network", "memory", "guard", "attacker", "flips to 50%", "flips to 11%", "reached",
               "caught", "left", "random flips"],
        rows=[
            [
                LABELS[one.network], one.memory, one.guard, "–" if one.guard == "none" else one.who,
                one.text(HALF), one.text(STOP), f"{sum(one.reached(STOP))} of {len(one.rows)}",
                f"{one.caught} of {len(one.rows)}", _share(one.left), _share(_random(one)),
            ]
            for one in lines
        ],
        notes=[
            f"Progressive bit search from batches of {IMAGES} training images, 8-bit words unless "
            "--bits says otherwise; mean (range) over the batches of bits flipped, check bits "
            f"among them. A search ends at 11%, after {MOST[plan.quick]} flips, where an error "
            "status comes instead of answers (caught), or where nothing that passes raises the "
            "loss; one that did not get there counts as one flip more than it may make, and – says "
            "that none did. left: accuracy in % behind the last flip, of searches that were not "
            "caught. random flips: as many, check bits among them; – where all end in an error "
            "status.",
            "blind: looks for bits on an engine without the guard; keyless: knows all but the key "
            "of a signature, and takes another; adaptive: knows all of it.",
        ],
        verdicts=_verdicts(lines),
        records=[
            {
                "network": one.network, "memory": one.memory, "guard": one.guard,
                "attacker": one.who, "batch": batch, "clean": row["clean"], "flips_half": half,
                "flips": flips, "reached": reached, "ended": row["ended"],
                "left": row["steps"][-1]["accuracy"] if row["steps"] else row["clean"],
                "random": row["random"], "memory_bits": row["bits"],
            }
            for one in lines
            for batch, (row, half, flips, reached) in enumerate(zip(
                one.rows, one.flips(HALF), one.flips(STOP), one.reached(STOP), strict=True
            ))
        ],
        draw=lambda figure: _draw(figure, lines),
        size=(9.5, 5.0),
    )  # fmt: skip


def _random(one: FlipLine) -> float | None:
    """Mean accuracy behind as many random flips, where they are answered."""
    found = [row["random"] for row in one.rows if row["random"] is not None]
    return statistics.mean(found) if found else None


def _share(value: float | None) -> str:
    return "–" if value is None else share(value)


def _verdicts(lines: Sequence[GuardLine]) -> list[Verdict]:
    by_key: Mapping[Any, GuardLine] = {
        (one.network, one.memory, one.guard, one.who): one for one in lines
    }
    # Where nothing guards and nobody gets there, a guard is not put to the test.
    broken = {
        (one.network, one.memory) for one in lines if one.guard == "none" and all(one.reached(STOP))
    }
    blind = [one for one in lines if one.who == "blind" and (one.network, one.memory) in broken]
    found = [
        _withstands(guard, [one for one in blind if one.guard == guard])
        for guard in GUARDS
        if guard != "none"
    ]
    for guard, attackers in GUARDS.items():
        for who in attackers:
            if who == "blind" or guard == "none":
                continue
            pairs = [
                (one, by_key[one.network, one.memory, guard, who])
                for one in lines
                if one.guard == "none" and (one.network, one.memory, guard, who) in by_key
            ]
            claim = f"{guard} makes who knows it flip more bits"
            if who == "keyless":
                claim = f"{guard} makes who knows all but its key flip more bits"
            ours = ", ".join(
                f"{LABELS[one.network]} {one.memory}: {one.text(STOP)} without, {other.text(STOP)}"
                for one, other in pairs
            )
            cases = [(_what(other), one.flips(STOP), other.flips(STOP)) for one, other in pairs]
            found.append(replace(apart(claim, cases), paper="nobody has said", ours=ours))
    return found


def _withstands(guard: str, blind: Sequence[GuardLine]) -> Verdict:
    """Whether nobody who knows nothing of a guard gets there, where that is possible at all."""
    claim = f"who does not know of it does not break a network behind {guard}"
    paper = "nobody has said"
    if not blind:
        return untested(claim, paper, "without a guard not every search gets there, either")
    return holds(claim, paper, [(_what(one), not any(one.reached(STOP))) for one in blind])


def _what(one: GuardLine) -> str:
    return f"{LABELS[one.network]}, {one.memory}"


def _draw(figure: Figure, lines: Sequence[GuardLine]) -> None:
    groups = list(dict.fromkeys((one.network, one.memory) for one in lines))
    looks = {"blind": "s", "keyless": "^", "adaptive": "o"}
    guards = list(GUARDS)
    titles = [f"{LABELS[network]}, {memory}" for network, memory in groups]
    panels = figures.panels(figure, titles)
    for axes, group in zip(panels, groups, strict=True):
        for one in lines:
            if (one.network, one.memory) != group:
                continue
            attackers = GUARDS[one.guard]
            place = guards.index(one.guard) + 0.22 * (
                attackers.index(one.who) - (len(attackers) - 1) / 2
            )
            color = figures.COLORS[list(looks).index(one.who)]
            for count, reached in zip(one.flips(STOP), one.reached(STOP), strict=True):
                axes.plot(
                    place, count, looks[one.who], color=color, markersize=5,
                    fillstyle="full" if reached else "none",
                )  # fmt: skip
        axes.set_xticks(range(len(guards)), guards, rotation=60)
        axes.set_ylim(bottom=0)
    first = figure.axes[0]
    first.set_ylabel("flips until at most 11% are right", fontsize=9)
    extra = [
        figures.stroke(who, color=figures.COLORS[n], marker=marker, linestyle="")
        for n, (who, marker) in enumerate(looks.items())
    ]
    extra.append(
        figures.stroke("not reached", color=figures.GREY, marker="o", linestyle="",
                       fillstyle="none")
    )  # fmt: skip
    figures.legend(figure, first, extra)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
