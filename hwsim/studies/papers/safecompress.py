"""SafeCompress (Zhu et al. 2022, 2024) again: is a network that attackers chose harder to attack?

Beside what the paper compares stand what its public code does (no choice at all), a random choice,
hashed networks, dense ones that were trained less, and the engine, of which nobody has said whether
it leaks less than its float twin.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from hwsim.models.specs import TARGETS
from hwsim.studies.grid.plan import Answers, Plan, Point
from hwsim.studies.judge import style as figures
from hwsim.studies.judge.findings import Findings, share
from hwsim.studies.papers.safe_lines import ATTACKERS, DENSE, SafeLine, dense, gathered
from hwsim.studies.papers.safe_verdicts import verdicts
from hwsim.studies.runner.targets import TrainedTarget

NETWORKS = tuple(TARGETS)
#: The rows train these networks themselves.
TRAINS = True
#: Half-done studies have the first of each.
DENSITIES = (0.1, 0.05, 0.2)
SEEDS = 3
#: Of the epochs of dense networks: trained shorter, they are only as accurate as compressed ones.
SHARES = (1.0, 0.5, 0.25, 0.125)
METHODS = (
    "untested", "bmia", "wmia", "mmia", "random", "one-shot", "hash", "regularized", "iterative",
    "hash-mmia", "hash-bmia",
)  # fmt: skip
QUICK_METHODS = ("untested", "mmia", "hash")
#: Widths of the engine beside float, unless others are asked for.
BITS = (8, 4)
#: Epochs of the judge's attackers in float and on each engine, and what simulated ones get.
EPOCHS = {False: [10, 3], True: [5, 2]}
SIMULATED = {
    False: {"tested": 500, "attack_epochs": [10, 1]},
    True: {"tested": 200, "attack_epochs": [4, 1]},
}
#: Members of a quick study, and the share of the epochs.
QUICK_MEMBERS, QUICK_SHARE = 1000, 0.5
#: Looks of a method in the picture.
LOOKS: dict[str, tuple[str, str]] = {
    "bmia": ("BMIA-, WMIA-, MMIA-SafeCompress", figures.COLORS[0]),
    "wmia": ("", figures.COLORS[0]),
    "mmia": ("", figures.COLORS[0]),
    "untested": ("no choice, random choice", figures.COLORS[2]),
    "random": ("", figures.COLORS[2]),
    "one-shot": ("pruned", figures.COLORS[1]),
    "iterative": ("", figures.COLORS[1]),
    "regularized": ("adversarial regularization", figures.COLORS[4]),
    "hash": ("hashed", figures.COLORS[3]),
    "hash-bmia": ("", figures.COLORS[3]),
    "hash-mmia": ("", figures.COLORS[3]),
}
MARKS = dict(zip(LOOKS, ("o", "s", "^", "o", "s", "o", "s", "o", "o", "s", "^"), strict=True))


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Seed by seed and density by density, so that what is finished can be compared at any time."""
    points = []
    for seed in range(1 if plan.quick else SEEDS):
        for number, density in enumerate(DENSITIES[:1] if plan.quick else DENSITIES):
            if number == 0:
                points += [
                    _point(plan, data, "dense", 1.0, seed, part)
                    for part in (SHARES[:2] if plan.quick else SHARES)
                    for data in present
                ]
            points += [
                _point(plan, data, method, density, seed)
                for method in (QUICK_METHODS if plan.quick else METHODS)
                for data in present
            ]
    return points


def _point(
    plan: Plan, data: str, method: str, density: float, seed: int, part: float = 1.0
) -> Point:
    members = plan.samples or (QUICK_MEMBERS if plan.quick else None)
    target = TrainedTarget.named(data, seed, members, part * (QUICK_SHARE if plan.quick else 1.0))
    bits = BITS if plan.bits == (8,) and not plan.quick else plan.bits
    label = method if part == 1.0 else f"{DENSE}, {part:g} of epochs"
    return Point(
        {"data": data, "method": label, "density": density, "seed": seed},
        "hwsim.studies.grid.safe_rows:compressed",
        {
            "trained": target.parameters(), "method": method, "density": density,
            "bits": list(bits), "config": plan.config, "attack_epochs": list(EPOCHS[plan.quick]),
            "settings": dict(SIMULATED[plan.quick]),
        },
        2.0 if "mia" in method else 1.0,
    )  # fmt: skip


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """A line for each network that was made, all seeds together, and what the rules say of them."""
    lines = gathered(answers, present)
    machines = list(dict.fromkeys(name for one in lines for name in one.machines))
    widths = [name for name in machines if name != "float"]
    return Findings(
        heads=["data", "density", "method", "seeds", "accuracy", "gap", *ATTACKERS, "AUC",
               "TPR", *(f"{w} {h}" for w in widths for h in ("acc.", "bmia", "wmia"))],
        rows=[_cells(one, widths) for one in lines],
        notes=[
            "accuracy: of all test images, in float. All else are shares right of equally many "
            "members and others whom nobody has met before, so that 50% is chance: gap, of who "
            "takes every right answer for a member's; bmia, a network that sees the logits; wmia, "
            "one that sees loss and gradient of the last layer; mmia, both; loss, a threshold. "
            "AUC, TPR: of mmia, the latter at 1% of false alarms. "
            "8-bit, 4-bit: of the engine, accuracy on 2,000 test images, whose white box reads the "
            "last map. Seeds are added up.",
        ],
        verdicts=verdicts(lines),
        records=[_record(one, machine) for one in lines for machine in one.machines],
        draw=lambda figure: _draw(figure, lines, present),
        size=(2.3 * max(len(present), 2), 3.4),
    )  # fmt: skip


def _cells(one: SafeLine, widths: Sequence[str]) -> list[str]:
    tpr = one.tpr("float")
    cells = [
        one.data.removeprefix("small-"), f"{one.density:g}", one.method, str(len(one.rows)),
        share(one.rate("float", "task")), share(one.gap("float")),
        *(share(one.rate("float", who)) for who in ATTACKERS), f"{one.auc('float'):.3f}",
        share(tpr),
    ]  # fmt: skip
    for width in widths:
        there = width in one.machines
        cells += [
            share(one.rate(width, what) if there else None) for what in ("task", "bmia", "wmia")
        ]
    return cells


def _record(one: SafeLine, machine: str) -> dict[str, object]:
    tpr = one.tpr(machine)
    return {
        "data": one.data, "density": one.density, "method": one.method, "machine": machine,
        "seeds": len(one.rows), "task": one.rate(machine, "task").value,
        "members": one.rate(machine, "members").value,
        "others": one.rate(machine, "others").value, "gap": one.gap(machine).value,
        **{who: one.rate(machine, who).value for who in ATTACKERS},
        "auc": one.auc(machine), "tpr1": None if tpr is None else tpr.value,
    }  # fmt: skip


def _draw(figure: Figure, lines: Sequence[SafeLine], present: Sequence[str]) -> None:
    figure.set_facecolor("white")
    present = [data for data in present if any(one.data == data for one in lines)] or [*present]
    every = figure.subplots(1, len(present), squeeze=False)[0]
    for axes, data in zip(every, present, strict=True):
        figures.plain(axes)
        axes.set_title(data.removeprefix("small-"), fontsize=10, loc="left", fontweight="bold")
        axes.axhline(50, color=figures.GREY, linewidth=0.8)  # chance
        some = [one for one in lines if one.data == data]
        curve = [(100 * o.rate("float", "task").value, 100 * o.rate("float", "mmia").value)
                 for o in some if dense(o)]  # fmt: skip
        if curve:
            axes.plot(*zip(*curve, strict=True), "-", color=figures.INK, marker="X",
                      markersize=5, linewidth=1)  # fmt: skip
        for one in some:
            if one.method in LOOKS:
                axes.plot(
                    100 * one.rate("float", "task").value, 100 * one.rate("float", "mmia").value,
                    MARKS[one.method], color=LOOKS[one.method][1], markersize=4 + 10 * one.density,
                )  # fmt: skip
        axes.set_xlabel("accuracy, %", fontsize=8)
    every[0].set_ylabel("told by MMIA, %", fontsize=8)
    entries = [
        figures.stroke(label, marker="o", linestyle="", color=color)
        for label, color in LOOKS.values()
        if label
    ]
    longer = figures.stroke("dense, 1/8 to all epochs", marker="X", color=figures.INK)
    figures.legend(figure, every[0], [longer, *entries])
    figure.tight_layout(rect=(0, 0.16, 1, 1))
