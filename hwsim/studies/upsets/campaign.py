"""A campaign: cells of trials, each until its interval is narrow or its trials are used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwsim.attacks.evaluate.rates import Rate
from hwsim.errors import InputError
from hwsim.faults import MEMORIES, Fault
from hwsim.faults.draw import MODELS
from hwsim.faults.guards import GUARDED
from hwsim.faults.inject import place_of
from hwsim.rom.words import WordReader
from hwsim.studies.runner import code_digest
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Row, Task
from hwsim.studies.upsets.rows import ROWS, Bench, Target, keep, stored_file

#: Trials of a row, and those between two looks at the intervals.
BLOCK, ROUND = 8, 64
#: Half of the 95% interval of the share of trials that change an answer, at which a cell may stop.
SHARE = 0.05
_Z95 = 1.959963984540054

Progress = Callable[[str, int, int], None]


def filled(reader: WordReader) -> tuple[str, ...]:
    """Of weights, indices, scales and biases those that the network has words in."""
    files = {name: reader.files.get(f"{name}.mem") for name in MEMORIES[:4]}
    return tuple(name for name, file in files.items() if file is not None and file.lines)


@dataclass(frozen=True)
class CampaignPlan:
    """What is upset how often.

    rates: probabilities that a bit is upset; flips: so many upsets a trial instead. within: half of
    the 95% interval of the mean accuracy at which a cell stops; trials: at which it stops at last.
    """

    memories: tuple[str, ...]
    model: str
    rates: tuple[float, ...]
    flips: int | None
    trials: int
    within: float
    seed: int = 0

    def check(self, ready: Bench) -> None:
        """Raises InputError for what cannot be drawn."""
        reader = ready.reader
        if self.model not in MODELS:
            raise InputError(f"no model of upsets is called {self.model!r}: {', '.join(MODELS)}")
        for rate in self.rates:
            if not 0 < rate <= 1:
                raise InputError(f"a rate is a probability above 0 and up to 1, not {rate:g}")
        if ready.guard is not None and not set(self.memories) <= {*GUARDED}:
            raise InputError(f"only {' and '.join(GUARDED)} are guarded: choose of these")
        if not self.memories:
            raise InputError(f"no memory was given to upset: choose from {', '.join(MEMORIES)}")
        for memory in self.memories:
            if memory not in MEMORIES:
                raise InputError(f"no memory is called {memory!r}: {', '.join(MEMORIES)}")
            file = reader.files.get(f"{memory}.mem")
            if file is not None and not file.lines:
                raise InputError(f"the {memory} memory is empty: no layer of the network fills it")
            if memory != "program":
                place_of(Fault(memory, 0, 0, 0), reader)
            if memory == "lut" and ready.trials.program.config.ecc != "none":
                raise InputError(
                    "which words of a table are looked up depends on the image: campaigns do not "
                    "know where check bits stop: take an engine without them"
                )
            stored = stored_file(ready, memory)
            if (self.flips or 0) > (bits := stored.lines * stored.fields * stored.width):
                raise InputError(f"the {memory} memory has {bits:,} bits, not {self.flips:,}")

    @property
    def cells(self) -> list[Cell]:
        """Every memory at every rate."""
        rates = [None] if self.flips is not None else list(dict.fromkeys(self.rates))
        return [Cell(memory, rate) for memory in dict.fromkeys(self.memories) for rate in rates]


@dataclass(frozen=True)
class Cell:
    """One memory at one rate; None where the number of upsets is fixed."""

    memory: str
    rate: float | None


def campaign(
    target: Target,
    ready: Bench,
    plan: CampaignPlan,
    store: Store,
    executor: Executor,
    width: int,
    on_progress: Progress,
) -> dict[str, Any]:
    """All cells, round by round; finished rows are in the store whatever ends it."""
    plan.check(ready)
    keep(target, ready)
    open_ = plan.cells
    trials: dict[Cell, list[Row]] = {cell: [] for cell in open_}
    done, most = 0, len(open_) * plan.trials
    while open_:
        before, tasks = done, []
        for cell in open_:
            for first in _firsts(len(trials[cell]), plan.trials):
                count = min(BLOCK, plan.trials - first)
                tasks.append((cell, _task(target, ready, plan, cell, first, count)))
        share = sum(task.parameters["count"] for _, task in tasks)

        stage = f"{len(open_)} of {len(trials)} cells"

        def show(cost: float, _: float, before: int = before, stage: str = stage) -> None:
            on_progress(stage, before + int(cost), most)

        rows = run([task for _, task in tasks], store, executor, width=width, on_progress=show)
        for cell, task in tasks:
            trials[cell] += rows[task.key]["trials"]
        done += share
        open_ = [
            cell
            for cell in open_
            if len(trials[cell]) < plan.trials and not _stable(trials[cell], ready, plan.within)
        ]
    return {
        "kind": "fault",
        "network": target.model,
        "protect": target.protect,
        "images": len(ready.labels),
        "plan": asdict(plan),
        "clean": {"accuracy": float((ready.clean == ready.labels).mean())},
        "cells": [_cell(cell, trials[cell], ready) for cell in plan.cells],
    }


def _firsts(start: int, most: int) -> range:
    return range(start, min(start + ROUND, most), BLOCK)


def _task(
    target: Target, ready: Bench, plan: CampaignPlan, cell: Cell, first: int, count: int
) -> Task:
    parameters = {
        "target": asdict(target),
        "content": ready.digest,
        "memory": cell.memory,
        "model": plan.model,
        "rate": cell.rate,
        "flips": plan.flips,
        "seed": plan.seed,
        "first": first,
        "count": count,
    }
    return Task(ROWS, parameters, {"code": code_digest.digest(ROWS)}, count)


def _stable(trials: Sequence[Row], ready: Bench, within: float) -> bool:
    """Whether both intervals are narrow: where nothing was seen, the mean alone says little."""
    low, high = _harmful(trials).interval
    return within > 0 and _half(trials, ready) <= within and (high - low) / 2 <= SHARE


def _harmful(trials: Sequence[Row]) -> Rate:
    """Trials that change an answer."""
    return Rate(sum(one["changed"] > 0 for one in trials), len(trials))


def _answered(trials: Sequence[Row]) -> list[Row]:
    """Trials in which the engine gave answers, and no error status."""
    return [one for one in trials if not one["caught"]]


def _half(trials: Sequence[Row], ready: Bench) -> float:
    """Half of the 95% interval of the mean accuracy over answered trials (normal approximation)."""
    shares = np.array([one["correct"] for one in _answered(trials)]) / len(ready.labels)
    return float(_Z95 * shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else 1.0


def _cell(cell: Cell, trials: Sequence[Row], ready: Bench) -> dict[str, Any]:
    images, count = len(ready.labels), len(trials)
    answered = _answered(trials)
    shares = np.array([one["correct"] for one in answered]) / images
    harmed = _harmful(trials)
    return {
        "memory": cell.memory,
        "rate": cell.rate,
        "trials": count,
        "faults": float(np.mean([one["faults"] for one in trials])),
        "accuracy": float(shares.mean()) if answered else None,
        "accuracy_half_interval": _half(trials, ready) if answered else None,
        "accuracy_worst": float(shares.min()) if answered else None,
        "changed": float(np.mean([one["changed"] for one in trials])) / images,
        "harmful": harmed.value,
        "harmful_interval": list(harmed.interval),
        "masked": sum(one["moved"] == 0 for one in answered) / count,
        "caught": (count - len(answered)) / count,
        "corrected": sum(one["corrected"] for one in trials),
        "zeroed": sum(one["zeroed"] for one in trials),
        "sums": sum(one["sums"] for one in trials),
        "products": sum(one["products"] for one in trials),
        "by_layer": _by(trials, "layers", images),
        "by_bit": _by(trials, "bits", images),
    }


def _by(trials: Sequence[Row], part: str, images: int) -> list[dict[str, Any]]:
    """Of the trials that hit a layer, or a bit: how many, and what share of answers they changed.

    A trial with several faults counts for each place that it hit.
    """
    names: Mapping[str, list[Row]] = {}
    for one in trials:
        for name in one[part]:
            names.setdefault(name, []).append(one)  # type: ignore[attr-defined]
    ordered = (
        sorted(names.items(), key=lambda pair: int(pair[0]))
        if part == "bits"
        else list(names.items())
    )
    return [
        {
            "name": name,
            "trials": len(hit),
            "changed": float(np.mean([one["changed"] for one in hit])) / images,
            "worst": max(one["changed"] for one in hit) / images,
            "masked": sum(one["moved"] == 0 for one in _answered(hit)) / len(hit),
            "caught": 1 - len(_answered(hit)) / len(hit),
        }
        for name, hit in ordered
    ]
