"""Processes that begin in milliseconds, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

_CONTEXT: list[ForkServerContext] = []


def context() -> ForkServerContext:
    """The fork server, which has no threads of its own and has imported ``tests.hostile.warm``."""
    if not _CONTEXT:
        made = multiprocessing.get_context("forkserver")
        made.set_forkserver_preload(["tests.hostile.warm"])
        _CONTEXT.append(made)
    return _CONTEXT[0]


def in_memory() -> str | None:
    """A folder whose files cost no disk, where there is one: for ``dir`` of tempfile."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def started(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A process that runs ``target(*arguments, answer)``, and the other end of ``answer``."""
    here, there = context().Pipe(duplex=False)
    process = context().Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    there.close()
    return process, here
