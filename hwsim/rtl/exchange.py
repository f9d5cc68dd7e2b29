"""One command and its answer; whatever a simulation does instead is one line, in due time.

rtl/sim/hne_sim.cpp describes the messages. Nothing that comes is believed: not that an answer
comes, not how long it says that it will be, not that what comes belongs to this command.
"""

from __future__ import annotations

import struct
import zlib
from typing import NoReturn

from hwsim.bus.constants import ALIVE_TICKS, MESSAGES
from hwsim.rtl.errors import RtlError
from hwsim.rtl.process import PIECE, Simulation

#: Seconds without a sign of life after which a simulation is ended. One comes every ALIVE_TICKS
#: clock cycles, which take 16 s at 1,000 cycles a second; nothing that was measured is so slow.
SILENCE = 120.0
_HEAD, _SUM = struct.Struct("<IIQ"), struct.Struct("<I")


def ask(
    simulation: Simulation,
    command: bytes,
    ticks: int,
    sizes: tuple[int, int],
    silence: float = SILENCE,
) -> bytes:
    """The answer to a command.

    ticks: clock cycles that it takes at most. sizes: bytes of the answer, the least and the most.
    silence: seconds. Raises RtlError where the process ends, is silent for too long, or sends
    anything but signs of life and then this answer. After that, and after an interruption, the
    process has been ended: what it would say next might belong to this command.
    """
    try:
        if simulation.ended:
            raise RtlError("the simulation of the RTL has been ended")
        return _Exchange(simulation, command, ticks, sizes).run(silence)
    except BaseException:
        simulation.kill()
        raise


class _Exchange:
    """What has come so far.

    data: bytes that have come and are not understood yet. alive: clock cycles by the last sign of
    life. size: bytes of the answer, once it has said so.
    """

    def __init__(
        self, simulation: Simulation, command: bytes, ticks: int, sizes: tuple[int, int]
    ) -> None:
        self.simulation, self.ticks, self.sizes = simulation, ticks, sizes
        self.left = memoryview(command)
        self.number = simulation.sent
        simulation.sent += 1
        self.data = bytearray()
        self.alive = 0
        self.size: int | None = None

    def run(self, silence: float) -> bytes:
        before = self.simulation.said_now()
        if before:
            self._surplus(before)
        quiet, mark = 0.0, self._mark()
        while True:
            took, said, waited = self.simulation.move(self.left)
            if said is None:
                self._ended()
            self.left = self.left[took:]
            self.data += said
            answer = self._understood()
            if answer is not None:
                return answer
            quiet = quiet + waited if mark == self._mark() else 0.0
            mark = self._mark()
            if quiet >= silence:
                raise RtlError(
                    f"the simulation of the RTL was silent for {silence:g} s: it has been ended"
                )

    def _mark(self) -> tuple[int, ...]:
        """Changes with what counts as going on; single bytes do not."""
        begun = self.size is not None
        return self.alive, begun, len(self.left) // PIECE, not self.left, len(self.data) // PIECE

    def _understood(self) -> bytes | None:
        """The answer, once it is there."""
        while self.size is None:
            if len(self.data) >= 4 and self.data[:4] not in _KINDS:
                _refuse(f"sent what is no message: {_text(self.data)}")
            if len(self.data) < _HEAD.size:
                return None
            kind, number, value = _HEAD.unpack_from(self.data)
            del self.data[: _HEAD.size]
            if number != self.number:
                _refuse(f"sent a message of command {number} at command {self.number}")
            self._answers(value) if kind == MESSAGES["answer"] else self._lives(value)
        whole = self.size + _SUM.size
        if len(self.data) < whole:
            return None
        if len(self.data) > whole:
            self._surplus(self.data[whole:])
        payload = bytes(self.data[: self.size])
        if _SUM.unpack_from(self.data, self.size)[0] != zlib.adler32(payload):
            _refuse("sent an answer whose sum is wrong")
        return payload

    def _lives(self, ticks: int) -> None:
        if ticks != self.alive + ALIVE_TICKS:
            _refuse(f"says that it is at cycle {ticks:,} after {self.alive:,}")
        if ticks > self.ticks:
            _refuse(f"works for {ticks:,} cycles on what takes {self.ticks:,} at most")
        self.alive = ticks

    def _answers(self, size: int) -> None:
        if self.left:
            _refuse("answers before it was asked")
        least, most = self.sizes
        if not least <= size <= most:
            due = f"{least:,}" if least == most else f"{least:,} … {most:,}"
            _refuse(f"answers with {size:,} bytes where {due} are due")
        self.size = size

    def _surplus(self, data: bytes | bytearray) -> NoReturn:
        _refuse(f"sent {len(data):,} bytes that nobody asked for: {_text(data)}")

    def _ended(self) -> NoReturn:
        where = " in the middle of a message" if self.data or self.size is not None else ""
        how = self.simulation.last_words()
        raise RtlError(f"the simulation of the RTL ended early{where}: {how}")


_KINDS = [_SUM.pack(kind) for kind in MESSAGES.values()]


def _refuse(what: str) -> NoReturn:
    raise RtlError(f"the simulation of the RTL is not to be believed: it {what}")


def _text(data: bytes | bytearray) -> str:
    return repr(bytes(data[:48]))[1:] + ("" if len(data) <= 48 else " …")
