"""RtlBackend, RtlJudge: Engines whose logits come from the Verilog, for finished images."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.program.program import Program
from hwsim.rtl import counters
from hwsim.rtl.build import build
from hwsim.rtl.errors import RtlError
from hwsim.rtl.outcome import RtlBatch, RtlRun
from hwsim.rtl.simulator import RtlEngine, cycle_limit, refusal


def twin_maps(twin: Engine, image: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Feature maps (C, H, W) of the Python engine, by name of the layer that ends them.

    image: integers (H, W, C). The twin fuses a pool with the layer before it: that layer has none.
    """
    maps = twin.datapath.feature_maps(image[None])
    return {
        stage.name: out[0].transpose(2, 0, 1).astype(np.int64)
        for stage, out in zip(twin.datapath.stages[:-1], maps, strict=True)
    }


def first_map_difference(
    program: Program,
    expected: Mapping[str, NDArray[np.int64]],
    found: Sequence[NDArray[np.int64]],
) -> str | None:
    """Layer, channel, y, x, expected and got of the first activation that differs; else None.

    expected: by name of the layer. found: one map per layer, as of RtlRun.
    """
    names = [layer.name for layer in program.layers]
    for name, want in expected.items():
        got = found[names.index(name)]
        if (want != got).any():
            c, y, x = np.argwhere(want != got)[0]
            return (
                f"layer {name}, channel {c}, y {y}, x {x}: expected {want[c, y, x]}, "
                f"got {got[c, y, x]}"
            )
    return None


class RtlBackend(Engine):
    """The same module as Engine; without gradients its logits are those of the simulated RTL.

    A forward pass that autograd records, and every gradient, is the Python twin's: adversarial
    images are crafted there and judged here. Each of ``workers`` processes simulates one engine;
    they start with the first image. An engine of batches gets as many images at once as it takes.
    A context manager, or ``close`` it. A copy, pickled or deep, starts its own.

    simulated: cycles and seconds that the simulations took so far, all workers together.
    """

    def __init__(self, program: Program, workers: int | None = None) -> None:
        super().__init__(program)
        self._workers = workers or os.cpu_count() or 1
        self._running = ExitStack()
        self._engines: list[RtlEngine] = []
        self._expected = {1: analyze(program)}
        self.simulated = (0, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_running"], state["_engines"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._running, self._engines = ExitStack(), []

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        # Put there first: the simulations belong to this process and are not copied.
        memo[id(self._running)], memo[id(self._engines)] = ExitStack(), []
        return super().__deepcopy__(memo)

    @property
    def workers(self) -> int:
        """The most processes that simulate at once."""
        return self._workers

    def answer(self, maps: NDArray[Any]) -> NDArray[np.int64]:
        """Integer logits (N, classes) of gridded images (N, H, W, C), from the Verilog."""
        if len(maps) == 0:
            return super().answer(maps)
        # Built before threads would do it twice.
        build(self.program.config)
        while len(self._engines) < min(self._workers, len(maps)):
            self._engines.append(self._running.enter_context(RtlEngine(self.program)))
        active = self._engines[: len(maps)]
        # Of whole batches, and of the last one of each share.
        for n in range(len(active)):
            for count in map(len, self._groups(maps[n :: len(active)])):
                if count not in self._expected:
                    self._expected[count] = analyze(self.program, images=count)
        try:
            done = self._shared(active, maps)
        except BaseException:
            # Whatever one of them has been told meanwhile, the next image begins with new ones.
            for engine in active:
                engine.discard()
            raise
        logits = np.empty((len(maps), self.program.classes), np.int64)
        for n, (values, cycles, seconds) in enumerate(done):
            logits[n :: len(active)] = values
            before = self.simulated
            self.simulated = before[0] + cycles, before[1] + seconds
        return logits

    def _shared(
        self, active: Sequence[RtlEngine], maps: NDArray[Any]
    ) -> list[tuple[NDArray[Any], int, float]]:
        """What ``_share`` of each engine returns."""
        count = len(active)
        with ThreadPoolExecutor(count) as threads:
            try:
                shares = [
                    threads.submit(self._share, engine, maps[n::count])
                    for n, engine in enumerate(active)
                ]
                for done in as_completed(shares):
                    done.result()
            except BaseException:
                # The others would go on to the end of their shares, and be waited for.
                for engine in active:
                    engine.abort()
                raise
        return [share.result() for share in shares]

    def _share(self, engine: RtlEngine, maps: NDArray[Any]) -> tuple[NDArray[Any], int, float]:
        start, cycles, rows = time.perf_counter(), 0, []
        limit = cycle_limit(self.program, self._expected[1].cycles)
        for group in self._groups(maps):
            pixels = group.transpose(0, 3, 1, 2)  # the fast path: channels last
            most = limit * len(group)
            run: RtlRun | RtlBatch
            if self.program.config.batch > 1:
                run = engine.run_batch(pixels, limit=most)
            else:
                run = engine.run(pixels[0], limit=most)
            if run.status:
                raise RtlError(refusal(run.status, most))
            counters.check(self.image_report(self._expected[len(group)], pixels[0]), run)
            rows.append(run.logits.reshape(len(group), -1))
            cycles += run.simulated
        return np.concatenate(rows), cycles, time.perf_counter() - start

    def _groups(self, maps: NDArray[Any]) -> list[NDArray[Any]]:
        """Images that go through the engine together."""
        size = self.program.config.batch
        return [maps[start : start + size] for start in range(0, len(maps), size)]

    def first_map_difference(self, image: NDArray[Any]) -> str | None:
        """Layer, channel, y, x, expected and got of the first activation that differs.

        image: integers (H, W, C). None where all feature maps are equal. It runs the image again.
        """
        limit = cycle_limit(self.program, self._expected[1].cycles)
        with RtlEngine(self.program) as engine:
            found = engine.run(image.transpose(2, 0, 1), maps=True, limit=limit).feature_maps
        return first_map_difference(self.program, twin_maps(self, image), found)

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


def _ignore(count: int) -> None:
    """Nobody wants to know; by name, so that it can be pickled."""


class RtlJudge(RtlBackend):
    """A backend that runs each distinct image once and holds every logit against the twin's.

    Raises RtlError at the first difference. known: logits by digest of the image; what an earlier
    run knew may be put there. on_judged: called with the number of images that were just done.
    """

    def __init__(self, program: Program, workers: int | None = None) -> None:
        super().__init__(program, workers)
        self.known: dict[str, list[int]] = {}
        self.on_judged: Callable[[int], None] = _ignore

    def answer(self, maps: NDArray[Any]) -> NDArray[np.int64]:
        """As RtlBackend's, of images that were not asked for before."""
        keys = [hashlib.sha256(image.tobytes()).hexdigest()[:32] for image in maps]
        first = {key: n for n, key in reversed(list(enumerate(keys))) if key not in self.known}
        new = sorted(first.values())
        # One image or batch a worker at a time, so that the progress is seen.
        step = self._workers * self.program.config.batch
        for start in range(0, len(new), step):
            chosen = new[start : start + step]
            images = np.ascontiguousarray(maps[chosen])
            got = super().answer(images)
            self._compare(images, got, self.datapath.run(images).logits)
            self.known |= {keys[n]: row.tolist() for n, row in zip(chosen, got, strict=True)}
            self.on_judged(len(chosen))
        rows = [self.known[key] for key in keys]
        return np.array(rows, np.int64).reshape(len(maps), self.program.classes)

    def _compare(
        self, images: NDArray[Any], got: NDArray[np.int64], expected: NDArray[np.int64]
    ) -> None:
        wrong = np.argwhere(got != expected)
        if len(wrong) == 0:
            return
        row, logit = wrong[0]
        where = self.first_map_difference(images[row])
        raise RtlError(
            f"the RTL differs from its Python twin on image {len(self.known) + int(row) + 1} of "
            f"those judged, logit of class {logit}: expected {expected[row, logit]}, got "
            f"{got[row, logit]}; {where or 'all feature maps are equal'}"
        )
