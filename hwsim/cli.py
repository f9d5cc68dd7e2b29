"""Entry point of `hwsim`: open streams, and one line however early the user interrupts.

Nothing but what Python has loaded anyway and our errors is imported before that is arranged.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from hwsim.errors import INTERRUPTED


def main() -> None:
    """Entry point. Exit codes: 0 done, 2 bad input or a full disk, 130 interrupted, 143 terminated.

    Whatever is not 0 comes with one line on stderr.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # While modules load, an exception may end up anywhere in them.
        signal.signal(signal.SIGINT, _at_once)
    try:
        _open_streams()
        from hwsim.commands.ending import run
    except BaseException:
        signal.signal(signal.SIGINT, before)
        raise
    run(before)


def _at_once(*_: Any) -> None:
    try:
        end = "\n" if os.isatty(2) else ""  # the terminal's own ^C stands in the way
        os.write(2, f"{end}hwsim: {INTERRUPTED}\n".encode())
    finally:
        os._exit(130)


def _open_streams() -> None:
    """A closed stream leaves its number to the next file that is opened, which output would hit."""
    for number in (0, 2):
        if not _is_open(number):
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:  # another one is closed, too
                os.dup2(null, number)
                os.close(null)
    if not _is_open(1):
        os.write(2, b"hwsim: standard output is closed: give it a file, or >/dev/null\n")
        sys.exit(2)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
