"""A simulation that stalls: it is ended in due time, and the next image is exact."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hwsim.bus.constants import ALIVE_TICKS
from hwsim.rtl import exchange
from hwsim.rtl.errors import RtlError
from hwsim.rtl.exchange import SILENCE, ask
from hwsim.rtl.process import Simulation
from hwsim.rtl.simulator import RtlEngine
from tests.rtl import fakes
from tests.rtl.fakes import CannedEngine, alive, lives, message
from tests.rtl.scenes import (
    IMAGE,
    NO_PIXELS,
    NUMBER,
    PROGRAM,
    RUN,
    Place,
    at_run,
    exact,
    liar,
    refused,
    truth,
)  # fmt: skip

pytestmark = pytest.mark.rtl

GOOD = message(NUMBER, truth().payload())


@pytest.mark.parametrize(
    "words",
    [
        [],
        [GOOD[:3]],
        [GOOD[:-1]],
        [lives(NUMBER, 2)],
        [lives(NUMBER, 1), GOOD[:40]],
    ],
)
def test_silence_ends_it(words: list[bytes]) -> None:
    engine = liar(*words)
    refused(engine, "was silent for 120 s: it has been ended")
    assert engine.started[0].waited == SILENCE
    assert engine.started[0].ended


def test_signs_of_life_keep_it_however_long_it_takes() -> None:
    """Pauses of just less than what is too long, before each of them and before the answer."""

    class Slow(fakes.Canned):
        def move(self, data: memoryview) -> tuple[int, bytes | None, float]:
            took, said, waited = super().move(data)
            return took, said, waited if not said else SILENCE - 1

    words = [alive(NUMBER, ALIVE_TICKS * (n + 1)) for n in range(15)]
    engine = CannedEngine(PROGRAM, at_run(*words, GOOD))
    engine._simulation.__class__ = Slow
    exact(engine.run(IMAGE))
    assert len(engine.started) == 1


def test_single_bytes_are_no_signs_of_life() -> None:
    class Slow(fakes.Canned):
        def move(self, data: memoryview) -> tuple[int, bytes | None, float]:
            took, said, _ = super().move(data)
            return took, said, 1.0

    engine = liar(*(GOOD[n : n + 1] for n in range(len(GOOD))))
    engine._simulation.__class__ = Slow
    refused(engine, "was silent for 120 s")


STALLS = {
    "before it reads": "time.sleep(1000)",
    "with its memories half loaded": "def load(number, words):\n    take(9)\n    time.sleep(1000)",
    "at an image": "def run(number, beats):\n    time.sleep(1000)",
    "in an answer": (
        "def run(number, beats):\n    take(2 * beats)\n    say(message(number, RUN)[:50])\n    "
        "time.sleep(1000)"
    ),
    "stopped": "def run(number, beats):\n    os.kill(os.getpid(), signal.SIGSTOP)",
    "with its output closed to it": (
        "def run(number, beats):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    "
        "time.sleep(1000)"
    ),
    "talking to itself": (
        "def run(number, beats):\n    while True:\n        os.write(2, b'still at it\\n' * 99)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STALLS)
def test_a_process_that_stalls_is_ended(
    fake: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(STALLS[name])
    started: list[Simulation] = []

    class Seen(RtlEngine):
        silence = 0.2

        def _start(self) -> Simulation:
            started.append(super()._start())
            return started[-1]

    with pytest.raises(RtlError, match=r"was silent for 0\.2 s"), Seen(PROGRAM) as engine:
        engine.run(IMAGE)
    assert [one.process.poll() for one in started] == [-9]
    Seen.silence = SILENCE
    with Seen(PROGRAM) as engine:
        exact(engine.run(IMAGE))


def test_a_simulation_that_reads_nothing_does_not_keep_its_caller(tmp_path: Path) -> None:
    """A command that is larger than any pipe."""
    path = fakes.script(tmp_path / "hne", b"", "time.sleep(1000)")
    simulation = Simulation([str(path)])
    with pytest.raises(RtlError, match="was silent"):
        ask(simulation, bytes(1 << 22), 1, (0, 0), 0.2)
    assert simulation.process.poll() == -9


def test_a_stopped_caller_counts_no_silence(fake: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z and an hour: at most a slice of it is the simulation's."""
    fake("")
    hours = iter(range(0, 10**9, 3600))
    with RtlEngine(PROGRAM) as engine:
        monkeypatch.setattr("hwsim.rtl.process.time.monotonic", lambda: float(next(hours)))
        exact(engine.run(IMAGE))


def test_a_real_simulation_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    lived = exchange._Exchange._lives

    def note(self: exchange._Exchange, ticks: int) -> None:
        seen.append(ticks)
        lived(self, ticks)

    monkeypatch.setattr(exchange._Exchange, "_lives", note)
    with RtlEngine(PROGRAM) as engine:
        command = NO_PIXELS.pack(RUN, 0, 0, 100_000, 1, 0, 0)
        answer = ask(engine._simulation, command, 101_000, (0, 1000))
        assert struct.unpack_from("<I", answer) == (255,)
    assert seen == [ALIVE_TICKS * n for n in range(1, 7)]
