"""How every command ends: an exit code, and one line on stderr where it is not 0."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from hwsim.commands.group import hwsim
from hwsim.errors import INTERRUPTED
from hwsim.files.shown import shown

#: Errors of the machine rather than of the program, where no file is named.
_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM,
}  # fmt: skip


class OutputError(Exception):
    """Standard output takes no more; str() is one line. No OSError: those may be of any file."""


class TerminatedError(BaseException):
    """SIGTERM, as an exception, so that what is begun is cleaned up."""


class _Output(io.FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise OutputError("standard output was closed before all was written") from None
        except OSError as error:
            raise OutputError(f"standard output: {error.strerror or error}") from None


def run(on_interrupt: Any) -> None:
    """Run the command line, and exit. on_interrupt: the handler of SIGINT from here on."""
    warnings.formatwarning = lambda message, *_, **__: f"hwsim: warning: {_line(str(message))}\n"
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        if terminated is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        with _watched_output():
            signal.signal(signal.SIGINT, on_interrupt)
            code = hwsim.main(prog_name="hwsim", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)  # the terminal's own ^C stands in the way
        _fail(INTERRUPTED, 130)
    except TerminatedError:
        _fail("terminated: what was finished is kept; run the same command to go on", 143)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        at = error.ctx.command_path if error.ctx else "hwsim"
        _fail(f"{error.format_message().rstrip('.')} (see {at} --help)")
    except click.ClickException as error:
        _fail(error.format_message())
    except Exception as error:
        message = _of_user(error)
        if message is None:
            raise  # a bug keeps its traceback
        _fail(message)
    finally:
        signal.signal(signal.SIGTERM, terminated)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(*_: Any) -> NoReturn:
    raise TerminatedError


@contextmanager
def _watched_output() -> Iterator[None]:
    """Within it, what stdout does not take is an OutputError, at the latest when it ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows a ? instead
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper) or before.fileno() != 1:
        yield
        return
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "w", closefd=False)), encoding=before.encoding,
        errors="replace", line_buffering=before.line_buffering,
    )  # fmt: skip
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError:
        # What is still in the buffer must not be tried again when Python ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        raise
    finally:
        with suppress(OutputError):
            sys.stdout.flush()
        sys.stdout = before


def _of_user(error: Exception) -> str | None:
    """What to say about an error that comes from input or the machine, None for a bug."""
    from hwsim.errors import HwsimError

    # Where attacks has not been imported, the error is not from there.
    attacks = sys.modules.get("hwsim.attacks.core.errors")
    if isinstance(error, HwsimError) or (attacks and isinstance(error, attacks.AttackError)):
        return str(error)
    if isinstance(error, OutputError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return f"{error.strerror or error}: what was finished is kept"
    return None


def _line(message: str) -> str:
    return shown(" ".join(message.split()))


def _fail(message: str, code: int = 2) -> NoReturn:
    with suppress(OSError):  # a full stderr says nothing, but the exit code does
        click.echo(f"hwsim: {_line(message)}", err=True)
    sys.exit(code)
