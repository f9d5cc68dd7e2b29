"""Rows of the studies: kept by content, computed once, whatever ends a run and whoever computes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwsim.errors import InputError
from hwsim.studies.runner import executors
from hwsim.studies.runner.executors import Inline, chosen, cluster
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import FORMAT, Store
from hwsim.studies.runner.task import Task
from tests import study_rows
from tests.study_rows import FREE, GATE, computed, squares

ROOT = Path(__file__).parents[2]
#: What a run of its own process does: {jobs} processes over {count} rows.
SCRIPT = """
import sys
from pathlib import Path
from hwsim.studies.runner.executors import chosen
from hwsim.studies.runner.runner import run
from hwsim.studies.runner.store import Store
from tests.study_rows import squares
if __name__ == "__main__":
    folder, jobs, count, seconds = Path(sys.argv[1]), *map(float, sys.argv[2:])
    with Store(folder / "rows.sqlite") as store, chosen(int(jobs), None) as (executor, width):
        run(squares(int(count), folder / "log", seconds), store, executor, width=width)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "rows.sqlite") as opened:
        yield opened


def test_a_row_is_computed_once_and_then_read(store: Store, tmp_path: Path) -> None:
    tasks = squares(4, tmp_path / "log")
    first = run([*tasks, tasks[0]], store, Inline())
    assert [first[task.key] for task in tasks] == [{"square": x * x} for x in range(4)]
    assert run(tasks, store, Inline()) == first
    assert sorted(computed(tmp_path / "log")) == [0, 1, 2, 3]
    assert len(store) == 4


def test_another_version_parameter_or_input_is_another_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "tests.study_rows:square"
    keys = {
        Task(path, {"x": 1}).key,
        Task(path, {"x": 2}).key,
        Task(path, {"x": 1}, {"network n": "a"}).key,
        Task(path, {"x": 1}, {"network n": "b"}).key,
    }
    monkeypatch.setattr(study_rows.square, "version", 2)
    keys.add(Task(path, {"x": 1}).key)
    assert len(keys) == 5
    assert Task(path, {"x": 1}, cost=9).key in keys


def test_what_a_row_raises_ends_the_run_and_keeps_what_was_done(
    store: Store, tmp_path: Path
) -> None:
    tasks = squares(3, tmp_path / "log")
    broken = Task(tasks[0].function, {**tasks[2].parameters, "seconds": -1.0})
    with pytest.raises(ValueError, match="non-negative"):
        run([*tasks[:2], broken], store, Inline())
    assert len(store) == 2


def test_rows_that_were_done_beside_a_failure_are_kept(store: Store, tmp_path: Path) -> None:
    good = squares(3, tmp_path / "log")
    broken = Task(good[0].function, {**good[2].parameters, "seconds": -1.0})
    with pytest.raises(ValueError, match="non-negative"):
        run([broken, *good[:2]], store, Inline(), width=3)
    assert len(store) == 2


def test_a_scheduler_that_is_gone_is_one_line_and_costs_no_finished_row(
    store: Store, tmp_path: Path
) -> None:
    class Dying(Inline):
        def submit(self, fn, /, *args, **kwargs):
            if len(computed(tmp_path / "log")) < 2:
                return super().submit(fn, *args, **kwargs)
            gone: Future = Future()
            gone.cancel()
            gone.set_running_or_notify_cancel()
            return gone

    with pytest.raises(InputError, match=r"scheduler is gone.*finished rows are kept") as error:
        run(squares(5, tmp_path / "log"), store, Dying(), width=2)
    assert "\n" not in str(error.value)
    assert len(store) == 2


class ClosedClientError(RuntimeError):
    """As dask names what it raises once it has given a scheduler up."""


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (ClosedClientError("Client is closed."), "the scheduler is gone"),
        (BrokenProcessPool("a child process terminated"), "a worker process died"),
    ],
)
def test_those_who_are_gone_before_they_are_given_a_row_are_one_line(
    store: Store, tmp_path: Path, gone: Exception, says: str
) -> None:
    class Refusing(Inline):
        def submit(self, fn, /, *args, **kwargs):
            if len(computed(tmp_path / "log")) == 2:
                raise gone
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(InputError, match=f"{says}.*finished rows are kept") as error:
        run(squares(5, tmp_path / "log"), store, Refusing())
    assert "\n" not in str(error.value)
    assert len(store) == 2


def test_progress_counts_cost_and_begins_with_what_is_there(store: Store, tmp_path: Path) -> None:
    tasks = squares(3, tmp_path / "log")
    run(tasks[:1], store, Inline())
    seen: list[tuple[float, float]] = []
    run(tasks, store, Inline(), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


# ---------------------------------------------------------------- killed, and run again


def begin(folder: Path, jobs: int, count: int, gate: Path) -> subprocess.Popen[bytes]:
    script = folder / "go.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(script), str(folder), str(jobs), str(count), "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), GATE: str(gate)}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait until something is so; a machine may be slow, but not that slow."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def rows_in(path: Path) -> int:
    """Rows that another process has kept so far."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
            return int(base.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_computed_twice(
    tmp_path: Path, jobs: int
) -> None:
    log, count = tmp_path / "log", 12
    shut, open_ = tmp_path / "shut", tmp_path
    going = begin(tmp_path, jobs, count, shut)
    until(lambda: rows_in(tmp_path / "rows.sqlite") == FREE)
    os.kill(going.pid, signal.SIGKILL)
    going.wait()
    with Store(tmp_path / "rows.sqlite") as store:
        kept = {t.parameters["x"] for t in squares(count, log) if store.get(t)}
    assert kept == set(range(FREE))
    before = computed(log)
    assert begin(tmp_path, jobs, count, open_).wait() == 0
    after = computed(log)[len(before) :]
    assert sorted(after) == list(range(FREE, count))
    with Store(tmp_path / "rows.sqlite") as store:
        assert len(store) == count


# ---------------------------------------------------------------- stores that cannot be used


def damaged(path: Path) -> None:
    with Store(path) as store:
        run(squares(200, path.parent / "log"), store, Inline())
    whole = bytearray(path.read_bytes())
    whole[5000:9000] = b"\xa5" * 4000
    path.write_bytes(whole)


def newer(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as base:
        base.execute(f"PRAGMA user_version={FORMAT + 1}")


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE other (a)")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (damaged, "damaged"),
        (newer, "written by a newer hwsim"),
        (foreign, "not a store of studies"),
        (lambda path: path.write_text("no database at all, but some text\n" * 99), "damaged"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "rows.sqlite"
    make(path)
    with pytest.raises(InputError, match=says) as error:
        Store(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_foreign_database_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="not a store of studies"):
        Store(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


# ---------------------------------------------------------------- who computes


def everyone(choice: AbstractContextManager[tuple[Executor, int]], folder: Path) -> set[str]:
    log = folder / "log"
    tasks = squares(8, log, 0.1)
    with Store(folder / "rows.sqlite") as store, choice as (executor, width):
        rows = run(tasks, store, executor, width=width)
    assert [rows[t.key]["square"] for t in tasks] == [x * x for x in range(8)]
    return {line.split()[1] for line in log.read_text(encoding="utf-8").splitlines()}


@pytest.mark.slow
def test_processes_share_the_rows(tmp_path: Path) -> None:
    assert len(everyone(chosen(2, None), tmp_path)) == 2


@pytest.mark.slow
def test_a_local_cluster_shares_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    assert len(everyone(cluster("local:2"), tmp_path)) == 2


@pytest.mark.slow
def test_a_worker_of_a_cluster_may_be_killed(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    place, log = tmp_path / "scheduler.json", tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)

    made = [start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place))]
    try:
        until(lambda: place.exists() and place.stat().st_size > 0)
        options = ("--scheduler-file", str(place), "--no-nanny", "--nthreads", "1")
        made += [start("worker", *options, "--no-dashboard") for _ in range(2)]
        import json

        address = json.loads(place.read_text(encoding="utf-8"))["address"]
        tasks = squares(30, log, 0.1)

        def on_progress(done: float, total: float) -> None:
            if done >= 5 and made[2].poll() is None:
                made[2].kill()

        with Store(tmp_path / "rows.sqlite") as store, cluster(address) as (executor, width):
            rows = run(tasks, store, executor, width=width, on_progress=on_progress)
            assert len(store) == len(rows) == 30
        assert made[2].wait() == -signal.SIGKILL
        assert all(rows[t.key] == {"square": t.parameters["x"] ** 2} for t in tasks)
    finally:
        for process in made:
            process.kill()
            process.wait()


def test_the_place_of_a_worker_that_died_as_it_started_is_taken_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dask keeps such a place: a stand-in for its cluster, of which one of two workers is lost."""
    status = pytest.importorskip("distributed.core").Status
    monkeypatch.setattr(executors, "LOOK", 0.01)

    class Local:
        def __init__(self) -> None:
            states = (status.failed, status.running)
            self.workers = {n: SimpleNamespace(status=state) for n, state in enumerate(states)}
            self.opened: list[int] = []

        def sync(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
            asyncio.run(function())

        def scale(self, count: int) -> None:
            for name in set(range(count)) - set(self.workers):
                self.workers[name] = SimpleNamespace(status=status.running)
                self.opened.append(name)

    local = Local()
    with executors._kept_whole(local, 2):
        until(lambda: bool(local.opened))
    assert local.opened == [0]
    assert {nanny.status for nanny in local.workers.values()} == {status.running}


def test_what_dask_raises_of_its_workers_when_all_is_done_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It asserts that each has ended, and raises what any of them failed with."""
    distributed = pytest.importorskip("distributed")
    ended: list[str] = []

    class Local:
        def __init__(self, **_: object) -> None: ...

        def close(self, timeout: float) -> None:
            ended.append("cluster")
            raise AssertionError("Status.starting")

    class Client:
        def __init__(self, *_: object, **__: object) -> None: ...

        def subscribe_topic(self, *_: object) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            ended.append("client")

    monkeypatch.setattr(distributed, "LocalCluster", Local)
    monkeypatch.setattr(distributed, "Client", Client)
    with cluster("local:2"):
        pass
    assert ended == ["client", "cluster"]


@pytest.mark.parametrize(
    "address", ["tcp://nowhere", "local:0", "local:x", "head:8786", "tls://a:1", ""]
)
def test_an_address_that_makes_no_sense_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="give tcp://HOST:PORT of a scheduler, or local:N"):
        cluster(address).__enter__()


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 0.3)
    with pytest.raises(InputError, match="no scheduler answers at tcp://127"):
        cluster("tcp://127.0.0.1:9").__enter__()
