"""Runs what the store does not have yet, on any executor, and keeps every row as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool

from hwsim.errors import InputError
from hwsim.files.reading import parse_json
from hwsim.studies.runner.execute import execute
from hwsim.studies.runner.store import Store
from hwsim.studies.runner.task import Row, Task

#: Tasks given out beyond those being computed, so that no worker waits for the next.
AHEAD = 2


def timed(text: str) -> tuple[str, float]:
    """``execute``, and the seconds it took."""
    began = time.perf_counter()
    return execute(text), time.perf_counter() - began


def run(
    tasks: Sequence[Task],
    store: Store,
    executor: Executor,
    *,
    width: int = 1,
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> dict[str, Row]:
    """The rows of all tasks by key; those in the store are taken from there.

    width: rows that the executor computes at once. on_progress(cost done, cost in all). Whatever
    ends it, Ctrl-C or a kill, the finished rows are in the store. Raises what a task raises, and
    InputError where a worker process died.
    """
    wanted = {task.key: task for task in tasks}
    total = sum(task.cost for task in wanted.values())
    rows: dict[str, Row] = {}
    left: list[Task] = []
    for key, task in wanted.items():
        row = store.get(task)
        if row is None:
            left.append(task)
        else:
            rows[key] = row
    done = sum(wanted[key].cost for key in rows)
    on_progress(done, total)
    flying: dict[Future[tuple[str, float]], Task] = {}
    left.reverse()
    try:
        while left or flying:
            while left and len(flying) < width + AHEAD:
                task = left.pop()
                # Another run with the same store may have been here meanwhile.
                row = store.get(task)
                if row is None:
                    flying[_submitted(executor, task)] = task
                    if width == 1:
                        break  # keep what is finished before the next begins
                else:
                    rows[task.key] = row
                    done += task.cost
            wait(flying, return_when=FIRST_COMPLETED)
            for task, row in _harvest(flying, store):
                rows[task.key] = row
                done += task.cost
            on_progress(done, total)
    finally:
        for future in flying:
            future.cancel()
    return rows


def _harvest(flying: dict[Future[tuple[str, float]], Task], store: Store) -> list[tuple[Task, Row]]:
    """Keep every row that is finished, and take it from ``flying``; then raise what failed."""
    found: list[tuple[Task, Row]] = []
    failed: list[Exception] = []
    for future in [one for one in flying if one.done()]:
        task = flying.pop(future)
        try:
            text, seconds = _result(future, task)
        except Exception as error:
            failed.append(error)
            continue
        row = parse_json(text)
        store.put(task, row, seconds)
        found.append((task, row))
    if failed:
        raise failed[0]
    return found


def _submitted(executor: Executor, task: Task) -> Future[tuple[str, float]]:
    try:
        return executor.submit(timed, task.text())
    except Exception as error:
        raise _explained(error, task) from None


def _result(future: Future[tuple[str, float]], task: Task) -> tuple[str, float]:
    try:
        return future.result()
    except Exception as error:
        raise _explained(error, task) from None


def _explained(error: Exception, task: Task) -> Exception:
    """An InputError for the end of those who compute; anything else as it is, traceback included.

    Errors of dask are known by name: it is an optional companion.
    """
    name = type(error).__name__
    if isinstance(error, BrokenProcessPool):
        return InputError(
            "a worker process died (out of memory?): finished rows are kept; run the same command "
            "again with fewer --jobs"
        )
    # Rows that were given out are cancelled; new ones are refused once dask has given it up.
    if isinstance(error, CancelledError) or name == "ClosedClientError":
        return InputError(
            "the scheduler is gone, and with it the rows that it held: finished rows are kept; "
            "run the same command again"
        )
    if name == "KilledWorker":
        return InputError(
            f"workers of the cluster died again and again over {task.function} (out of memory?): "
            "finished rows are kept; run the same command again with larger workers"
        )
    return error
