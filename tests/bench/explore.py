"""An exploration on one and on two workers of a local cluster: what the second is worth."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

from hwsim.numbers.config import load_config
from hwsim.studies.explore.campaign import Exploration, ExploreEffort
from hwsim.studies.explore.design import DesignAxes, DesignGrid
from hwsim.studies.runner.executors import cluster
from hwsim.studies.runner.store import Store
from tests.bench.measure import Line

#: Rows of some seconds each, none so long that a worker waits for the other at the end.
EFFORT = ExploreEffort(500, 50, 50, 0.1, 20, 8, 6, False)
NETWORK = "mnist-cnn-h16-banked"


def workers() -> Line:
    """Seconds of all rows of a grid; processes are there, and have compiled, before the clock."""
    axes = DesignAxes((NETWORK,), (8,), (8, 16), (4, 8), (16, 32), ("sram", "hash"),
                      (False, True), ("none", "secded"))  # fmt: skip
    grid = DesignGrid(axes, load_config("default"))
    taken = {count: _taken(grid, count) for count in (1, 2)}
    worth = taken[1] / taken[2] - 1
    note = f"{len(grid.designs)} designs; the ratio is what the second worker adds of the first"
    if (os.cpu_count() or 1) < 2:
        note += "; this machine has one core"
    return Line("explore-workers", taken[2], taken[1], "s", worth, "one worker", ">= 0.9", note)


def _taken(grid: DesignGrid, count: int) -> float:
    with (
        mock.patch.dict(os.environ, OMP_NUM_THREADS="1"),  # of the workers: each has a core
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "rows.sqlite") as store,
        cluster(f"local:{count}") as (executor, width),
    ):
        warm = Exploration("wide", EFFORT)  # another engine: rows of its own, the same imports
        tasks = [warm.accuracy(design) for design in grid.reference]
        for future in [executor.submit(_warmed, task.text(), n)
                       for task in tasks for n in range(4 * count)]:  # fmt: skip
            future.result()
        began = time.perf_counter()
        Exploration("default", EFFORT).compute(grid.designs, store, executor, width)
        return time.perf_counter() - began


def _warmed(text: str, number: int) -> str:
    from hwsim.studies.runner.execute import execute

    return f"{number} {len(execute(text))}"
