"""Rows on a dask cluster: an answer comes with the notice that it is there, and is never fetched.

Dask leaves what a task returns with its worker, and lets whoever wants it fetch it there. Where
workers die, that loses rows that are done, and one dead address holds up all that are fetched at
once. So a worker sends its answer itself, through the scheduler; the task returns nothing.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Of the events that carry answers: one name for all, because a scheduler keeps the last events of
#: every name for as long as it lives.
TOPIC = "hwsim-rows"
#: Seconds between two looks at rows that do not come, and for an answer to such a look.
LOOK = 5.0
PATIENCE = 10.0
#: Looks without an answer and without a row at work, after which rows are asked for again; twice as
#: many the next time, until an answer comes.
STILL = 2


def answer(run: str, number: int, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """In a worker: compute, and send what comes out."""
    from distributed import get_worker

    found = function(*args, **kwargs)
    get_worker().log_event(TOPIC, (run, number, found))


@dataclass
class _Asked:
    """What was asked for, and every time that it was: the first answer counts."""

    future: Future[Any]
    work: tuple[Any, ...]
    tries: list[Any] = field(default_factory=list)


class DaskRows(Executor):
    """Computes on the workers of ``client``. What functions answer must be JSON values or tuples.

    A function must answer the same whenever it is called: it may be called more than once.
    """

    def __init__(self, client: Any) -> None:
        self._client, self._run = client, uuid.uuid4().hex
        self._asked: dict[int, _Asked] = {}
        self._numbers, self._answers = itertools.count(), 0
        client.subscribe_topic(TOPIC, self._take)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Raises what dask raises where it has given the scheduler up."""
        number = next(self._numbers)
        future: Future[T] = Future()
        self._asked[number] = _Asked(future, (fn, args, kwargs))
        future.add_done_callback(lambda _: self._claim(number))  # cancelled, perhaps
        try:
            self._ask(number)
        except BaseException:
            del self._asked[number]
            raise
        return future

    def _ask(self, number: int) -> None:
        asked = self._asked.get(number)
        if asked is None:
            return
        tried = self._client.submit(answer, self._run, number, *asked.work, pure=False)
        asked.tries.append(tried)
        tried.add_done_callback(lambda ended: self._ended(number, ended))
        if number not in self._asked:  # it came meanwhile
            tried.release()

    def _claim(self, number: int) -> Future[Any] | None:
        """The future of a row, for the only one who may end it; None for all others."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return None
        for tried in asked.tries:  # what dask still has of it, it forgets
            tried.release()
        return asked.future if asked.future.set_running_or_notify_cancel() else None

    def _take(self, event: tuple[float, Any]) -> None:
        """An answer, in the thread of dask's loop."""
        run, number, found = event[1]
        if run == self._run and (future := self._claim(number)):
            self._answers += 1
            future.set_result(found)

    def _ended(self, number: int, tried: Any) -> None:
        """A task has ended: its answer was sent before that, and is here, unless it failed."""
        if number not in self._asked or tried.status not in ("error", "cancelled"):
            return
        error = tried.exception() if tried.status == "error" else None
        if error is None:  # dask has given up the scheduler
            asked = self._asked.get(number)
            if asked is not None:
                asked.future.cancel()
        elif future := self._claim(number):
            future.set_exception(error)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile rows that nobody computes are asked for again."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(PATIENCE)

    def _watch(self, over: threading.Event) -> None:
        answers, looks, enough = self._answers, 0, STILL
        while not over.wait(LOOK):
            if answers != self._answers:
                answers, looks, enough = self._answers, 0, STILL
            elif not self._asked or self._computing():
                looks = 0
            else:
                looks += 1
            if looks >= enough:
                looks, enough = 0, 2 * enough
                for number in list(self._asked):
                    with suppress(Exception):  # the next look does it again
                        self._ask(number)

    def _computing(self) -> bool:
        """Whether any worker is at work on a row of this run, as far as is known."""
        keys = [tried.key for asked in list(self._asked.values()) for tried in list(asked.tries)]
        try:
            found = self._client.sync(
                self._client.scheduler.call_stack, keys=keys, callback_timeout=PATIENCE
            )
        except Exception:  # a worker that has just died, say
            return False
        return any(found.values())
