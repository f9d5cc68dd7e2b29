"""RtlEngine: a Program on the Verilated engine, behind a pipe."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import (
    CAUSES,
    COMMANDS,
    FLAGS,
    MEMORY_READ,
    OUT_OF_CYCLES,
    SPACES,
)
from hwsim.cost.timing import analyze
from hwsim.errors import InputError
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rtl import answer
from hwsim.rtl.build import build
from hwsim.rtl.errors import RtlError
from hwsim.rtl.exchange import SILENCE, ask
from hwsim.rtl.outcome import RtlBatch, RtlRun, batch_of, feature_maps, run_of
from hwsim.rtl.process import Simulation

#: The head of an image or batch: rtl/sim/hne_sim.cpp.
_RUN = struct.Struct("<IIIQIII")


def cycle_limit(program: Program, cycles: int | None = None) -> int:
    """Cycles of the simulation in which an image has ended, twice over, random idles included.

    cycles: of the inference, where they are known; else the timing model counts them.
    """
    if cycles is None:
        cycles = analyze(program).cycles
    streams = int(np.prod(program.input_shape)) + program.classes
    # The probability unit and its streams take some tens of cycles a class.
    return 2 * (cycles + 4 * streams + 64 * program.classes) + 10_000


def refusal(status: int, limit: int | None = None) -> str:
    """What to say about a run of a compiled program that ended in ``status``, not 0."""
    if status == OUT_OF_CYCLES:
        within = "its limit of" if limit is None else f"{limit:,}"
        return f"the RTL did not end within {within} cycles: please report it"
    return f"the RTL refused an image: {CAUSES.get(status, 'unknown')}"


class RtlEngine:
    """A program in the memories of a simulated engine; a context manager.

    ``run`` is bit-accurate and counts cycles; one process, one core. wake_up: seed of the random
    bits that registers and memories wake up with, instead of zeros. waves: FST file that a run
    with ``trace`` writes, of the cycles from the first up to, not with, the second number.

    Where the simulation dies, says nothing for ``silence`` seconds or answers what cannot be, what
    was asked ends in an RtlError and the process is ended; the next image begins with a new one.
    """

    silence = SILENCE

    def __init__(
        self,
        program: Program,
        wake_up: int | None = None,
        waves: tuple[Path, int, int] | None = None,
    ) -> None:
        self._begin(build(program.config, waves is not None), wake_up, waves)
        self.program = program
        self._fill()

    def _begin(
        self, binary: Path, wake_up: int | None, waves: tuple[Path, int, int] | None = None
    ) -> None:
        """Start the process."""
        seed = "-" if wake_up is None else str(wake_up)
        self._command = [str(binary), seed, *map(str, waves or ())]
        self._closed = False
        self._limit: int | None = None
        self._simulation = self._start()

    def _start(self) -> Simulation:
        return Simulation(self._command)

    def load(self, program: Program) -> None:
        """Write all memories with those of ``program``, which must have the same configuration."""
        if program.config.verilog_parameters() != self.program.config.verilog_parameters():
            raise InputError("this simulation was built for another engine configuration")
        self.program = program
        self._limit = None
        self._alive()
        self._fill()

    def _fill(self) -> None:
        """Write all memories."""
        for name, file in memory_files(self.program).items():
            line, mask = 0, np.uint64((1 << file.width) - 1)
            for values in memory_values(self.program, name):
                words = np.ascontiguousarray(values, np.int64).view(np.uint64) & mask
                self._write(name, line, words)
                line += len(words)
        if self.program.held is not None and "index.mem" in self.program.held.words:
            self._clear_weights()
        #: Whether the memories hold what the program says, from which its answers follow.
        self._own = True

    def _clear_weights(self) -> None:
        """Zeros in the weight memory behind the program's: indices with faults may read them."""
        config, file = self.program.config, memory_files(self.program)["weights.mem"]
        rest = config.wgt_depth // config.banks - file.lines
        self._write("weights.mem", file.lines, np.zeros((rest, file.fields), np.uint64))

    def write(self, name: str, line: int, words: NDArray[np.uint64]) -> None:
        """Write whole lines of a memory: words uint64 (lines, fields), from ``line`` on.

        What then stands there may be no program of the compiler's: until the next ``load`` the
        answers are held to the limits of the engine only.
        """
        self._alive()
        self._own = False
        self._write(name, line, words)

    def _write(self, name: str, line: int, words: NDArray[np.uint64]) -> None:
        head = struct.pack("<5I", COMMANDS["load"], SPACES[name], line, *words.shape)
        self._ask(head + np.ascontiguousarray(words).tobytes(), words.size, (0, 0))

    def poke(self, name: str, line: int, field: int, word: int, flips: int = 0) -> None:
        """Write one word of a memory, as faults would leave it.

        flips: check bits that are stored wrong, where the engine has any (``EngineConfig.ecc``).
        To the engine a word with its check bits, then flipped, is another word with other check
        bits flipped: ``hwsim.faults.protection.stored`` says which.
        """
        self._alive()
        self._own = False
        place = struct.pack("<5IQ", COMMANDS["poke"], SPACES[name], line, field, flips, word)
        self._ask(place, 1, (0, 0))

    def read(self, name: str) -> NDArray[np.uint64]:
        """A memory of the engine as it stands, in the shape of its file: uint64 (lines, fields)."""
        file = memory_files(self.program)[name]
        count = file.lines * file.fields
        self._alive()
        head = struct.pack("<5I", COMMANDS["read"], SPACES[name], 0, file.lines, file.fields)
        found = self._ask(head, MEMORY_READ * count, (8 * count, 8 * count))
        return np.frombuffer(found, "<u8").astype(np.uint64).reshape(file.lines, file.fields)

    def run(
        self,
        image: NDArray[np.integer],
        *,
        maps: bool = False,
        idles: int | None = None,
        packet: int = 0,
        limit: int | None = None,
        trace: bool = False,
    ) -> RtlRun:
        """One image, integers (C, H, W) in 0 … 2^ACT_W − 1.

        maps: record every feature map. idles: seed of random idles and back-pressure on the
        streams. packet: −1 or +1 for a packet that is a beat too short or too long. limit: most
        cycles, after which the engine is reset wherever it is; left out, ``cycle_limit``. trace:
        write ``waves``. Raises InputError for what is no such image, RtlError where the simulation
        ended early, was silent for too long, or answered what cannot be.
        """
        self._check(image)
        said = self._run(
            image[None], maps=maps, idles=idles, packet=(0, packet), limit=limit, trace=trace
        )
        return run_of(said, tuple(self._maps(said.writes, 0)) if maps else ())

    def run_batch(
        self,
        images: NDArray[np.integer],
        *,
        maps: bool = False,
        idles: int | None = None,
        packet: tuple[int, int] = (0, 0),
        limit: int | None = None,
        trace: bool = False,
    ) -> RtlBatch:
        """The images of a batch, integers (images, C, H, W), up to ``config.batch`` of them.

        packet: the number of a packet, and −1 or +1 where that one is a beat too short or too long.
        Everything else is as of ``run``.
        """
        most = self.program.config.batch
        if not isinstance(images, np.ndarray) or images.ndim != 4:
            raise InputError("a batch is a NumPy array of integers (images, C, H, W)")
        if not 1 <= len(images) <= most:
            raise InputError(f"a batch of this engine has 1 … {most} images, not {len(images)}")
        if not 0 <= packet[0] < len(images):
            raise InputError(f"a batch of {len(images)} images has no packet {packet[0]}")
        for image in images:
            self._check(image)
        said = self._run(images, maps=maps, idles=idles, packet=packet, limit=limit, trace=trace)
        every = range(len(images)) if maps else ()
        return batch_of(said, tuple(tuple(self._maps(said.writes, n)) for n in every))

    def _run(
        self,
        images: NDArray[np.integer],
        *,
        maps: bool,
        idles: int | None,
        packet: tuple[int, int],
        limit: int | None,
        trace: bool,
    ) -> answer.SimulationAnswer:
        self._alive()
        beats = np.ascontiguousarray(images, np.uint16)
        number, change = packet
        flags_asked = {"record": maps, "random": idles is not None, "short": change < 0,
                       "long": change > 0, "trace": trace}  # fmt: skip
        flags = sum(FLAGS[name] for name, wanted in flags_asked.items() if wanted)
        if limit is None:
            self._limit = self._limit or cycle_limit(self.program)
            limit = len(images) * self._limit
        config, program = self.program.config, self.program if self._own else None
        # A packet that is a beat too short may be taken whole a beat earlier.
        asked = answer.Asked(config, program, len(images), beats.size + min(change, 0), limit, maps)
        head = _RUN.pack(COMMANDS["run"], flags, idles or 0, limit, len(images), number, beats.size)
        return self._answer(head + beats.tobytes(), asked)

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

    def _maps(self, written: NDArray[np.int64], image: int) -> Iterator[NDArray[np.int64]]:
        """Of one image of the batch."""
        return feature_maps(self.program, written, image)

    def _alive(self) -> None:
        """Start a process where the last one was ended, with the program in its memories."""
        if self._closed:
            raise RtlError("this simulation of the RTL was closed")
        if self._simulation.ended:
            self._simulation = self._start()
            self._fill()

    def _ask(self, command: bytes, ticks: int, sizes: tuple[int, int]) -> bytes:
        return ask(self._simulation, command, ticks, sizes, self.silence)

    def _answer(self, command: bytes, asked: answer.Asked) -> answer.SimulationAnswer:
        payload = self._ask(command, asked.ticks, asked.sizes)
        try:
            return answer.read(payload, asked)
        except RtlError:
            # Who lies once is asked nothing more.
            self.discard()
            raise

    def discard(self) -> None:
        """End the process; the next image begins with a new one."""
        self._simulation.kill()

    def abort(self) -> None:
        """End the simulation, from any thread: whoever waits for an answer gets an RtlError."""
        self._simulation.abort()

    def close(self) -> None:
        """End the simulation."""
        self._closed = True
        if not self._simulation.ended:
            self._simulation.close(self.silence)

    def __enter__(self) -> RtlEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
