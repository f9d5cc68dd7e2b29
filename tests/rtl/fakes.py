"""Simulations that are none: true answers from the oracle, and what a process may do instead.

``Canned`` takes the place of a process within this one, in a time of its own; ``script`` is a real
process in place of the binary.
"""

from __future__ import annotations

import stat
import struct
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import ALIVE_TICKS, COMMANDS, COUNTERS, MESSAGES
from hwsim.cost.timing import analyze
from hwsim.engine.reference import run as oracle
from hwsim.program.program import Program
from hwsim.rtl.process import SLICE, Simulation
from hwsim.rtl.simulator import RtlEngine

FIELDS = ("status", "logits", "probabilities", "argmax", "layers", "writes", "cycles")


def message(number: int, payload: bytes) -> bytes:
    """An answer as it comes through the pipe."""
    head = struct.pack("<IIQ", MESSAGES["answer"], number, len(payload))
    return head + payload + struct.pack("<I", zlib.adler32(payload))


def alive(number: int, ticks: int) -> bytes:
    """A sign of life."""
    return struct.pack("<IIQ", MESSAGES["alive"], number, ticks)


class Truth:
    """What the simulation of ``program`` answers to an image; everything in it can be changed."""

    def __init__(self, program: Program, image: NDArray[Any], maps: bool = False) -> None:
        trace, report, config = oracle(program, image), analyze(program), program.config
        self.logits = np.array(trace.logits, "<i8")
        self.probabilities = np.array(trace.probabilities if config.softmax else [], "<u4")
        rows, total = [], np.zeros(len(COUNTERS), np.int64)
        total[0] = 1
        for timed in report.layers:
            added = {name: getattr(timed, name, 0) for name in COUNTERS} | {"total": timed.cycles}
            total = total + [added[name] for name in COUNTERS]
            rows.append(total)
        end = total.copy()
        end[0], end[COUNTERS.index("softmax")] = report.cycles, report.softmax
        self.counters = np.array([*rows, end], "<u4")
        found = list(_writes(program, trace.feature_maps)) if maps else []
        self.writes = np.array(found, "<u4").reshape(-1, 3 + config.cols)
        cycles = report.cycles + image.size + program.classes + report.softmax
        self.head = {
            "status": 0, "logits": len(self.logits), "probabilities": len(self.probabilities),
            "argmax": trace.argmax, "layers": len(rows), "writes": len(self.writes),
            "cycles": cycles,
        }  # fmt: skip

    def payload(self, **changes: int) -> bytes:
        """The answer, with other fields in its head."""
        head = struct.pack("<6IQ", *({**self.head, **changes}[name] for name in FIELDS))
        parts = (self.logits, self.probabilities, self.counters, self.writes)
        return head + b"".join(part.tobytes() for part in parts)


def _writes(program: Program, maps: Sequence[NDArray[Any]]) -> Iterable[list[int]]:
    cols = program.config.cols
    for number, (wire, values) in enumerate(zip(program.wires, maps, strict=True)):
        if wire.target is None:
            return
        c, h, w = values.shape
        padded = np.zeros((c, h, -(-w // cols) * cols), np.int64)
        padded[:, :, :w] = values
        first = program.first_line(wire.target)
        for line, codes in enumerate(padded.reshape(-1, cols).tolist()):
            yield [number, 0, first + line, *codes]


#: What is said to a command: its number and its kind -> pieces; None: the process has ended.
Reply = Callable[[int, int], Iterable[bytes | None]]


def honest(run: bytes) -> Reply:
    """Every load is acknowledged, every image has the answer ``run``."""

    def reply(number: int, kind: int) -> list[bytes]:
        return [message(number, run if kind == COMMANDS["run"] else b"")]

    return reply


class Canned(Simulation):
    """A simulation of given words. Where it has none left it is silent, and a slice passes.

    early: it speaks when the first byte of a command has come.
    """

    def __init__(self, reply: Reply, early: bool = False) -> None:
        self.sent = 0
        self._reply, self._early = reply, early
        self._words: list[bytes | None] = []
        self._replied = -1
        self._ended = False
        self.waited = 0.0

    @property
    def ended(self) -> bool:
        return self._ended

    def move(self, data: memoryview) -> tuple[int, bytes | None, float]:
        number = self.sent - 1
        if data and self._replied < number:
            self._replied = number
            self._words += self._reply(number, int.from_bytes(data[:4], "little"))
            return 1 if self._early else len(data), b"", 0.0
        if not self._words:
            self.waited += SLICE
            return 0, b"", SLICE
        return 0, self._words.pop(0), 0.0

    def said_now(self) -> bytes | None:
        return self._words.pop(0) if self._words else b""

    def last_words(self) -> str:
        return "exit status 1"

    def abort(self) -> None:
        self._words.append(None)

    def kill(self) -> None:
        self._ended = True

    def close(self, patience: float) -> None:
        self._ended = True


class CannedEngine(RtlEngine):
    """An engine on canned simulations: the first says ``first``, all others ``then``.

    started: all there have been.
    """

    def __init__(
        self, program: Program, first: Reply, then: Reply | None = None, early: bool = False
    ) -> None:
        self.replies, self.then, self.early = [first], then or first, early
        self.started: list[Canned] = []
        self.program = program
        self._begin(Path("canned"), None)
        self._fill()

    def _start(self) -> Simulation:
        reply = self.replies.pop(0) if self.replies else self.then
        self.started.append(Canned(reply, self.early and not self.started))
        return self.started[-1]


def lives(number: int, count: int) -> bytes:
    """The first signs of life of a command."""
    return b"".join(alive(number, ALIVE_TICKS * (n + 1)) for n in range(count))


_SCRIPT = """\
#!{python} -ISs
import os, signal, struct, sys, time, zlib
RUN = bytes.fromhex("{run}")
FIRST = True
try:
    os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    FIRST = False

def take(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data

def say(data):
    while data:
        data = data[os.write(1, data):]

def message(number, data):
    head = struct.pack("<IIQ", {answer}, number, len(data))
    return head + data + struct.pack("<I", zlib.adler32(data))

def alive(number, ticks):
    say(struct.pack("<IIQ", {alive}, number, ticks))

def load(number, words):
    take(8 * words)
    say(message(number, b""))

def run(number, beats):
    take(2 * beats)
    say(message(number, RUN))

honest_load, honest_run = load, run
if FIRST:
    pass
{behaviour}
number = 0
while True:
    (kind,) = struct.unpack("<I", take(4))
    if kind == 1:
        _, _, lines, fields = struct.unpack("<4I", take(16))
        load(number, lines * fields)
    if kind == 2:
        run(number, struct.unpack("<IIQIII", take(28))[5])
    number += 1
"""


def script(path: Path, run: bytes, behaviour: str) -> Path:
    """A program that answers every image with ``run``, but for ``behaviour`` when first started.

    behaviour: Python, with other functions ``load(number, words)`` or ``run(number, beats)``.
    """
    lines = textwrap.indent(textwrap.dedent(behaviour), "    ")
    path.write_text(_SCRIPT.format(
        python=sys.executable, run=run.hex(), mark=str(path.with_suffix(".mark")),
        answer=MESSAGES["answer"], alive=MESSAGES["alive"], behaviour=lines,
    ))  # fmt: skip
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
