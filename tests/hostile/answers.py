"""The answer of a simulation of the Verilog, as a file: read as ``RtlEngine`` reads its pipe."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.bus.constants import ALIVE_TICKS, COMMANDS, COUNTERS, MESSAGES
from hwsim.errors import HwsimError, InputError
from hwsim.files.reading import read_regular
from hwsim.numbers.config import load_config
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import cycle_limit
from tests.hostile.artefact import Artefact
from tests.hostile.mutations import Files
from tests.rtl.fakes import CannedEngine, Reply, Truth, alive, honest, message
from tests.rtl.samples import gradient_image, small_network

_HEAD, _SUM = struct.Struct("<IIQ"), struct.Struct("<I")
#: Bytes that come in one piece.
_PIECE = 100
_LIMIT = 1 << 20


class Answer(Artefact):
    """Two signs of life, and the answer to an image with its feature maps.

    ``forge`` makes length, number and sum right again; what is then believed is what stands there:
    a logit that could be is for the judge. After every refusal the next image is exact, in a new
    simulation.
    """

    name = "answers"

    def make(self, folder: Path, seed: int) -> Files:
        self.program = small_network(load_config("tiny"))
        truth = Truth(self.program, gradient_image(), maps=True).payload()
        self.limit = cycle_limit(self.program)
        self.number = CannedEngine(self.program, honest(b"")).started[0].sent
        self.truth = honest(truth)
        beats = [alive(self.number, ALIVE_TICKS * n) for n in (1, 2)]
        return {"answer": b"".join([*beats, message(self.number, truth)])}

    def read(self, folder: Path) -> Any:
        """The run, as values. A simulation that has said too little ends, or is silent."""
        try:
            data = read_regular(folder / "answer", _LIMIT)
        except OSError as error:  # the pipe of a process is no file, which is all that this is
            raise InputError(str(error)) from None
        engine = CannedEngine(self.program, self._words(data), self.truth)
        try:
            run = engine.run(gradient_image(), maps=True, limit=self.limit)
            # Left over from an answer, if anything: the next one must not begin with it.
            engine.read("program.mem")
        except HwsimError:
            if _values(engine.run(gradient_image(), maps=True, limit=self.limit)) != self.expected:
                raise AssertionError("the image after a refusal is not exact") from None
            raise
        self.run = run
        return _values(run)

    def _words(self, data: bytes) -> Reply:
        size = 8 * 16 * (len(self.program.layers) + 1)

        def reply(number: int, kind: int) -> list[bytes | None]:
            if kind == COMMANDS["run"]:
                pieces = [data[n : n + _PIECE] for n in range(0, len(data), _PIECE)]
                return [*pieces, *([None] if len(data) % 2 else [])]
            return [message(number, bytes(size) if kind == COMMANDS["read"] else b"")]

        return reply

    def forge(self, files: Files) -> Files | None:
        """The answer behind what still is a sign of life, in a message whose frame is right."""
        data, start = files["answer"], 0
        while data[start : start + 4] == _SUM.pack(MESSAGES["alive"]):
            start += _HEAD.size
        payload = data[start + _HEAD.size : -_SUM.size]
        return {"answer": data[:start] + message(self.number, payload)}

    def check(self, found: Any, files: Files) -> bool:
        """It is what stands there."""
        data = files["answer"]
        start = data.index(_SUM.pack(MESSAGES["answer"]))
        return _stands(data[start + _HEAD.size : -_SUM.size], self.run)


def _values(run: RtlRun) -> dict[str, Any]:
    """What can be compared."""
    return {
        "status": run.status, "logits": run.logits.tolist(), "argmax": run.argmax,
        "probabilities": run.probabilities.tolist(), "layers": run.layers,
        "counters": run.counters, "total": run.total, "simulated": run.simulated,
        "maps": [one.tolist() for one in run.feature_maps],
    }  # fmt: skip


def _stands(payload: bytes, run: RtlRun) -> bool:
    """Whether all but the maps of ``payload`` is what the run says."""
    before = dict.fromkeys(COUNTERS, 0) | {"total": 1}
    layers = np.cumsum([[row[name] for name in COUNTERS] for row in [before, *run.layers]], axis=0)
    end = [[run.counters[name] for name in COUNTERS]]
    (writes,) = struct.unpack_from("<I", payload, 20)
    head = struct.pack(
        "<6IQ", run.status, len(run.logits), len(run.probabilities), run.argmax, len(run.layers),
        writes, run.simulated,
    )  # fmt: skip
    parts = [(run.logits, "<i8"), (run.probabilities, "<u4"), (layers[1:], "<u4"), (end, "<u4")]
    return payload.startswith(head + b"".join(np.array(v, t).tobytes() for v, t in parts))
