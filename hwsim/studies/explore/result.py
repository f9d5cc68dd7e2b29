"""From explored designs to a result: the front, verdicts, a table, records and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from hwsim.fpga.cell_model import CellModel
from hwsim.networks.open import versions
from hwsim.studies.explore.campaign import JUDGING, Exploration, Explored, ExploreEffort, left_of
from hwsim.studies.explore.design import Design, DesignAxes
from hwsim.studies.explore.objectives import GOALS, DesignGoal, front, matrix
from hwsim.studies.explore.verdicts import DesignVerdict, judged
from hwsim.studies.explore.words import brief
from hwsim.studies.judge import style
from hwsim.studies.judge.findings import Findings
from hwsim.studies.runner.machines import card, dataset
from hwsim.studies.runner.store import Store
from hwsim.studies.study import StudyResult

#: Heads of the table of the front, with the units that ``brief`` leaves out.
HEADS = {
    "cycles": "cycles", "energy": "µJ", "memory": "KiB", "luts": "LUTs", "accuracy": "acc. %",
    "pgd": "PGD %", "flips": "flips",
}  # fmt: skip


@dataclass(frozen=True)
class ExplorePlan:
    """What a user asked for. shown: lines of the table; trials: None for all of the grid."""

    axes: DesignAxes
    base: str
    effort: ExploreEffort
    goals: Sequence[DesignGoal]
    shown: int
    trials: int | None
    seed: int
    synthesis: bool
    command: str


@dataclass(frozen=True)
class ExploredFront:
    """explored: the designs, those of the grid. references: every network on the base engine.

    front: which of ``explored`` no other dominates. goals: those that all designs have values of.
    """

    explored: Sequence[Explored]
    references: Sequence[Explored]
    front: np.ndarray[Any, np.dtype[np.bool_]]
    goals: Sequence[DesignGoal]
    verdicts: Sequence[DesignVerdict]

    @classmethod
    def of(
        cls, explored: Sequence[Explored], references: Sequence[Explored],
        goals: Sequence[DesignGoal],
    ) -> ExploredFront:  # fmt: skip
        """An axis that is not known of all is left out: LUTs of engines unlike measured ones."""
        every = [*explored, *references]
        used = [goal for goal in goals if all(goal.name in one.values for one in every)]
        kept = front(matrix([one.values for one in explored], used))
        found = [judged(one, explored, used) for one in references]
        return cls(explored, references, kept, used, found)

    @property
    def best(self) -> list[Explored]:
        """Those of the front; what a reader asks for first: winners of verdicts, then the best of
        each axis, then by the sum of their ranks over the axes.
        """
        members = [one for one, kept in zip(self.explored, self.front, strict=True) if kept]
        if not members:
            return []
        values = matrix([one.values for one in members], self.goals)
        ranks = values.argsort(0).argsort(0).sum(1)
        order = [members[k] for k in np.argsort(ranks, kind="stable")]
        first = [v.winner for v in self.verdicts if v.winner is not None and v.winner in members]
        first += [members[int(k)] for k in values.argmin(0)]
        return _each_once([*first, *order])


def _each_once(many: Sequence[Explored]) -> list[Explored]:
    seen: dict[Design, Explored] = {}
    for one in many:
        seen.setdefault(one.design, one)
    return list(seen.values())


def result_of(
    plan: ExplorePlan, exploration: Exploration, found: ExploredFront, refused: Mapping[str, int],
    store: Store, seconds: float,
) -> StudyResult:  # fmt: skip
    """What files and screens show."""
    shown = found.best[: plan.shown]
    lines = _each_once([*shown, *found.references])
    heads = ["network", "engine", *(HEADS[goal.name] for goal in GOALS.values())]
    records = [_record(one, bool(kept), exploration)
               for one, kept in zip(found.explored, found.front, strict=True)]  # fmt: skip
    findings = Findings(
        heads, [line(one, found) for one in lines], _notes(plan, exploration, found, len(shown)),
        [], records, lambda figure: _draw(figure, found), (9.5, 7.0),
    )  # fmt: skip
    names = plan.axes.networks
    cards = {name: card(name) for name in names}
    data = {one.dataset: dataset(one.dataset, "test") for one in cards.values()}
    axes = {name: list(values) for name, values in plan.axes.values.items()}
    result = {
        "study": "explore",
        "title": "Designs of " + ", ".join(names),
        "source": "hwsim explore",
        "plan": {
            "quick": None, "samples": None, "axes": axes, "base": plan.base,
            "effort": asdict(plan.effort), "trials": plan.trials, "seed": plan.seed,
            "synthesis": plan.synthesis, "goals": [goal.name for goal in plan.goals],
        },
        "networks": {
            name: {"sha256": one.sha256, "accuracy": one.test_accuracy, "seed": one.seed}
            for name, one in cards.items()
        },
        "missing": {}, "heads": heads, "rows": [list(row) for row in findings.rows],
        "notes": list(findings.notes), "verdicts": [],
        "counts": {
            "combinations": plan.axes.size, "designs": len(found.explored),
            "front": int(found.front.sum()), "refused": dict(refused),
        },
        "cells": {
            "verilog_measured": not exploration.model.stale,
            "largest_error": exploration.model.error,
            "engines_measured": len(exploration.model.points),
        },
        "answers": [
            {
                "reference": one.reference.design.fields(), "verdict": one.verdict,
                "text": one.text, "counts": {k: dict(v) for k, v in one.counts.items()},
                "winner": None if one.winner is None else one.winner.design.fields(),
            }
            for one in found.verdicts
        ],
        "references": [_record(one, False, exploration) for one in found.references],
        "records": records,
        "datasets": [one.about for one in data.values()],
        "versions": versions(), "command": plan.command,
        "computed_seconds": store.seconds(exploration.every_task), "seconds": seconds,
    }  # fmt: skip
    return StudyResult(findings, result)


def line(one: Explored, found: ExploredFront) -> list[str]:
    """A line of the table; references are marked by ``=``, the front by ``*``."""
    reference = any(one.design == other.design for other in found.references)
    member = any(
        kept and one.design == other.design
        for other, kept in zip(found.explored, found.front, strict=True)
    )
    mark = ("=" if reference else "") + ("*" if member else "")
    cells = [brief(name, one.values.get(name)) for name in GOALS]
    return [one.design.network, f"{one.design.engine.text} {mark}".strip(), *cells]


def _record(one: Explored, kept: bool, exploration: Exploration) -> dict[str, Any]:
    return {
        **one.design.fields(), "base": exploration.base, "front": kept, **one.record,
    }  # fmt: skip


def _unequal(plan: ExplorePlan) -> str:
    """What whole input codes make of ε, where widths do not leave the same."""
    left = {bits: left_of(plan.effort.epsilon, bits) for bits in plan.axes.bits}
    if len({*left.values()}) < 2:
        return ""
    parts = ", ".join(f"{value:.3g} at {bits} bits" for bits, value in left.items())
    return f" Input codes leave of ε {parts}: between these widths PGD tells nothing."


def _notes(
    plan: ExplorePlan, exploration: Exploration, found: ExploredFront, shown: int
) -> list[str]:
    effort, members = plan.effort, int(found.front.sum())
    lacking = [goal.head for goal in plan.goals if goal not in found.goals]
    notes = [
        f"* on the Pareto front over {', '.join(goal.head for goal in found.goals)}: "
        f"{members:,} of {len(found.explored):,} designs, {shown:,} shown; = the base engine.",
        "engine: rows×cols/banks, bits, index, skip, check bits"
        + (", bytes a cycle of weights off chip" if any(
            one.design.engine.bandwidth is not None for one in found.explored) else "") + ".",
        f"PGD: success at ε = {effort.epsilon:g} of images answered correctly, {effort.steps} "
        f"steps on the engine through its gradients, on cross-entropy or margin, whichever fools; "
        f"{effort.attacked:,} images, the same for all; 95% intervals of Wilson."
        f"{_unequal(plan)}",
        f"flips: bits of a progressive search, by who knows of check bits, until at most half of "
        f"{JUDGING} images are right; the weaker of weights and stored index, mean of "
        f"{effort.batches} batches; ≥ where a search gave up at {effort.most}.",
        "The front is by values; verdicts count a difference only where the intervals are apart.",
    ]  # fmt: skip
    if any(one.design.engine.skip for one in found.explored):
        notes.append(
            f"skip: cycles and energy are means over {effort.timed:,} test images, and time tells "
            "of the image: hwsim leak."
        )
    if any(one.values["luts"].estimated for one in found.explored if "luts" in one.values):
        notes.append(_estimates(exploration.model))
    if any(one.record["luts_from"] == "extrapolated" for one in found.explored):
        notes.append(
            "? extrapolated: more rows, columns or banks than any engine that was mapped, or "
            "fewer; nobody knows how far off, so that verdicts can't tell."
        )
    if exploration.model.stale:
        notes.append("The Verilog is not the one that was measured: no LUTs count as measured.")
    if any(one.design.engine.bandwidth is not None for one in found.explored):
        notes.append(
            "Weights off chip are a model of a double buffer: the engine in Verilog has no such "
            "port."
        )
    clocks = {one.record["clock_from"] for one in found.explored}
    if "assumed" in clocks:
        notes.append(
            "Time in the records is cycles at the base engine's clock, assumed and not routed, "
            "unless a record says routed."
        )
    if lacking:
        notes.append(f"Left out, since not known of all designs: {', '.join(lacking)}.")
    return notes


def _estimates(model: CellModel) -> str:
    """What ~ marks, and how far it was off where it could be tried."""
    return (
        f"~ interpolated between {len(model.points)} engines that Yosys mapped; of "
        f"{len(model.errors)} of them the others predict the LUTs, within "
        f"{100 * model.error:.0f}%; --synth maps the design's own."
    )


def _draw(figure: Figure, found: ExploredFront) -> None:
    """Four views of all designs, a colour a network, the front filled."""
    pairs = (("cycles", "energy"), ("cycles", "luts"), ("memory", "flips"), ("energy", "pgd"))
    labels = list(dict.fromkeys(one.design.network for one in found.references))
    looks = style.styles(labels)
    groups: dict[tuple[str, bool], list[Explored]] = {}
    for one, member in zip(found.explored, found.front, strict=True):
        groups.setdefault((one.design.network, bool(member)), []).append(one)
    for number, (x, y) in enumerate(pairs):
        axes = figure.add_subplot(2, 2, number + 1)
        for (network, kept), points in groups.items():
            there = [one.values for one in points if x in one.values and y in one.values]
            axes.plot(
                [v[x].value for v in there], [v[y].value for v in there], linestyle="",
                marker="o", markersize=4 if kept else 3, color=looks[network]["color"],
                alpha=0.9 if kept else 0.3, fillstyle="full" if kept else "none",
            )  # fmt: skip
        for one in found.references:
            if x in one.values and y in one.values:
                axes.plot(one.values[x].value, one.values[y].value, linestyle="", marker="X",
                          color=looks[one.design.network]["color"], markeredgecolor="black",
                          markersize=9, zorder=5)  # fmt: skip
        for name, axis, scale in (
            (x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale),
        ):  # fmt: skip
            if name in ("cycles", "energy", "memory"):
                scale("log")
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_minor_formatter(NullFormatter())
            if name in ("cycles", "energy", "memory", "luts"):
                axis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel(f"{GOALS[x].head}, {GOALS[x].unit}", fontsize=8)
        axes.set_ylabel(f"{GOALS[y].head}, {GOALS[y].unit}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.2)
    strokes = [
        style.stroke(label, color=looks[label]["color"], marker="o", linestyle="")
        for label in labels
    ]
    strokes += [
        style.stroke("base engine", color=style.GREY, marker="X", linestyle=""),
        style.stroke("not on the front", color=style.GREY, marker="o", linestyle="",
                     fillstyle="none"),
    ]  # fmt: skip
    figure.legend(handles=strokes, loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
