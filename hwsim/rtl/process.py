"""Simulation: the process of a simulation, its three pipes, and how it ended."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, cast

from hwsim.rtl.errors import RtlError

#: Seconds that are waited for in one go. More are never counted at once: where this process itself
#: was stopped meanwhile, nobody knows what the simulation would have said.
SLICE = 1.0
#: Seconds that a process which has closed its output may take to end.
_LAST = 5.0
#: Bytes that are moved at once.
PIECE = 1 << 16
#: Bytes of what it said last on standard error.
_TAIL = 1 << 12


class Simulation:
    """A process whose pipes never make the caller wait.

    command: the program with its arguments. It runs in a session of its own: Ctrl-C reaches the
    caller alone, who ends it. sent: commands so far, for hwsim.rtl.exchange. Raises RtlError where
    it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, bufsize=0, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            said = error.strerror or str(error)
            raise RtlError(f"the simulation {command[0]} does not start: {said}") from None
        self.sent = 0
        self._errors = b""
        self._ready = selectors.PollSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        for pipe in self._pipes[1:]:
            self._ready.register(pipe, selectors.EVENT_READ)

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        return cast(Any, (self.process.stdin, self.process.stdout, self.process.stderr))

    @property
    def ended(self) -> bool:
        """Whether it has been ended, and takes no command any more."""
        return self._pipes[0].closed

    def move(self, data: memoryview) -> tuple[int, bytes | None, float]:
        """(bytes of ``data`` that it took, what it said, seconds waited: at most SLICE).

        What it said is b"" where that is nothing, and None where nothing will come any more.
        """
        stdin, stdout, stderr = self._pipes
        took, said = 0, b""
        start = time.monotonic()
        if data:
            self._ready.register(stdin, selectors.EVENT_WRITE)
        try:
            found = [key.fileobj for key, _ in self._ready.select(SLICE)]
        finally:
            if data:
                self._ready.unregister(stdin)
        waited = min(SLICE, time.monotonic() - start)
        if stderr in found:
            self._listen()
        if stdout in found:
            said = self._read(stdout)
            if not said:
                return 0, None, waited
        if stdin in found:
            # One that is ending takes no more; what it says last tells the rest.
            with suppress(BlockingIOError, BrokenPipeError):
                took = os.write(stdin.fileno(), data[:PIECE])
        return took, said, waited

    def said_now(self) -> bytes | None:
        """What it has said and nobody has read, as ``move`` says it; without waiting."""
        try:
            return self._read(self._pipes[1]) or None
        except BlockingIOError:
            return b""

    @staticmethod
    def _read(pipe: IO[bytes]) -> bytes:
        return os.read(pipe.fileno(), PIECE)

    def _listen(self) -> bool:
        """Take what is on standard error; False where nothing is there any more."""
        stderr = self._pipes[2]
        try:
            data = self._read(stderr)
        except BlockingIOError:
            return False
        if not data:
            with suppress(KeyError):
                self._ready.unregister(stderr)
        self._errors = (self._errors + data)[-_TAIL:]
        return bool(data)

    def last_words(self) -> str:
        """How it ended, now that it says no more, and the last line of its standard error."""
        try:
            code: int | None = self.process.wait(_LAST)
        except subprocess.TimeoutExpired:
            code = None
        # A megabyte at most: whoever goes on saying something is not listened to for ever.
        for _ in range(1 << 4):
            if not self._listen():
                break
        lines = self._errors.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return _ending(code) + (f": {last}" if last else "")

    def abort(self) -> None:
        """End it, from any thread: whoever waits for its answer is told that it ended."""
        self.process.kill()

    def kill(self) -> None:
        """End it now, if that has not been done."""
        self.process.kill()
        self._put_away()
        self.process.wait()

    def close(self, patience: float) -> None:
        """Let it end by itself, as it does where no command can come any more.

        patience: seconds after which it is ended.
        """
        self._put_away()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.process.kill()
            self.process.wait()

    def _put_away(self) -> None:
        self._ready.close()
        for pipe in self._pipes:
            pipe.close()


def _ending(code: int | None) -> str:
    if code is None:
        return "it closed its output and went on"
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
