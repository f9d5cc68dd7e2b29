"""Rounds of a study on a dask cluster whose workers, or whose scheduler, are killed.

Processes are real ones here, started as a user starts them: dask's threads survive no fork.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.fuzz.rounds import Progress, Subject
from tests.hostile import small_world
from tests.hostile.promises import BrokenPromiseError
from tests.hostile.small_world import SLOW, SlowStudy
from tests.study_rows import computed

ROOT = Path(__file__).parents[2]
WORKERS, ROWS = 3, 48
#: Kills that a report is about, and those of a round at most.
WORKERS_WANTED, SCHEDULERS_WANTED, KILLS = 30, 3, 8
#: Seconds that a study, and a cluster's start, may take.
PATIENCE = 300.0
#: Nannies fork their workers from a process that has loaded what these need: starting one anew
#: would take longer than all else.
STUDY = """
import sys
from hwsim.cli import main
from tests.hostile import small_world
small_world.register()
if __name__ == "__main__":
    from distributed import utils
    loaded = ["distributed.nanny", "hwsim.studies.runner.execute", "tests.study_rows"]
    utils.get_mp_context().set_forkserver_preload(loaded)
    main()
"""


def rows_in(folder: Path) -> dict[int, Any]:
    """What the store in ``folder`` has: x and its row, as another process sees it.

    A connection that may not write leaves a -wal behind, even where there was none.
    """
    path = folder / "runs/studies/rows.sqlite"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as base:
            found = base.execute("SELECT parameters, row FROM rows").fetchall()
    except sqlite3.OperationalError:  # not there yet
        return {}
    return {json.loads(parameters)["x"]: json.loads(row) for parameters, row in found}


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something. Raises BrokenPromiseError where it does not come."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise BrokenPromiseError(f"{what}: not in {PATIENCE:.0f} s")
        time.sleep(0.01)


def workers_of(process: int) -> list[int]:
    """Processes that a study with a local cluster has for its rows, which have one parent."""
    children = _children(process)
    return sorted(worker for child in children for worker in _children(child))


def _children(process: int) -> list[int]:
    """Of all threads; none of a process that has ended."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            found += map(int, path.read_text(encoding="ascii").split())
    return found


class Place:
    """A folder with data, in which a study runs."""

    def __init__(self, scratch: Path) -> None:
        self.folder, self.log, self.rows = scratch / "case", scratch / "rows.log", ROWS
        self.data, self.script = scratch / "data", scratch / "hwsim"
        small_world.data(self.data)
        self.folder.mkdir()
        self.script.write_text(STUDY, encoding="utf-8")
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "HWSIM_DATA": str(self.data),
            "HWSIM_CACHE": str(scratch / "cache"), SlowStudy.LOG: str(self.log),
            "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver",
        }  # fmt: skip

    def begin(self, cluster: str) -> subprocess.Popen[str]:
        """The study on ``cluster``."""
        words = ["study", SLOW, "--samples", str(self.rows), "--cluster", cluster]
        return subprocess.Popen(
            [sys.executable, str(self.script), *words], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self, going: subprocess.Popen[str], may_fail: bool) -> bool:
        """Whether it ended right. With ``may_fail`` it may have ended with code 2, one line, and
        all rows that it kept. Raises BrokenPromiseError for anything else.
        """
        try:
            _, err = going.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            going.kill()
            going.communicate()
            raise BrokenPromiseError(f"no end in {PATIENCE:.0f} s") from None
        left = [
            str(path) for path in self.folder.rglob("*") if path.name.endswith((".part", "-wal"))
        ]  # before the store is read, which clears up after a writer
        found = rows_in(self.folder)
        if wrong := {x: row for x, row in found.items() if row != {"square": x * x}}:
            raise BrokenPromiseError(f"wrong rows: {wrong}")
        if may_fail and going.returncode == 2:
            if err.count("\n") != 1 or not err.startswith("hwsim: ") or "kept" not in err:
                raise BrokenPromiseError(f"not one line: {err}")
            return False
        if going.returncode or err:
            raise BrokenPromiseError(f"ended with {going.returncode}: {err}")
        if left:
            raise BrokenPromiseError(f"left over: {', '.join(left)}")
        self._whole(found)
        return True

    def _whole(self, found: dict[int, Any]) -> None:
        if sorted(found) != list(range(self.rows)):
            raise BrokenPromiseError(f"rows are missing: it has {sorted(found)}")
        text = (self.folder / f"runs/studies/{SLOW}/result.json").read_text(encoding="utf-8")
        records = json.loads(text)["records"]
        if [record["row"] for record in records] != [str(found[x]) for x in sorted(found)]:
            raise BrokenPromiseError(f"another result: {records}")

    def finish(self, cluster: str) -> None:
        """Run it again, to its end. Raises BrokenPromiseError where it computes what was kept."""
        kept, before = set(rows_in(self.folder)), len(computed(self.log))
        self.ended(self.begin(cluster), may_fail=False)
        if twice := sorted(kept & set(computed(self.log)[before:])):
            raise BrokenPromiseError(f"computed again, though kept: {twice}")


@contextmanager
def cluster(place: Place, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(address, scheduler) of dask processes of their own, which end with the block."""
    file = place.folder.parent / "scheduler.json"
    file.unlink(missing_ok=True)

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"]
        words += ["--scheduler-file", str(file)]
        return subprocess.Popen(
            words, cwd=place.folder.parent, env=place.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    made = [start("scheduler", "--port", "0", "--host", "127.0.0.1")]
    try:
        until(lambda: file.exists() and file.stat().st_size > 0, "a scheduler")
        made += [start("worker", "--no-nanny", "--nthreads", "1") for _ in range(workers)]
        yield json.loads(file.read_text(encoding="utf-8"))["address"], made[0]
    finally:
        for process in made:
            process.kill()
            process.wait()


class Clustered(Subject):
    """A study on a cluster."""

    area = "clusters"

    def __init__(self) -> None:
        self.kills = self.refused = self.kept = 0

    def round(self, seed: int, progress: Progress) -> None:
        """A study, killed at, and again to its end. Raises BrokenPromiseError."""
        with tempfile.TemporaryDirectory(prefix="hwsim-hostile-") as scratch:
            place = Place(Path(scratch))
            try:
                self._kill(place, random.Random(seed), progress)
            finally:
                shutil.rmtree(place.folder, ignore_errors=True)

    @abstractmethod
    def _kill(self, place: Place, draw: random.Random, progress: Progress) -> None:
        """The kills of a round, up to a study that is whole."""

    def _progress(self, place: Place, going: subprocess.Popen[str], rows: int) -> bool:
        """Wait until ``rows`` are kept; whether the study still runs."""
        until(lambda: going.poll() is not None or len(rows_in(place.folder)) >= rows, "a row")
        return going.poll() is None


class Workers(Clustered):
    """Workers of ``--cluster local:N``, killed one after another with rows between them."""

    name = "dask worker killed"
    wanted = WORKERS_WANTED

    def _kill(self, place: Place, draw: random.Random, progress: Progress) -> None:
        going = place.begin(f"local:{WORKERS}")
        try:
            kept = 0
            for _ in range(KILLS):
                if not self._progress(place, going, kept + 1):
                    break
                time.sleep(draw.random() * 0.4)
                kept = len(rows_in(place.folder))
                alive = workers_of(going.pid)
                if kept == place.rows or not alive:
                    continue
                os.kill(draw.choice(alive), 9)
                progress.examples += 1
                self.kills += 1
            if not place.ended(going, may_fail=True):
                self.refused += 1
                place.finish(f"local:{WORKERS}")
        finally:
            going.kill()
            going.wait()

    def said(self) -> str:
        """What came of the kills, for the table."""
        return (
            f"rows kept between any two kills; studies that ended in one line, and were run again: "
            f"{self.refused}; all rows right"
        )


class Scheduler(Clustered):
    """A scheduler of its own, killed once in a study."""

    name = "dask scheduler killed"
    wanted = SCHEDULERS_WANTED

    def _kill(self, place: Place, draw: random.Random, progress: Progress) -> None:
        with cluster(place, WORKERS - 1) as (address, scheduler):
            going = place.begin(address)
            try:
                if self._progress(place, going, draw.randint(1, place.rows // 2)):
                    time.sleep(draw.random() * 0.4)
                    scheduler.kill()
                    progress.examples += 1
                    self.kills += 1
                    self.kept += len(rows_in(place.folder))
                whole = place.ended(going, may_fail=True)
            finally:
                going.kill()
                going.wait()
        if not whole:
            self.refused += 1
            with cluster(place, WORKERS - 1) as (address, _):
                place.finish(address)

    def said(self) -> str:
        """What came of the kills, for the table."""
        return (
            f"{self.refused} studies ended in one line with code 2, {self.kept} rows kept by then; "
            "run again on another scheduler, all rows right and none of those computed again"
        )


def subjects() -> list[Clustered]:
    """Both."""
    return [Workers(), Scheduler()]
