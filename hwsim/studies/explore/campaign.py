"""Every row that designs need, shared between them, and the values that each has in the end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.attacks.evaluate.rates import Rate
from hwsim.cost.offchip import off_chip
from hwsim.fpga.cell_model import CellCount, CellModel, source_digest
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.studies.explore.design import Design
from hwsim.studies.explore.found import FlipsFound, cells_found, memories
from hwsim.studies.explore.objectives import Measured, Profile
from hwsim.studies.explore.rows import CELLS, COST, FLIPS
from hwsim.studies.grid.outcomes import Outcome
from hwsim.studies.grid.plan import Point
from hwsim.studies.papers.faults import HALF, IMAGES, K_TOP
from hwsim.studies.runner.machines import card
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Row, Task

ACCURACY = "hwsim.studies.grid.attack_rows:accuracy"
ATTACK = "hwsim.studies.grid.attack_rows:attack"
#: Losses of PGD; an image is fooled where any of them fools it.
LOSSES = ("cross-entropy", "margin")

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class ExploreEffort:
    """How much is measured. tested: test images of accuracies, None for all; attacked: of PGD;
    timed: of cycles where the engine skips; epsilon: of PGD, of a pixel's range; steps: of PGD;
    batches: searches for flips, each from other training images; most: bits that one may flip;
    blind: whether also by who does not know of check bits.
    """

    tested: int | None
    attacked: int
    timed: int
    epsilon: float
    steps: int
    batches: int
    most: int
    blind: bool


QUICK = ExploreEffort(1000, 100, 50, 2 / 15, 20, 3, 8, False)
FULL = ExploreEffort(None, 500, 200, 2 / 15, 40, 3, 24, True)
#: Test images that judge flips.
JUDGING = 200


@dataclass(frozen=True)
class Explored:
    """A design with everything that was found out. values: by the names of the goals. record: for
    files, without the network's and engine's axes.
    """

    design: Design
    values: Profile
    record: Mapping[str, Any]


class Exploration:
    """Rows of designs on a base engine.

    base: its name or file. synthesis: whether Yosys maps every engine; else what is not in the
    table of hwsim.fpga.cell_model is interpolated.
    """

    def __init__(self, base: str, effort: ExploreEffort, synthesis: bool = False) -> None:
        self.base, self.effort, self.synthesis = base, effort, synthesis
        self.config: EngineConfig = load_config(base)
        self.model = CellModel.load()
        self.refused: Counter[str] = Counter()
        self._tasks: dict[Any, Task] = {}
        self._rows: dict[str, Row] = {}

    # ------------------------------------------------------------ what is to be computed

    def _task(self, key: Any, function: str, parameters: Mapping[str, Any], cost: float) -> Task:
        if key not in self._tasks:
            self._tasks[key] = Point({}, function, parameters, cost).task()
        return self._tasks[key]

    def accuracy(self, design: Design) -> Task:
        """Depends on network and width."""
        parameters = {
            "subject": design.subject(self.base).parameters(),
            "samples": self.effort.tested, "part": [0, 1],
        }  # fmt: skip
        return self._task(("accuracy", *_numbers(design)), ACCURACY, parameters, 10)

    def attacks(self, design: Design) -> list[Task]:
        """Depend on network and width: PGD on each loss."""
        effort = self.effort
        return [
            self._task(
                ("pgd", loss, *_numbers(design)), ATTACK,
                {
                    "subject": design.subject(self.base).parameters(), "name": "pgd",
                    "budgets": [effort.epsilon], "samples": effort.attacked, "part": [0, 1],
                    "loss": loss, "options": {"steps": effort.steps},
                },
                effort.attacked * effort.steps / 200,
            )
            for loss in LOSSES
        ]  # fmt: skip

    def searches(self, design: Design, memory: str, attacker: str) -> list[Task]:
        """Depend on network, width and check bits: flips of one memory, batch by batch."""
        ecc = design.engine.ecc
        return [
            self._task(
                ("flips", *_numbers(design), ecc, memory, attacker, seed), FLIPS,
                {
                    "subject": design.subject(self.base).parameters(), "ecc": ecc,
                    "attacker": attacker, "memory": memory, "seed": seed, "images": IMAGES,
                    "samples": JUDGING, "k_top": K_TOP, "most": self.effort.most, "stop": HALF,
                },
                8,
            )
            for seed in range(self.effort.batches)
        ]  # fmt: skip

    def cost(self, design: Design) -> Task:
        """Depends on the network and all of the engine, the bandwidth apart."""
        engine = design.engine
        parameters = {
            "subject": design.subject(self.base).parameters(), "changes": engine.changes,
            "images": self.effort.timed if engine.skip else 0,
        }  # fmt: skip
        key = ("cost", *_numbers(design), tuple(engine.changes.values()))
        return self._task(key, COST, parameters, 1 if engine.skip else 0.2)

    def synthesized(self, design: Design) -> list[Task]:
        """Depends on the engine alone; none where the table or the model will do."""
        config = design.engine.config(self.config)
        known = self.model.cells(config)
        if not self.synthesis or (known is not None and known.measured):
            return []
        parameters = {"config": _logic(config), "verilog": source_digest()}
        return [self._task(("cells", str(parameters["config"])), CELLS, parameters, 200)]

    def tasks(self, design: Design) -> list[Task]:
        """All that a design needs."""
        found = [self.accuracy(design), *self.attacks(design), self.cost(design)]
        for attacker in self.attackers(design):
            for memory in memories(design):
                found += self.searches(design, memory, attacker)
        return [*found, *self.synthesized(design)]

    def attackers(self, design: Design) -> tuple[str, ...]:
        """Who looks for bits: one who knows the check bits, and perhaps one who does not."""
        blind = self.effort.blind and design.engine.ecc != "none"
        return ("adaptive", "blind") if blind else ("adaptive",)

    # ------------------------------------------------------------ computing it

    def compute(
        self,
        designs: Iterable[Design],
        store: Store,
        executor: Executor,
        width: int = 1,
        on_progress: Progress = lambda done, total: None,
    ) -> list[Explored]:
        """The designs that fit; the others, counted in ``refused``, have no rows but costs."""

        def compute_rows(tasks: Iterable[Task], done: float, more: float) -> None:
            # Networks one after the other: a process keeps a few programs only.
            unique = {task.key: task for task in tasks if task.key not in self._rows}
            self._rows |= run(
                list(unique.values()), store, executor, width=width,
                on_progress=lambda now, total: on_progress(done + now, done + total + more),
            )  # fmt: skip

        wanted = list(designs)
        costs = [self.cost(design) for design in wanted]
        spent, whole = _work(costs), _work(t for design in wanted for t in self.tasks(design))
        compute_rows(costs, 0, whole - spent)
        fitting = []
        for design, task in zip(wanted, costs, strict=True):
            refused = self._row(task)["refused"]
            if refused is None:
                fitting.append(design)
            else:
                self.refused[f"{design.network}: {refused}"] += 1
        compute_rows((t for design in fitting for t in self.tasks(design)), spent, 0)
        return [self._explored(design) for design in fitting]

    @property
    def every_task(self) -> list[Task]:
        """All tasks so far, each once."""
        return list({task.key: task for task in self._tasks.values()}.values())

    def _row(self, task: Task) -> Row:
        return self._rows[task.key]

    # ------------------------------------------------------------ what it says

    def _explored(self, design: Design) -> Explored:
        engine, cost = design.engine, self._row(self.cost(design))
        cycles, energy, memory = cost["cycles"], cost["energy_nj"], cost["memory_bits"]
        waited = 0.0
        if engine.bandwidth is not None:
            cycles_of = np.array([layer["cycles"] for layer in cost["layers"]], np.int64).T
            bits = [layer["bits"] for layer in cost["layers"]]
            away = off_chip(cycles_of, bits, cost["start"], engine.bandwidth)
            cycles, waited, memory = away.cycles, away.waited, away.buffer_bits
            energy += away.fetch_nj
        right = self._row(self.accuracy(design))
        outcomes = [Outcome.of([self._row(task)]) for task in self.attacks(design)]
        correct = outcomes[0].correct
        fooled = np.logical_or.reduce([one.reached[0] for one in outcomes]) & correct
        numbers = _numbers(design)
        worst = self._worst(design, "adaptive")
        values = {
            "cycles": Measured.exact(cycles),
            "energy": Measured.exact(energy),
            "memory": Measured.exact(memory),
            "accuracy": Measured.rate(Rate(right["correct"], right["images"]), numbers),
            "pgd": Measured.rate(
                Rate(int(fooled.sum()), int(correct.sum())),
                numbers,
                left_of(self.effort.epsilon, engine.bits),
            ),
            "flips": worst.value,
        }
        cells = self._cells(design)
        if cells is not None:
            values["luts"] = cells_found(cells)
        blind = self._worst(design, "blind") if "blind" in self.attackers(design) else None
        config = engine.config(self.config)
        routed = self.model.routed(config)
        clock = routed or config.clock_mhz
        zero = np.logical_and.reduce([one.zero for one in outcomes])
        record = {
            "rate": card(design.network).rate,
            "scheme": card(design.network).scheme,
            "cycles": cycles, "cycles_worst": cost["worst"], "waited": waited,
            "microseconds": cycles / clock, "clock_mhz": clock,
            "clock_from": "assumed" if routed is None else "routed",
            "energy_nj": energy, "memory_bits": memory, "image_bits": cost["image_bits"],
            "luts": None if cells is None else cells.luts,
            "luts_from": "none" if cells is None else cells.origin,
            "luts_error": None if cells is None or math.isinf(cells.error) else cells.error,
            "flip_flops": None if cells is None else cells.flip_flops,
            "dsps": None if cells is None else cells.dsps,
            "accuracy": values["accuracy"].value,
            "epsilon": values["pgd"].terms,
            "pgd": values["pgd"].value, "pgd_low": values["pgd"].low,
            "pgd_high": values["pgd"].high, "pgd_images": int(correct.sum()),
            "zero_gradient": float((zero & correct).mean()),
            "flips": worst.value.value, "flips_least": worst.least,
            "flips_reached": all(worst.reached), "flips_memory": worst.memory,
            "flips_blind": None if blind is None else blind.value.value,
            "flips_blind_reached": None if blind is None else all(blind.reached),
        }  # fmt: skip
        return Explored(design, values, record)

    def _worst(self, design: Design, attacker: str) -> FlipsFound:
        """The memory of the design in which the fewest flips do it."""
        return min(
            (
                FlipsFound.of(memory, [self._row(t) for t in tasks], self.effort.most,
                              (*_numbers(design), design.engine.ecc, memory, attacker))
                for memory in memories(design)
                for tasks in [self.searches(design, memory, attacker)]
            ),
            key=lambda one: one.value.value,
        )  # fmt: skip

    def _cells(self, design: Design) -> CellCount | None:
        tasks = self.synthesized(design)
        if tasks:
            return CellCount.measured_now(self._row(tasks[0]))
        return self.model.cells(design.engine.config(self.config))


def _work(tasks: Iterable[Task]) -> float:
    return sum(task.cost for task in {task.key: task for task in tasks}.values())


def left_of(epsilon: float, bits: int) -> float:
    """What input codes of ``bits`` leave of ε in [0, 1]: whole codes, rounded down."""
    codes = (1 << bits) - 1
    return math.floor(epsilon * codes + 1e-9) / codes


def _numbers(design: Design) -> tuple[str, int]:
    """What the numbers that are computed depend on."""
    return design.network, design.engine.bits


def _logic(config: EngineConfig) -> dict[str, Any]:
    """All that the Verilog depends on."""
    return config.replace(name="explored", clock_mhz=1.0).model_dump()
