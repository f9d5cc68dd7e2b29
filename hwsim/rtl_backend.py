"""RtlBackend: an Engine whose logits come from the Verilog, for judging finished images."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.engine import Engine
from hwsim.program import Program
from hwsim.rtl import CAUSES, RtlEngine, RtlError, build
from hwsim.timing import analyze


class RtlBackend(Engine):
    """The same module as Engine; without gradients its logits are those of the simulated RTL.

    A forward pass that autograd records, and every gradient, is the Python twin's: adversarial
    images are crafted there and judged here. Each of ``workers`` processes simulates one engine;
    they start with the first image. A context manager, or ``close`` it.

    simulated: cycles and seconds that the simulations took so far, all workers together.
    """

    def __init__(self, program: Program, workers: int | None = None) -> None:
        super().__init__(program)
        self._workers = workers or os.cpu_count() or 1
        self._running = ExitStack()
        self._engines: list[RtlEngine] = []
        self._expected = analyze(program).cycles
        self.simulated = (0, 0.0)

    def _integers(self, maps: NDArray[Any], states: list[Any] | None) -> NDArray[np.int64]:
        if states is not None or len(maps) == 0:
            return super()._integers(maps, states)
        # Built before threads would do it twice.
        build(self.program.config)
        while len(self._engines) < min(self._workers, len(maps)):
            self._engines.append(self._running.enter_context(RtlEngine(self.program)))
        active = self._engines[: len(maps)]
        with ThreadPoolExecutor(len(active)) as threads:
            shares = range(len(active))
            done = list(
                threads.map(lambda n: self._share(active[n], maps[n :: len(active)]), shares)
            )
        logits = np.empty((len(maps), self.program.classes), np.int64)
        for n, (values, cycles, seconds) in enumerate(done):
            logits[n :: len(active)] = values
            before = self.simulated
            self.simulated = before[0] + cycles, before[1] + seconds
        return logits

    def _share(self, engine: RtlEngine, maps: NDArray[Any]) -> tuple[NDArray[Any], int, float]:
        start, cycles, rows = time.perf_counter(), 0, []
        for image in maps:
            run = engine.run(image.transpose(2, 0, 1))  # channels last in the fast path
            if run.status:
                raise RtlError(f"the RTL refused an image: {CAUSES.get(run.status, 'unknown')}")
            if run.total != self._expected:
                raise RtlError(
                    f"the RTL took {run.total} cycles where the timing model says "
                    f"{self._expected}: one of the two is wrong, please report it"
                )
            rows.append(run.logits)
            cycles += run.simulated
        return np.stack(rows), cycles, time.perf_counter() - start

    def close(self) -> None:
        """End the simulations."""
        self._running.close()
        self._engines.clear()

    def __enter__(self) -> RtlBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
