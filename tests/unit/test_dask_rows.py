"""Rows on dask: first answers count, lost ones are asked for again. A client without a cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from hwsim.studies.runner import dask_rows
from hwsim.studies.runner.dask_rows import TOPIC, DaskRows


class Tried:
    """A task that was given to a scheduler."""

    def __init__(self, key: int) -> None:
        self.key, self.status, self.released = key, "pending", False
        self.error: Exception | None = None
        self.calls: list[Callable[[Tried], None]] = []

    def add_done_callback(self, call: Callable[[Tried], None]) -> None:
        self.calls.append(call)

    def end(self, status: str, error: Exception | None = None) -> None:
        self.status, self.error = status, error
        for call in self.calls:
            call(self)

    def exception(self) -> Exception | None:
        return self.error

    def release(self) -> None:
        self.released = True


class Client:
    """What DaskRows asks of dask's. stacks: what workers say that they are at."""

    def __init__(self) -> None:
        self.tries: list[Tried] = []
        self.work: list[tuple[Any, ...]] = []
        self.stacks: dict[str, Any] = {}
        self.looks = 0
        self.scheduler = SimpleNamespace(call_stack=None)

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        assert topic == TOPIC
        self.handler = handler

    def submit(self, function: object, *work: Any, pure: bool) -> Tried:
        assert not pure  # else two rows, or two tries of one, would be one task
        self.tries.append(Tried(len(self.tries)))
        self.work.append(work)
        return self.tries[-1]

    def sync(self, function: object, *, keys: list[int], callback_timeout: float) -> Any:
        assert set(keys) <= {tried.key for tried in self.tries}
        self.looks += 1
        if self.stacks.get("dead"):
            raise OSError
        return self.stacks

    def send(self, which: int) -> None:
        """What the worker of a try sends."""
        run, number, function, args, kwargs = self.work[which]
        self.handler((0.0, (run, number, function(*args, **kwargs))))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def rows(client: Client) -> DaskRows:
    return DaskRows(client)


@pytest.fixture
def watched(rows: DaskRows, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaskRows]:
    monkeypatch.setattr(dask_rows, "LOOK", 0.001)
    with rows.watched():
        yield rows


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_an_answer_counts_when_it_comes_and_what_dask_has_of_it_is_released(
    client: Client, rows: DaskRows
) -> None:
    two, three = rows.submit(math.sqrt, 4), rows.submit(math.sqrt, 9)
    client.send(1)
    assert three.result() == 3
    assert not two.done()
    assert [tried.released for tried in client.tries] == [False, True]


def test_what_other_runs_are_answered_is_not_taken(client: Client, rows: DaskRows) -> None:
    future = rows.submit(math.sqrt, 4)
    client.handler((0.0, ("another", 0, 5)))
    assert not future.done()


def test_a_task_that_has_ended_without_an_answer_is_no_answer(
    client: Client, rows: DaskRows
) -> None:
    future = rows.submit(math.sqrt, 4)
    client.tries[0].end("finished")
    assert not future.done()
    client.send(0)
    assert future.result() == 2


def test_what_a_row_raises_is_raised(client: Client, rows: DaskRows) -> None:
    future = rows.submit(math.sqrt, -1)
    client.tries[0].end("error", ValueError("math domain error"))
    with pytest.raises(ValueError, match="math domain"):
        future.result()


def test_a_scheduler_that_is_given_up_cancels_its_rows(client: Client, rows: DaskRows) -> None:
    future = rows.submit(math.sqrt, 4)
    client.tries[0].end("cancelled")
    with pytest.raises(CancelledError):
        future.result()


def test_a_cancelled_row_is_released_and_its_answer_ignored(client: Client, rows: DaskRows) -> None:
    future = rows.submit(math.sqrt, 4)
    future.cancel()
    assert client.tries[0].released
    client.tries[0].end("cancelled")
    client.send(0)
    assert future.cancelled()


def test_a_row_that_dask_refuses_is_not_asked_for_again(
    client: Client, watched: DaskRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Tried:
        raise RuntimeError("closed")

    with monkeypatch.context() as patch:
        patch.setattr(client, "submit", refuse)
        with pytest.raises(RuntimeError, match="closed"):
            watched.submit(math.sqrt, 4)
    future = watched.submit(math.sqrt, 9)
    until(lambda: len(client.tries) >= 3)
    assert {work[3] for work in client.work} == {(9,)}
    client.send(0)
    assert future.result() == 3


@pytest.mark.parametrize("stacks", [{}, {"worker": {}}, {"dead": True}])
def test_rows_that_nobody_computes_are_asked_for_again(
    client: Client, watched: DaskRows, stacks: dict[str, Any]
) -> None:
    client.stacks = stacks
    futures = [watched.submit(math.sqrt, 4), watched.submit(math.sqrt, 9)]
    until(lambda: len(client.tries) >= 6)
    for which in (3, 2, 0, 1):  # of two answers to a row, which are the same, the first counts
        client.send(which)
    assert [future.result() for future in futures] == [2, 3]
    until(lambda: all(tried.released for tried in client.tries))
    assert client.work[0] == client.work[2]


def test_rows_that_are_at_work_are_waited_for(client: Client, watched: DaskRows) -> None:
    client.stacks = {"worker": {0: ["sqrt"]}}
    future = watched.submit(math.sqrt, 4)
    until(lambda: client.looks > 20)
    assert len(client.tries) == 1
    client.send(0)
    assert future.result() == 2
