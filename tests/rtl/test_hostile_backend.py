"""A simulation that dies, alone or among others: one line, and the next image is exact."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.bus.constants import COUNTERS
from hwsim.engine.module import Engine
from hwsim.rtl.backend import RtlBackend, RtlJudge
from hwsim.rtl.errors import RtlError
from hwsim.rtl.process import Simulation
from hwsim.rtl.simulator import RtlEngine
from tests.rtl import fakes
from tests.rtl.fakes import CannedEngine, Truth, alive, honest, lives, message
from tests.rtl.scenes import (
    IMAGE,
    NUMBER,
    PROGRAM,
    Place,
    at_run,
    ends,
    exact,
    liar,
    refused,
    truth,
)

pytestmark = pytest.mark.rtl


def test_the_true_answer_of_these_tests_is_that_of_the_verilog() -> None:
    """Every field of it but the waits of the streams, which nothing predicts."""
    with RtlEngine(PROGRAM) as engine:
        real = engine.run(IMAGE, maps=True)
    fake = CannedEngine(PROGRAM, honest(truth(maps=True).payload())).run(IMAGE, maps=True)
    for one, other in zip(
        [*real.layers, real.counters], [*fake.layers, fake.counters], strict=True
    ):
        assert {**one, "in_wait": 0, "out_wait": 0} == {**other, "in_wait": 0, "out_wait": 0}
    assert real.logits.tolist() == fake.logits.tolist()
    assert real.probabilities.tolist() == fake.probabilities.tolist()
    assert (real.argmax, real.total) == (fake.argmax, fake.total)
    for a, b in zip(real.feature_maps, fake.feature_maps, strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("maps", [False, True])
def test_the_truth_is_believed_in_pieces_of_any_size(maps: bool) -> None:
    whole = lives(NUMBER, 2) + message(NUMBER, truth(maps).payload())
    for size in (1, 7, len(whole)):
        pieces = [whole[n : n + size] for n in range(0, len(whole), size)]
        engine = CannedEngine(PROGRAM, at_run(*pieces))
        exact(engine.run(IMAGE, maps=maps), maps)
        assert len(engine.started) == 1


# ---------------------------------------------------------------- it dies


def test_death_at_any_byte_of_an_answer_is_one_line() -> None:
    whole = lives(NUMBER, 1) + message(NUMBER, truth().payload())
    for count in range(len(whole)):
        inside = count not in (0, len(alive(0, 0)))
        where = " in the middle of a message" if inside else ""
        engine = liar(whole[:count], None)
        refused(engine, f"^the simulation of the RTL ended early{where}: exit status 1$")
        assert len(engine.started) == 2


DEATHS = {
    "before the first word": ("os._exit(7)", r"ended early: exit status 7$"),
    "while it is loaded": (
        "def load(number, words):\n    take(9)\n    os._exit(0)", "ended early: exit status 0$",
    ),
    "behind the load": ("def run(number, beats):\n    os._exit(3)", "ended early: exit status 3$"),
    "with a reason": (
        """
        def run(number, beats):
            os.write(2, b"terminate called\\n  what():  bad_alloc\\n\\n")
            os.abort()
        """,
        r"ended early: ended by SIGABRT: what\(\):  bad_alloc$",
    ),
    "with half a reason": (
        """
        def run(number, beats):
            os.write(2, b"\\xff" * 70000 + b"\\nout of")
            os._exit(1)
        """,
        "ended early: exit status 1: out of$",
    ),
    "killed": (
        "def run(number, beats):\n    os.kill(os.getpid(), 9)", "ended early: ended by SIGKILL$",
    ),
    "in the answer": (
        "def run(number, beats):\n    say(message(number, RUN)[:-1])\n    os._exit(1)",
        "ended early in the middle of a message: exit status 1$",
    ),
    "with its output only": (
        "def run(number, beats):\n    os.close(1)\n    time.sleep(1000)",
        "ended early: it closed its output and went on$",
    ),
    "with its input only": (
        "def run(number, beats):\n    os.close(0)\n    os._exit(5)", "ended early: exit status 5$",
    ),
    "with words of Verilator": (
        """
        def run(number, beats):
            say(b"%Error: hne_core.v:9: did not converge\\n")
            os.abort()
        """,
        r"is not to be believed: it sent what is no message: '%Error: hne_core.v:9: did not",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEATHS)
def test_a_process_that_dies_says_how(
    fake: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, says = DEATHS[name]
    if name == "with its output only":
        monkeypatch.setattr("hwsim.rtl.process._LAST", 0.01)
    fake(behaviour)
    with pytest.raises(RtlError, match=says) as error, RtlEngine(PROGRAM) as engine:
        engine.run(IMAGE)
    assert "\n" not in str(error.value)
    with RtlEngine(PROGRAM) as engine:
        exact(engine.run(IMAGE))


# ---------------------------------------------------------------- many at once


def images(count: int) -> torch.Tensor:
    """The same image, ``count`` times."""
    return torch.from_numpy(np.stack([IMAGE / 255] * count).astype(np.float32))


TROUBLES = {
    "dies": "def run(number, beats):\n    os._exit(9)",
    "lies": "def run(number, beats):\n    say(message(number, RUN + bytes(4)))",
    "is interrupted": (
        "def run(number, beats):\n    os.kill(os.getppid(), signal.SIGINT)\n    time.sleep(1000)"
    ),
}


@pytest.mark.parametrize("kind", [RtlBackend, RtlJudge])
@pytest.mark.parametrize("name", TROUBLES)
def test_a_batch_of_which_one_simulation_fails_ends_all_and_the_next_is_exact(
    fake: Place, name: str, kind: type[RtlBackend]
) -> None:
    fake(TROUBLES[name])
    due = Engine(PROGRAM).integer_logits(images(1))
    with kind(PROGRAM, workers=2) as backend, torch.no_grad():
        with pytest.raises(KeyboardInterrupt if name == "is interrupted" else RtlError):
            backend.integer_logits(images(4))
        assert all(one._simulation.process.poll() is not None for one in backend._engines)
        assert torch.equal(backend.integer_logits(images(4)), due.expand(4, -1))


def test_counters_that_the_timing_model_denies_stop_a_batch(
    fake: Place,
) -> None:
    told = Truth(PROGRAM, IMAGE)
    told.counters[:, COUNTERS.index("drain")] += 1
    path = fake("")
    fakes.script(path, told.payload(), "")
    with (
        RtlBackend(PROGRAM, workers=1) as backend,
        pytest.raises(RtlError, match="conv, drain, by 1"),
    ):
        backend.integer_logits(images(1))


def test_logits_that_are_not_the_twins_stop_a_judge(
    fake: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RtlJudge, "first_map_difference", lambda *_: None)
    told = Truth(PROGRAM, IMAGE)
    told.logits[told.head["argmax"]] += 1
    path = fake("")
    fakes.script(path, told.payload(), "")
    with (
        RtlJudge(PROGRAM, workers=1) as judge,
        pytest.raises(RtlError, match=r"differs from its Python twin on image 1 .*logit of class"),
    ):
        judge.integer_logits(images(1))


def test_a_closed_engine_says_so() -> None:
    engine = CannedEngine(PROGRAM, honest(truth().payload()))
    engine.close()
    with pytest.raises(RtlError, match="was closed"):
        engine.run(IMAGE)


def test_what_does_not_start_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hne"
    path.write_bytes(b"\x7fELF")
    for mode in (0o644, 0o755):
        path.chmod(mode)
        with pytest.raises(RtlError, match=r"the simulation /.*/hne does not start: ") as error:
            Simulation([str(path)])
        assert "\n" not in str(error.value)


CHILD = """
import struct, sys
from hwsim.rtl import exchange
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.scenes import NO_PIXELS, PROGRAM, RUN
engine = RtlEngine(PROGRAM)
def lives(self, ticks):
    print(engine._simulation.process.pid, flush=True)
exchange._Exchange._lives = lives
exchange.ask(engine._simulation, NO_PIXELS.pack(RUN, 0, 0, 1 << 50, 1, 0, 0), 1 << 51, (0, 1000))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_simulation_outlives_whoever_waits_for_it(number: signal.Signals) -> None:
    """It would go on for 2^50 cycles."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        simulation = int(child.stdout.readline())
        child.send_signal(number)
        child.stdout.read()
    assert child.returncode != 0
    ends(simulation)
