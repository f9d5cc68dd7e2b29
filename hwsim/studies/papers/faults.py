"""Bit flips that break a network: dense and hashed, in weights and in stored indices.

Published are numbers of flips until a dense ResNet-20 answers at most 11% of CIFAR-10 (Rakin et al.
2019, and what users of their script report). Of hashed networks and of indices nobody says
anything.
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
from hwsim.studies.judge.findings import Findings, number, share
from hwsim.studies.papers.fig3 import RATES
from hwsim.studies.runner.machines import Subject

#: MNIST at all rates, then CIFAR-10, dense and shared.
SHARED = ("mnist-cnn", "mnist-cnn-h8", "mnist-cnn-h16", "mnist-cnn-h32", "mnist-cnn-h64")
DEEP = ("resnet20", "resnet20-h8", "resnet20-h16", "resnet20-h32", "resnet20-h64")
CIFAR = {name: f"ResNet-20, {RATES[shared]}" for name, shared in zip(DEEP, SHARED, strict=True)}
LABELS = {**{name: f"MNIST, {RATES[name]}" for name in SHARED}, **CIFAR}
NETWORKS = tuple(LABELS)
HASHED = tuple(name for name in NETWORKS if "-h" in name)
#: As published: batch, words looked at in each layer, where the search stops.
IMAGES, K_TOP, STOP = 128, 100, 0.11
#: Flips after which a search gives up.
MOST = 40
#: Batches, of a full study and of a quick one.
SEEDS = (5, 2)
#: What is searched at every width, as was published; the others at the first one only.
EVERY_WIDTH = tuple(CIFAR)
#: Mean flips of ResNet-20 by width, and two standard deviations of those at 8 bits.
PUBLISHED = {8: 28.0, 6: 29.3, 4: 40.8}
ROOM = 2 * 4.5
#: What random flips may cost, in accuracy: "< 1%" of 100 of them.
HARMLESS = 0.01
HALF = 0.5


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every network and width, words and where there are any indices, batch by batch."""
    points = []
    for network in present:
        for bits in plan.bits if network in EVERY_WIDTH else plan.bits[:1]:
            subject = Subject(network, "fixed", (), bits, plan.config)
            for memory in ("weights", "index") if network in HASHED else ("weights",):
                points += _points(plan, network, f"{bits}-bit", subject, subject, memory)
        first = Subject(network, "fixed", (), plan.bits[0], plan.config)
        on_float = Subject(network, "float", (), plan.bits[0])
        points += _points(plan, network, "float", on_float, first, "weights")[:1]
    return points


def _points(
    plan: Plan, network: str, machine: str, subject: Subject, engine: Subject, memory: str
) -> list[Point]:
    return [
        Point(
            {"network": network, "machine": machine, "memory": memory, "seed": seed},
            "hwsim.studies.grid.flip_rows:search",
            {
                "subject": subject.parameters(), "engine": engine.parameters(), "memory": memory,
                "seed": seed, "images": IMAGES, "samples": plan.images(500, 200), "k_top": K_TOP,
                "most": _most(plan), "stop": STOP,
            },
            20.0 if network in CIFAR else 1.0,
        )
        for seed in range(SEEDS[plan.quick])
    ]  # fmt: skip


@dataclass(frozen=True)
class FlipLine:
    """All batches of one network on one machine, one memory flipped."""

    network: str
    machine: str
    memory: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def what(self) -> str:
        return f"{LABELS[self.network]}, {self.machine}, {self.memory}"

    def flips(self, accuracy: float) -> list[int]:
        """Bits until at most so much is right, batch by batch; one more than the last if never."""
        found = []
        for row in self.rows:
            steps = row["steps"]
            there = [step["bits"] for step in steps if _at_most(step, accuracy)]
            found.append(there[0] if there else (steps[-1]["bits"] if steps else 0) + 1)
        return found

    def reached(self, accuracy: float) -> list[bool]:
        """Whether it came to that."""
        return [any(_at_most(step, accuracy) for step in row["steps"]) for row in self.rows]

    def mean(self, accuracy: float = STOP) -> float:
        """Mean flips, a search that gave up counted as one flip more."""
        return statistics.mean(self.flips(accuracy))

    def text(self, accuracy: float) -> str:
        """``4.2 (3–6)``; ≥ where a search gave up."""
        counts = self.flips(accuracy)
        sign = "" if all(self.reached(accuracy)) else "≥ "
        mean = f"{sign}{number(statistics.mean(counts), 1)}"
        return mean if len(counts) == 1 else f"{mean} ({min(counts)}–{max(counts)})"

    def average(self, name: str) -> float:
        """Mean of ``clean`` or ``random``."""
        return statistics.mean(row[name] for row in self.rows)


def _at_most(step: Mapping[str, Any], accuracy: float) -> bool:
    """Whether so much or less is right behind a step; not where an error status comes instead."""
    return step["accuracy"] is not None and bool(step["accuracy"] <= accuracy)


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """Flips to half of the images and to 11% of them, by network, width and memory."""
    lines = _lines(plan, present, answers)
    return Findings(
        heads=["network", "machine", "memory", "bits of it", "clean", "flips to 50%",
               "flips to 11%", "reached", "random flips"],
        rows=[
            [
                LABELS[one.network], one.machine, one.memory, f"{one.rows[0]['bits']:,}",
                share(one.average("clean")), one.text(HALF), one.text(STOP),
                f"{sum(one.reached(STOP))} of {len(one.rows)}", share(one.average("random")),
            ]
            for one in lines
        ],
        notes=[
            f"Progressive bit search from batches of {IMAGES} training images, the {K_TOP} words "
            "with the largest gradients looked at in each layer; mean (range) over the batches. "
            f"A search gives up after {_most(plan)} flips and counts as one more "
            "then. Accuracies in % of test images; random flips: accuracy after as many random "
            "flips of the same memory. float: one batch, exponent bits among the 32 of a word.",
            "index: an engine that stores its indices; one that computes them (INDEX_MODE = hash) "
            "has no such memory, and its words are those of the rows above. The attacker knows all "
            "there is, and there is no defense here: those, with a blind and an adaptive attacker, "
            "are the study protection's.",
        ],
        verdicts=_verdicts(plan, lines),
        records=[
            {
                "network": one.network, "machine": one.machine, "memory": one.memory,
                "batch": batch, "clean": row["clean"], "flips_half": half, "flips": flips,
                "reached": reached, "ended": row["ended"], "random": row["random"],
                "memory_bits": row["bits"],
            }
            for one in lines
            for batch, (row, half, flips, reached) in enumerate(zip(
                one.rows, one.flips(HALF), one.flips(STOP), one.reached(STOP), strict=True
            ))
        ],
        draw=lambda figure: _draw(figure, plan, lines),
        size=(12.5, 5.0),
    )  # fmt: skip


def _most(plan: Plan) -> int:
    return 10 if plan.quick else MOST


def _lines(plan: Plan, present: Sequence[str], answers: Answers) -> list[FlipLine]:
    found = [
        FlipLine(network, machine, memory, rows)
        for network in present
        for machine in ["float", *(f"{bits}-bit" for bits in plan.bits)]
        for memory in ("weights", "index")
        if (rows := answers.of(network=network, machine=machine, memory=memory))
    ]
    return found


def _verdicts(plan: Plan, lines: Sequence[FlipLine]) -> list[Verdict]:
    by_key = {(one.network, one.machine, one.memory): one for one in lines}
    dense = [
        (bits, by_key["resnet20", f"{bits}-bit", "weights"])
        for bits in plan.bits
        if bits in PUBLISHED and ("resnet20", f"{bits}-bit", "weights") in by_key
    ]
    fixed = [one for one in lines if one.machine != "float"]
    words = [
        (one, by_key[_dense(one.network), one.machine, "weights"])
        for one in fixed
        if one.memory == "weights" and one.network in HASHED
        if (_dense(one.network), one.machine, "weights") in by_key
    ]
    indices = [
        (by_key[one.network, one.machine, "weights"], one) for one in fixed if one.memory == "index"
    ]
    return [
        _as_published(dense),
        holds(
            f"as many random flips cost less than {100 * HARMLESS:g} point of accuracy",
            "< 1% of 100 flips",
            [(one.what, one.average("clean") - one.average("random") < HARMLESS) for one in fixed],
        ),
        _apart("the words of a shared network break by fewer flips than a dense network's", words),
        _apart("shared words break a network by fewer flips than stored indices", indices),
    ]  # fmt: skip


def _as_published(dense: Sequence[tuple[int, FlipLine]]) -> Verdict:
    """Whether mean flips lie near the published ones, of widths where that can be told.

    Where a search gave up its count is a least one: it can lie beyond, never near or below.
    """
    claim = f"flips that break ResNet-20, dense (means within {ROOM:g})"
    paper = ", ".join(f"{bits}-bit {PUBLISHED[bits]:g}" for bits, _ in dense)
    told = [
        (f"{bits}-bit", abs(one.mean() - PUBLISHED[bits]) <= ROOM)
        for bits, one in dense
        if all(one.reached(STOP)) or one.mean() > PUBLISHED[bits] + ROOM
    ]
    ours = ", ".join(f"{bits}-bit {one.text(STOP)}" for bits, one in dense)
    if dense and not told:
        return replace(
            untested(claim, paper, "searches gave up before it could be told"), ours=ours
        )
    return holds(claim, paper, told, ours)


def _apart(claim: str, pairs: Sequence[tuple[FlipLine, FlipLine]]) -> Verdict:
    """Whether the batches of the first of each pair all need fewer flips than the second's."""
    cases = [(one.what, one.flips(STOP), other.flips(STOP)) for one, other in pairs]
    ours = ", ".join(
        f"{LABELS[one.network]} {one.machine}: {one.text(STOP)} against {other.text(STOP)}"
        for one, other in pairs
    )
    return replace(apart(claim, cases), paper="nobody has said", ours=ours)


def _dense(network: str) -> str:
    return network.partition("-h")[0]


def _draw(figure: Figure, plan: Plan, lines: Sequence[FlipLine]) -> None:
    names = [f"{bits}-bit" for bits in plan.bits]
    looks = {"weights": (figures.COLORS[0], "o"), "index": (figures.COLORS[1], "s")}
    for axes, machine in zip(figures.panels(figure, names), names, strict=True):
        some = [one for one in lines if one.machine == machine]
        networks = list(dict.fromkeys(one.network for one in some))
        bar = min(16, 80 / len(networks)) if networks else 0
        for one in some:
            color, marker = looks[one.memory]
            place = networks.index(one.network) + (0.18 if one.memory == "index" else -0.18)
            counts = one.flips(STOP)
            axes.plot([place] * len(counts), counts, marker, color=color, markersize=4, alpha=0.6)
            axes.plot(place, one.mean(), "_", color=color, markersize=bar, markeredgewidth=2)
        bits = int(machine.partition("-")[0])
        if "resnet20" in networks and bits in PUBLISHED:
            axes.plot(
                networks.index("resnet20"), PUBLISHED[bits], "*", color=figures.GREY, markersize=12
            )
        axes.set_xticks(
            range(len(networks)),
            [LABELS[name] for name in networks],
            rotation=60,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_ylim(0, max(MOST, *PUBLISHED.values()) + 4)
    first = figure.axes[0]
    first.set_ylabel("flips until at most 11% are right", fontsize=9)
    extra = [
        figures.stroke(memory, color=color, marker=marker, linestyle="")
        for memory, (color, marker) in looks.items()
    ]
    figures.legend(figure, first, [*extra, figures.PAPER])
    figure.tight_layout(rect=(0, 0.08, 1, 1))
