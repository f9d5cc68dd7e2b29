"""One study from its name to its result: what is there, what is missing, rows, findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.datasets.dataset import NoDataError
from hwsim.models.specs import PRUNED, Pruned
from hwsim.networks.open import versions
from hwsim.studies.grid.plan import Answers, Plan, Point, PointRow
from hwsim.studies.index import StudyEntry
from hwsim.studies.judge.findings import Findings
from hwsim.studies.runner.machines import card, dataset, place
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Task


@dataclass(frozen=True)
class StudyResult:
    """findings: None where no network of the study is there. result: what result.json holds."""

    findings: Findings | None
    result: dict[str, Any]


class Study:
    """A study planned for the networks that are there, with their data. Raises HwsimError for
    damaged ones. missing: the others, and what to do about each. only: of its networks these,
    all for none; an InputError where it has no such network.
    """

    def __init__(self, entry: StudyEntry, plan: Plan, only: Sequence[str] = ()) -> None:
        self.entry, self.plan, self.only = entry, plan, tuple(only)
        self.module = entry.module
        for name in only:
            if name not in self.module.NETWORKS:
                raise InputError(
                    f"study {entry.name} has no network {name!r}: "
                    + ", ".join(self.module.NETWORKS)
                )
        #: Whether the rows train these networks themselves.
        self.trains = bool(getattr(self.module, "TRAINS", False))
        told = lack_data if self.trains else lack
        lacks = {n: told(n) for n in self.module.NETWORKS if not only or n in only}
        self.present = [n for n, why in lacks.items() if why is None]
        self.missing = {n: why for n, why in lacks.items() if why is not None}
        self.points: list[Point] = self.module.grid(plan, self.present) if self.present else []
        self.tasks: list[Task] = [point.task() for point in self.points]

    def compute(
        self,
        store: Store,
        executor: Executor,
        width: int = 1,
        on_progress: Callable[[float, float], None] = lambda done, total: None,
        command: str = "",
        kept: bool = False,
    ) -> StudyResult:
        """All rows, those in the store from there, and what they say.

        kept: nothing is computed; the result is that of the rows which the store has, and says how
        many are missing. Raises InputError where it has none.
        """
        began = time.perf_counter()
        if kept:
            rows = {task.key: row for task in self.tasks if (row := store.get(task)) is not None}
            if self.points and not rows:
                raise InputError(f"{store.path}: has no row of the study {self.entry.name} yet")
        else:
            rows = run(self.tasks, store, executor, width=width, on_progress=on_progress)
        found = None
        if self.points:
            answers = Answers([
                PointRow(point.fields, rows[task.key])
                for point, task in zip(self.points, self.tasks, strict=True)
                if task.key in rows
            ])  # fmt: skip
            found = self.module.find(self.plan, self.present, answers)
        unique = {task.key: task for task in self.tasks}.values()
        computed = store.seconds(unique)
        result = self._result(found, began, computed, command)
        if len(rows) < len(unique):
            result["finished"] = [len(rows), len(unique)]
        return StudyResult(found, result)

    def _result(
        self, found: Findings | None, began: float, computed: float, command: str
    ) -> dict[str, Any]:
        cards = {} if self.trains else {name: card(name) for name in self.present}
        names = [zoo.spec(name).dataset for name in self.present if self.trains]
        names += [one.dataset for one in cards.values()]
        data = {name: dataset(name, "test") for name in names}
        return {
            "study": self.entry.name,
            "title": self.entry.title,
            "source": self.entry.source,
            "plan": asdict(self.plan),
            "only": list(self.only),
            "networks": {
                name: {"sha256": one.sha256, "accuracy": one.test_accuracy, "seed": one.seed}
                for name, one in cards.items()
            },
            "missing": self.missing,
            "heads": list(found.heads) if found else [],
            "rows": [list(row) for row in found.rows] if found else [],
            "notes": list(found.notes) if found else [],
            "verdicts": [asdict(v) for v in found.verdicts] if found else [],
            "records": [dict(record) for record in found.records] if found else [],
            "datasets": [d.about for d in data.values()],
            "versions": versions(),
            "command": command,
            "computed_seconds": computed,
            "seconds": time.perf_counter() - began,
        }


def lack(network: str) -> str | None:
    """What to do so that a network can be used; None where it and its data are there.

    Raises HwsimError for what is there and wrong: a damaged network or data set, a data folder that
    does not exist.
    """
    where = place(network)
    if where is None:
        return zoo.advice(network)
    found = card(network)
    if where != zoo.home(network) and (other := _otherwise(found)):
        return f"{where / network} {other}; make it anew with: {zoo.RECIPES[network]}"
    try:
        for split in ("train", "test"):
            dataset(found.dataset, split)
    except NoDataError as error:
        return f"data are missing: {error}"
    return None


def lack_data(name: str) -> str | None:
    """The same of a network that a row trains itself, of which only the data can be lacking."""
    try:
        for split in ("train", "test"):
            dataset(zoo.spec(name).dataset, split)
    except NoDataError as error:
        return f"data are missing: {error}"
    return None


def _otherwise(found: zoo.Card) -> str | None:
    """How a network of that name was not made by its recipe; None where it was."""
    spec = zoo.SPECS.get(found.name)
    if spec is None:
        pruned = PRUNED[found.name]
        recipe = found.recipe
        to = recipe.get("pruning", {}).get("to")
        made = Pruned(str(recipe.get("start")), to, recipe.get("images"))
        return None if made == pruned else "was made with other options"
    wanted = spec.recipe.facts() | ({} if spec.images is None else {"images": spec.images})
    for key in sorted({*wanted, *found.recipe}):
        if found.recipe.get(key) != wanted.get(key):
            said = f"{key} {found.recipe.get(key)}, not {wanted.get(key)}"
            return f"was made with {said}"
    return None


def check_bits(bits: tuple[int, ...]) -> None:
    """Raise InputError unless there is at least one width, each once, of 4 … 16."""
    if not bits or len(set(bits)) < len(bits) or not all(4 <= b <= 16 for b in bits):
        raise InputError("bits: give widths of 4 … 16, each once, such as 8 or 8,6,4")
