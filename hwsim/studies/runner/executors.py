"""Who computes the rows: this process, processes of this machine, or a dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, ParamSpec, TypeVar

from hwsim.errors import InputError
from hwsim.studies.runner.dask_rows import DaskRows

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds to wait for a scheduler's answer.
PATIENCE = 10
#: Seconds between two looks at the workers of a local cluster.
LOOK = 5.0
#: Seconds that a local cluster has to end; what is left of it ends with this process.
CLOSING = 60.0
#: Rows that a scheduler is given at once.
QUEUE = 1000


class Inline(Executor):
    """Computes at once, in this process."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Pool(ProcessPoolExecutor):
    """Its processes never see Ctrl-C, from their first instruction on."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As its base, which may start a process: that inherits what is blocked meanwhile."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(threads: int) -> None:
    """In a new worker process: Ctrl-C is its parent's business, and so is its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    # Read by torch and numba, which are not imported yet: processes must not fight for cores.
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)


@contextmanager
def processes(jobs: int) -> Iterator[tuple[Executor, int]]:
    """``jobs`` processes that share the cores; they end with the block, and with this process."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # Spawned: a fork of a process with threads may hang.
    pool = _Pool(
        jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
    )
    try:
        yield pool, jobs
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """A dask cluster: ``tcp://host:port`` of a scheduler, or ``local:N`` for N processes here.

    A worker that dies is replaced by another, which computes its row again. Raises InputError
    where dask is missing, the address makes no sense, or no scheduler answers.
    """
    local = re.fullmatch(r"local:([1-9][0-9]{0,3})", address)
    if not local and not re.fullmatch(r"(tcp|ws)://\S+:[0-9]+", address):
        raise InputError(f"cluster {address!r}: give tcp://HOST:PORT of a scheduler, or local:N")
    try:
        import distributed
        from distributed.utils import silence_logging_cmgr as silent
    except ImportError:
        raise InputError("a cluster needs dask: pip install 'hwsim[cluster]'") from None
    with ExitStack() as stack:
        # A scheduler that is gone, which dask logs with tracebacks, is an InputError of the runner.
        for root in ("distributed", "tornado"):
            stack.enter_context(silent(logging.CRITICAL + 1, root))
        made: Any = None
        if local:
            made = distributed.LocalCluster(
                n_workers=int(local[1]), threads_per_worker=1, processes=True,
                dashboard_address=None, silence_logs=50, env={"NUMBA_NUM_THREADS": "1"},
                # Else it is 8787, with a warning where another study has that.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            )  # fmt: skip
            stack.callback(_close, made)
            stack.enter_context(_kept_whole(made, int(local[1])))
        try:
            client = distributed.Client(made or address, timeout=PATIENCE)
        except (OSError, TimeoutError):
            raise InputError(f"no scheduler answers at {address}") from None
        stack.enter_context(client)
        rows = DaskRows(client)
        stack.enter_context(rows.watched())
        # Its scheduler keeps the queue, and workers may join at any time.
        yield rows, QUEUE


def _close(made: Any) -> None:
    """End a local cluster. What it raises says how a worker ended, perhaps long ago: not a row."""
    with suppress(Exception):
        made.close(timeout=CLOSING)


@contextmanager
def _kept_whole(made: Any, workers: int) -> Iterator[None]:
    """See to it that a local cluster has its workers again, however they ended.

    Dask replaces one that dies at work, but gives up its place where the next dies as it starts, or
    needs longer for that than ``distributed.deploy.lost-worker-timeout``. Rows would wait for ever.
    """
    from distributed.core import Status

    ended = threading.Event()

    async def renew() -> None:
        for name, nanny in list(made.workers.items()):
            if nanny.status in (Status.failed, Status.closed):
                del made.workers[name]
        made.scale(workers)  # opens what is missing

    def look() -> None:
        while not ended.wait(LOOK):
            with suppress(RuntimeError, OSError, TimeoutError):  # it looks again
                made.sync(renew)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)


@contextmanager
def chosen(jobs: int, address: str | None) -> Iterator[tuple[Executor, int]]:
    """(executor, rows at once) for what a user asked for."""
    if address is not None:
        with cluster(address) as pair:
            yield pair
    elif jobs > 1:
        with processes(jobs) as pair:
            yield pair
    else:
        yield Inline(), 1
