"""RtlEngine: a Program on the Verilated engine, behind a pipe."""

from __future__ import annotations

import contextlib
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import COMMANDS, COUNTERS, FLAGS, SPACES
from hwsim.errors import InputError
from hwsim.program.layers import Shape
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rtl.build import build
from hwsim.rtl.errors import RtlError


@dataclass(frozen=True)
class RtlRun:
    """What the engine did with one image.

    status: 0, a key of CAUSES, or OUT_OF_CYCLES. logits: int64 (classes,), raw integers.
    probabilities: int64 (classes,), UQ1.16; empty without the probability unit. layers: COUNTERS of
    each layer; ``total`` there is the layer's cycles. counters: COUNTERS of the whole image. total:
    cycles from the last pixel to the last logit. simulated: cycles of the simulation, streams
    included. feature_maps: int64 (C, H, W) per layer but the last, if asked for; places that were
    not written hold −1.
    """

    status: int
    logits: NDArray[np.int64]
    probabilities: NDArray[np.int64]
    argmax: int
    layers: tuple[dict[str, int], ...]
    counters: dict[str, int]
    total: int
    simulated: int
    feature_maps: tuple[NDArray[np.int64], ...] = ()


class RtlEngine:
    """A program in the memories of a simulated engine; a context manager.

    ``run`` is bit-accurate and counts cycles; one process, one core. wake_up: seed of the random
    bits that registers and memories wake up with, instead of zeros. waves: FST file that a run
    with ``trace`` writes, of the cycles from the first up to, not with, the second number.
    """

    def __init__(
        self,
        program: Program,
        wake_up: int | None = None,
        waves: tuple[Path, int, int] | None = None,
    ) -> None:
        self.program = program
        command = [str(build(program.config, waves is not None))]
        command += ["-" if wake_up is None else str(wake_up), *map(str, waves or ())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.load(program)

    def load(self, program: Program) -> None:
        """Write all memories with those of ``program``, which must have the same configuration."""
        if program.config.verilog_parameters() != self.program.config.verilog_parameters():
            raise InputError("this simulation was built for another engine configuration")
        self.program = program
        for name, file in memory_files(program).items():
            line, mask = 0, np.uint64((1 << file.width) - 1)
            for values in memory_values(program, name):
                words = np.ascontiguousarray(values, np.int64).view(np.uint64) & mask
                self.write(name, line, words)
                line += len(words)

    def write(self, name: str, line: int, words: NDArray[np.uint64]) -> None:
        """Write whole lines of a memory: words uint64 (lines, fields), from ``line`` on."""
        self._send(struct.pack("<5I", COMMANDS["load"], SPACES[name], line, *words.shape))
        self._send(np.ascontiguousarray(words).tobytes())
        self._receive("<I")

    def read(self, name: str) -> NDArray[np.uint64]:
        """A memory of the engine as it stands, in the shape of its file: uint64 (lines, fields)."""
        file = memory_files(self.program)[name]
        self._send(struct.pack("<5I", COMMANDS["read"], SPACES[name], 0, file.lines, file.fields))
        count = file.lines * file.fields
        return np.array(self._receive(f"<{count}Q"), np.uint64).reshape(file.lines, file.fields)

    def run(
        self,
        image: NDArray[np.integer],
        *,
        maps: bool = False,
        idles: int | None = None,
        packet: int = 0,
        limit: int = 1 << 40,
        trace: bool = False,
    ) -> RtlRun:
        """One image, integers (C, H, W) in 0 … 2^ACT_W − 1.

        maps: record every feature map. idles: seed of random idles and back-pressure on the
        streams. packet: −1 or +1 for a packet that is a beat too short or too long. limit: most
        cycles, after which the engine is reset wherever it is. trace: write ``waves``. Raises
        InputError for what is no such image, RtlError where the simulation ended early.
        """
        self._check(image)
        beats = np.ascontiguousarray(image, np.uint16)
        asked = {"record": maps, "random": idles is not None, "short": packet < 0,
                 "long": packet > 0, "trace": trace}  # fmt: skip
        flags = sum(FLAGS[name] for name, wanted in asked.items() if wanted)
        self._send(struct.pack("<IIIQI", COMMANDS["run"], flags, idles or 0, limit, beats.size))
        self._send(beats.tobytes())
        status, classes, odds, argmax, layers, writes, cycles = self._receive("<6IQ")
        logits = np.array(self._receive(f"<{classes}q"), np.int64)
        probabilities = np.array(self._receive(f"<{odds}I"), np.int64)
        counters = np.array(self._receive(f"<{(layers + 1) * len(COUNTERS)}I"), np.int64)
        columns = 2 + self.program.config.cols
        written = np.array(self._receive(f"<{writes * columns}I"), np.int64).reshape(-1, columns)
        *ends, end = counters.reshape(layers + 1, len(COUNTERS))
        # The cycle before the first instruction belongs to no layer.
        before = np.zeros((1, len(COUNTERS)), np.int64)
        before[0, COUNTERS.index("total")] = 1
        return RtlRun(
            status=status,
            logits=logits,
            probabilities=probabilities,
            argmax=argmax,
            layers=tuple(_named(row) for row in np.diff([*before, *ends], axis=0)),
            counters=_named(end),
            total=int(end[0]) if layers else 0,
            simulated=cycles,
            feature_maps=tuple(self._maps(written)) if maps else (),
        )

    def _check(self, image: object) -> None:
        if not isinstance(image, np.ndarray) or image.dtype.kind not in "iu":
            kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"an image is a NumPy array of integers (C, H, W), not {kind}")
        if image.shape != self.program.input_shape:
            raise InputError(f"an image has shape {self.program.input_shape}, not {image.shape}")
        # The pipe would carry them modulo 2^16, and the engine fewer bits still.
        low, high, top = int(image.min()), int(image.max()), self.program.config.act_max
        if low < 0 or high > top:
            raise InputError(f"an image holds integers in 0 … {top}, got {low} … {high}")

    def _maps(self, written: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        steps = zip(self.program.layers, self.program.wires, strict=True)
        for number, (layer, wire) in enumerate(steps):
            if wire.target is None:
                return
            mine = written[written[:, 0] == number, 1:]
            mine[:, 0] -= self.program.first_line(wire.target)
            yield _map(mine, layer.out_shape)

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RtlError("the simulation of the RTL ended early") from None

    def _receive(self, layout: str) -> tuple[int, ...]:
        assert self._process.stdout is not None
        size = struct.calcsize(layout)
        data = self._process.stdout.read(size)
        if len(data) != size:
            raise RtlError("the simulation of the RTL ended early")
        return struct.unpack(layout, data)

    def close(self) -> None:
        """End the simulation."""
        for pipe in (self._process.stdin, self._process.stdout):
            # What a simulation that has died did not take any more.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()

    def __enter__(self) -> RtlEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _named(row: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(COUNTERS, map(int, row), strict=True))


def _map(writes: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    """Writes (line of it, COLS codes) as a map (C, H, W); lanes beyond the width are dropped."""
    channels, height, width = shape
    cols = writes.shape[1] - 1
    lines = np.full((channels * height * -(-width // cols), cols), -1, np.int64)
    lines[writes[:, 0]] = writes[:, 1:]
    return lines.reshape(channels, height, -1)[:, :, :width]
