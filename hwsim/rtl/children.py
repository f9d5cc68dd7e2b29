"""Programs that start programs of their own: all of them end with the call that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType


def run_group(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """(exit status, standard error and output) of a program that reads nothing.

    It runs in a process group of its own: Ctrl-C reaches the caller alone, and whatever ends the
    call but the program's end, an interruption or SIGTERM as an exception, kills the whole group.
    Raises OSError where the program cannot be started.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with _deferred():
            process = subprocess.Popen(
                list(command), env=dict(environment), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
        output, errors = process.communicate()
    except BaseException:
        if process is not None:
            with process, suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, errors + output


@contextmanager
def _deferred() -> Iterator[None]:
    """What signals of the terminal and SIGTERM raise is raised when the block has ended.

    In the middle of starting a process it would leave one that nobody knows of.
    """
    came: list[tuple[int, FrameType | None]] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for signalled in came:
        handlers[signal.Signals(signalled[0])](*signalled)
