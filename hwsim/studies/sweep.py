"""A sweep: one attack on networks × widths × its options × budgets, of any MODEL and data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from matplotlib.figure import Figure

from hwsim.attacks.evaluate.tally import Tally
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.networks.open import versions
from hwsim.networks.subject import OpenedNetwork
from hwsim.report import budgets
from hwsim.report.words import percent
from hwsim.runs.attack_catalog import ENTRIES, norm_of
from hwsim.runs.tally import shares
from hwsim.studies.grid.sweep_rows import experiment
from hwsim.studies.judge import style
from hwsim.studies.judge.findings import Findings
from hwsim.studies.runner.any_model import Choice, digests, opened
from hwsim.studies.runner.code_digest import digest
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Row, Task
from hwsim.studies.study import StudyResult

ROW = "hwsim.studies.grid.sweep_rows:sweep"


@dataclass(frozen=True)
class SweepPlan:
    """What a user asked for.

    choices: networks, each with its images; bits in them are not used. bits: widths, None for the
    configuration's own. eps: budgets as typed, None for the attack's own. axes: options of the
    attack -> the values that they take in turn. samples: images of each point.
    """

    choices: Sequence[Choice]
    bits: Sequence[int | None]
    attack: str
    eps: str | None
    axes: Mapping[str, Sequence[Any]]
    samples: int | None = None
    loss: str = "cross-entropy"
    target: str | None = None
    command: str = ""


@dataclass(frozen=True)
class SweepPoint:
    """A network at a width, under the attack with some options.

    column: which of the widths that were asked for. bits: of the activations in the end, which a
    quantized file may need more of.
    """

    network: str
    column: int
    bits: int
    options: Mapping[str, Any]
    task: Task


class ModelSweep:
    """The points of a plan, every network opened and everything typed checked before any work.

    Raises HwsimError as ``hwsim attack`` would for any of the points.
    """

    def __init__(self, plan: SweepPlan) -> None:
        self.plan, self.entry = plan, ENTRIES[plan.attack]
        self.norm: str = self.entry.norm
        self.epsilons: tuple[float, ...] = ()
        self.samples = 0
        self.notes: dict[str, None] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.points = list(self._points())

    def _points(self) -> Iterator[SweepPoint]:
        plan, code = self.plan, digest(ROW)
        names = list(plan.axes)
        for choice, (column, bits) in product(plan.choices, enumerate(plan.bits)):
            one = replace(choice, bits=bits)
            subject = opened(one)
            if not self.epsilons:
                self._settle(subject)
            self._told(choice, subject)
            width = subject.network.program.config.act_w
            inputs = {"code": code, **digests({"choice": one.parameters()})}
            for values in product(*plan.axes.values()):
                options = dict(zip(names, values, strict=True))
                given = self._parameters(one, options)
                made = experiment(**given)  # refused before any work
                self.norm = made.norm
                steps = options.get("steps", 10)
                cost = self.samples * len(self.epsilons) * float(steps)
                name = subject.network.name if self._alone(subject) else choice.model
                yield SweepPoint(name, column, width, options, Task(ROW, given, inputs, cost))

    def _settle(self, subject: OpenedNetwork) -> None:
        """Budgets and images, alike for all points, as the first network has them."""
        plan = self.plan
        if subject.network.program.classes < 2:
            raise InputError(
                f"{subject.network.name}: answers one value, so there is no other class to attack "
                "towards"
            )
        defaults = {option.name: option.default for option in self.entry.options}
        if len(plan.axes.get("norm", ())) > 1:
            raise InputError("budgets are in one norm: sweep each norm for itself")
        chosen = defaults | {name: values[0] for name, values in plan.axes.items()}
        norm = norm_of(self.entry, chosen)
        low, high = space_of(subject.network.program).bounds
        typed = plan.eps if plan.eps is not None else self.entry.budgets_in(norm)
        unit = high - low if plan.eps is None and norm != "l0" else 1.0
        spent = budgets.parse(typed, norm, float("inf") if plan.eps else 1.0)
        shape = subject.network.program.input_shape
        if plan.eps is None:
            spent = budgets.of_default(spent, shape)
        self.epsilons = budgets.resolve(spent, shape, unit)
        self.samples = subject.count(plan.samples, self.entry.samples)

    def _alone(self, subject: OpenedNetwork) -> bool:
        """Whether no other file of the sweep is called so."""
        stems = [one.model.replace("\\", "/").rsplit("/", 1)[-1] for one in self.plan.choices]
        return len(set(stems)) == len(stems)

    def _told(self, choice: Choice, subject: OpenedNetwork) -> None:
        network, test = subject.network, subject.test
        for note in network.notes:
            self.notes[f"{network.name}: {note}."] = None
        if network.alone:
            self.notes[
                f"{network.name} has no float network ({network.alone}): its own arithmetic "
                "without rounding stands for it."
            ] = None
        if words := budgets.range_words(budgets.input_range(space_of(network.program).bounds)):
            self.notes[f"{network.name}: {words}; ε is in these units."] = None
        self.about[f"{choice.model} {test.digest}"] = test.about

    def _parameters(self, choice: Choice, options: Mapping[str, Any]) -> dict[str, Any]:
        every = {option.name: option.default for option in self.entry.options} | dict(options)
        return {
            "choice": choice.parameters(), "attack": self.plan.attack,
            "budgets": [None if one == float("inf") else one for one in self.epsilons],
            "samples": self.samples, "loss": self.plan.loss, "target": self.plan.target,
            "options": every,
        }  # fmt: skip

    def compute(
        self,
        store: Store,
        executor: Executor,
        width: int = 1,
        on_progress: Callable[[float, float], None] = lambda done, total: None,
    ) -> StudyResult:
        """All points, those in the store from there."""
        began = time.perf_counter()
        tasks = [point.task for point in self.points]
        rows = run(tasks, store, executor, width=width, on_progress=on_progress)
        found = self._findings([
            (point, record)
            for point in self.points
            for record in _records(point, rows[point.task.key])
        ])  # fmt: skip
        result = {
            "study": "sweep",
            "title": f"{self.plan.attack} on "
            + ", ".join(dict.fromkeys(point.network for point in self.points)),
            "source": "hwsim sweep",
            "plan": asdict(self.plan) | {"quick": None, "samples": self.samples},
            "networks": {}, "missing": {},
            "heads": list(found.heads), "rows": [list(row) for row in found.rows],
            "notes": list(found.notes), "verdicts": [],
            "records": [dict(record) for record in found.records],
            "datasets": list({one["digest"]: one for one in self.about.values()}.values()),
            "versions": versions(), "command": self.plan.command,
            "computed_seconds": store.seconds({task.key: task for task in tasks}.values()),
            "seconds": time.perf_counter() - began,
        }  # fmt: skip
        return StudyResult(found, result)

    def _findings(self, found: Sequence[tuple[SweepPoint, Mapping[str, Any]]]) -> Findings:
        records = [record for _, record in found]
        naive = any(record["margin_engine"] is not None for record in records)
        axes = list(self.plan.axes)
        heads = ["network", "bits", *axes, budgets.HEAD[self.norm], "correct, float / engine",
                 "float", "engine", "float → engine", *(["engine, margin"] if naive else []),
                 "weights", "cycles"]  # fmt: skip
        rows = [
            [
                record["network"], str(record["bits"]), *(str(record[name]) for name in axes),
                _budget(record["budget"]),
                f"{percent(record['correct_float'])} / {percent(record['correct_engine'])}",
                percent(record["float_float"]), percent(record["engine_engine"]),
                percent(record["float_engine"]),
                *([percent(record["margin_engine"])] if naive else []),
                f"{record['weight_bits'] / 8192:,.1f} KiB", f"{record['cycles']:,}",
            ]
            for record in records
        ]  # fmt: skip
        notes = [
            f"Success of {self.plan.attack} among the images that the judge gets right, of "
            f"{self.samples:,}: crafted and judged in float, on the engine, and crafted in float "
            "and judged by the engine.",
            *(["margin: the same attack on the margin of the logits, which no softmax can blind."]
              if naive else []),
            "weights: those that are stored, at this width.",
            *self.notes,
        ]  # fmt: skip
        return Findings(heads, rows, notes, [], records, lambda figure: self._draw(figure, found))

    def _draw(self, figure: Figure, found: Sequence[tuple[SweepPoint, Mapping[str, Any]]]) -> None:
        """A panel a width and one for float; a line a network and options."""
        axes = list(self.plan.axes)

        def label(record: Mapping[str, Any]) -> str:
            chosen = [f"{name} {record[name]}" for name in axes if len(self.plan.axes[name]) > 1]
            return ", ".join([record["network"], *chosen])

        labels = list(dict.fromkeys(label(record) for _, record in found))
        looks, places = style.styles(labels), range(len(self.epsilons))
        columns = range(len(self.plan.bits))
        names = ["float"]
        for column in columns:
            bits = sorted({point.bits for point, _ in found if point.column == column})
            names.append(f"{'/'.join(map(str, bits))}-bit engine")
        for panel, column in zip(style.panels(figure, names), [-1, *columns], strict=True):
            for one in labels:
                mine = [
                    record
                    for point, record in found
                    if label(record) == one and point.column == max(column, 0)
                ]
                kinds = {"-": "engine_engine", ":": "float_engine"}
                if column < 0:
                    kinds = {"-": "float_float"}
                for line, kind in kinds.items():
                    y = [float("nan") if r[kind] is None else r[kind] for r in mine]
                    panel.plot(
                        places, y, line, linewidth=1.8 if line == "-" else 1.2, markersize=5,
                        label=one if line == "-" else None, **looks[one],
                    )  # fmt: skip
            panel.set_xticks(list(places), [_budget(e) for e in self.epsilons])
            panel.set_xlabel(f"budget, {budgets.NAMES[self.norm]}", fontsize=9)
            style.percents(panel)
        figure.axes[0].set_ylabel("success rate", fontsize=9)
        strokes = [style.stroke("crafted on its judge", linestyle="-"),
                   style.stroke("crafted in float", linestyle=":")]  # fmt: skip
        style.legend(figure, figure.axes[-1], strokes)
        figure.tight_layout(rect=(0, 0.13, 1, 1))


def _records(point: SweepPoint, row: Row) -> Iterator[dict[str, Any]]:
    """One flat record for each budget."""
    tally = Tally.from_dict(row["tally"])
    told = shares(tally)
    margin = told["adaptive"]
    for at, epsilon in enumerate(tally.epsilons):
        success, between = told["success"], told["interval"]["engine_engine"][at]
        low, high = between or (None, None)
        yield {
            "network": point.network, "bits": point.bits,
            **{name: _word(value) for name, value in point.options.items()},
            "budget": None if epsilon == float("inf") else epsilon,
            "images": tally.samples,
            "correct_float": told["clean"]["float"], "correct_engine": told["clean"]["fixed"],
            "float_float": success["float_float"][at],
            "engine_engine": success["engine_engine"][at],
            "engine_low": low, "engine_high": high,
            "float_engine": success["float_engine"][at],
            "margin_engine": margin and margin["success"]["engine_engine"][at],
            "zero_gradient": told["zero_gradient"]["engine"],
            "cycles": row["cycles"], "energy_nj": row["energy_nj"],
            "weight_bits": row["memory_bits"]["hash"],
        }  # fmt: skip


def _budget(value: float | None) -> str:
    return "∞" if value is None or value == float("inf") else f"{value:.4g}"


def _word(value: Any) -> Any:
    """A value of an option in a record: several names are one text."""
    return "+".join(value) if isinstance(value, (list, tuple)) else value
