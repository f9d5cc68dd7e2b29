"""A batch cut into chunks that stay in cache, and the threads that take them.

Each worker thread takes whole chunks through all layers, so that there is no barrier between
layers and no thread pool inside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

from hwsim.engine.openmp import rest
from hwsim.program.workspace import at_once

#: Images per chunk: feature maps of the MNIST network then stay inside the L2/L3 caches.
CHUNK = 64

Result = TypeVar("Result")

#: Whether this process was forked from one that may have had torch threads. They did not come
#: along, and torch's OpenMP waits for them for ever, in products and in the additions and copies
#: of whoever attacks the engine. One thread needs none of them (torch's own data loaders do the
#: same); a caller who sets more threads in the child still has products made in workers of it.
_FORKED = False


def _note_fork() -> None:
    global _FORKED
    _FORKED = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _single_threaded() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # torch's lazy set-up of this thread, before the default changes back


@lru_cache(maxsize=1)
def _workers(count: int, process: int) -> ThreadPoolExecutor:
    """Worker threads in which torch does not start threads of its own."""
    pool = ThreadPoolExecutor(count, "hwsim", initializer=_single_threaded)
    together = Barrier(count)  # all threads start now: a later one would change the default again
    list(pool.map(lambda _: together.wait(), range(count)))
    # The thread count is per thread, except for the default of threads yet to come: restore that.
    torch.set_num_threads(count)
    return pool


def in_chunks(
    total: int, task: Callable[[slice], Result], chunk: int = CHUNK, each: int = 0
) -> Sequence[Result]:
    """``task`` over slices of range(total), on as many threads as torch may use, in order.

    each: bytes that one of ``total`` needs; all at work together keep to ``workspace.BUDGET``.
    In a forked process even a single one runs in a worker of this process.
    """
    count = torch.get_num_threads()
    most, at_work = at_once(each, chunk, count)
    size = max(1, min(most, -(-total // count)))
    slices = [slice(start, min(start + size, total)) for start in range(0, total, size)]
    if count == 1 or (not _FORKED and (at_work < count or len(slices) <= 1)):
        return [task(piece) for piece in slices]
    if not _FORKED:
        rest()
    if at_work < count:  # forked, and room for one at a time only
        return [_workers(count, os.getpid()).submit(task, piece).result() for piece in slices]
    return list(_workers(count, os.getpid()).map(task, slices))
