"""What the tests of hostile simulations share: a program, its truth, and liars about it."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from hwsim.bus.constants import COMMANDS
from hwsim.numbers.config import load_config
from hwsim.rtl.errors import RtlError
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.fakes import CannedEngine, Reply, Truth, honest, message
from tests.rtl.samples import gradient_image, small_network

PROGRAM = small_network(load_config("tiny"))
IMAGE = gradient_image()
RUN = COMMANDS["run"]


@cache
def truth(maps: bool = False) -> Truth:
    return Truth(PROGRAM, IMAGE, maps)


def at_run(*words: bytes | None) -> Reply:
    """Honest about memories, and then these words."""

    def reply(number: int, kind: int) -> list[bytes | None]:
        return list(words) if kind == RUN else [message(number, b"")]

    return reply


def number_of_run() -> int:
    """How many commands fill the memories."""
    engine = CannedEngine(PROGRAM, honest(b""))
    return engine.started[0].sent


NUMBER = number_of_run()


def exact(run: RtlRun, maps: bool = False) -> None:
    due = truth(maps)
    assert run.status == 0
    assert run.logits.tolist() == due.logits.tolist()
    assert run.argmax == due.head["argmax"]
    assert run.simulated == due.head["cycles"]
    assert len(run.feature_maps) == (2 if maps else 0)


def refused(engine: RtlEngine, says: str, maps: bool = False) -> None:
    """One line that says so; then the next image, in another simulation, is exact."""
    with pytest.raises(RtlError, match=says) as error:
        engine.run(IMAGE, maps=maps)
    assert "\n" not in str(error.value)
    exact(engine.run(IMAGE, maps=maps), maps)


def liar(*words: bytes | None, maps: bool = False, early: bool = False) -> CannedEngine:
    """It is honest only when it is started again."""
    return CannedEngine(PROGRAM, at_run(*words), honest(truth(maps).payload()), early)


#: An image without pixels, for which the engine waits as long as it may.
NO_PIXELS = struct.Struct("<IIIQIII")


#: Puts a process of this behaviour in place of the binary; it is honest when started again.
Place = Callable[[str], Path]


def ends(process: int) -> None:
    """Waits for it; a zombie that nobody asks after has ended, too."""
    for _ in range(6000):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    pytest.fail(f"process {process} goes on")
