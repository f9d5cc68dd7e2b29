"""Waves of one inference: an FST trace of the Verilog, and a GTKWave save file by unit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import OUT_OF_CYCLES
from hwsim.cost.timing import analyze
from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.program.program import Program
from hwsim.rtl.errors import RtlError
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import RtlEngine

if TYPE_CHECKING:
    from vcd.gtkw import GTKWSave

#: Cycles in the middle of an inference whose trace tells how large the whole one will be.
SAMPLE = 2000
#: Bytes above which a trace is only written with --force.
LARGE = 1 << 30


@dataclass
class Scope:
    """A module instance in a trace: its signals as (name, bits), and the instances below."""

    name: str
    signals: list[tuple[str, int]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)


def total_cycles(program: Program) -> int:
    """Cycles of one inference in the simulation, the pixels' among them."""
    return analyze(program).cycles + int(np.prod(program.input_shape))


def expected_bytes(program: Program, image: NDArray[np.integer], first: int, last: int) -> int:
    """About how large the trace of these cycles will be, from some in their middle."""
    middle = (first + last) // 2
    recorded = min(SAMPLE, last - middle)
    with tempfile.TemporaryDirectory(prefix="hwsim-") as folder:
        path = Path(folder) / "sample.fst"
        with RtlEngine(program, waves=(path, middle, middle + recorded)) as engine:
            engine.run(image, trace=True, limit=middle + recorded)
        return path.stat().st_size * (last - first) // recorded


def record(
    program: Program, image: NDArray[np.integer], path: Path, first: int, last: int
) -> RtlRun:
    """Trace cycles first … last − 1 of one inference into ``path``; the save file stands beside it.

    Both appear whole or not at all. Raises RtlError where the engine refuses the image, or where
    the readers are missing.
    """
    check_readers()
    with replacing(path) as part:
        with RtlEngine(program, waves=(part, first, last)) as engine:
            run = engine.run(image, trace=True, limit=last)
        if run.status not in (0, OUT_OF_CYCLES):
            raise RtlError(f"the RTL refused the image (cause {run.status})")
        scopes = read_scopes(part)
    with replacing(save_path(path)) as part, part.open("w", encoding="utf-8") as file:
        _save_file(path, scopes, file)
    return run


def save_path(path: Path) -> Path:
    """Where the save file of a trace is."""
    return path.with_suffix(".gtkw")


# ---------------------------------------------------------------- the hierarchy of an FST file


def check_readers() -> None:
    """Raises RtlError where what reads traces and writes save files is not installed."""
    for name in ("pylibfst", "vcd"):
        if find_spec(name) is None:
            raise RtlError(
                "sorting a trace by unit needs pylibfst and pyvcd: pip install pylibfst pyvcd "
                "(where pylibfst has no wheel, that takes cmake and zlib)"
            )


def read_scopes(path: Path) -> list[Scope]:
    """The instances at the top of an FST file, with all below them.

    Parameters never change and are left out. Raises InputError for a file that is no FST.
    """
    from pylibfst import ffi, lib, string

    reader = lib.fstReaderOpen(str(path).encode())
    if reader == ffi.NULL:
        raise InputError(f"{path}: no FST file with a hierarchy")
    root = Scope("")
    stack = [root]
    constants = (lib.FST_VT_VCD_PARAMETER, lib.FST_VT_VCD_REAL_PARAMETER)
    try:
        lib.fstReaderIterateHierRewind(reader)
        while (step := lib.fstReaderIterateHier(reader)) != ffi.NULL:
            if step.htyp == lib.FST_HT_SCOPE:
                scope = Scope(string(step.u.scope.name))
                stack[-1].scopes.append(scope)
                stack.append(scope)
            elif step.htyp == lib.FST_HT_UPSCOPE:
                stack.pop()
            elif step.htyp == lib.FST_HT_VAR and step.u.var.typ not in constants:
                stack[-1].signals.append((string(step.u.var.name), step.u.var.length))
    finally:
        lib.fstReaderClose(reader)
    return root.scopes


# ---------------------------------------------------------------- GTKWave


#: The window opens on about a hundred cycles: GTKWave takes the binary logarithm of a scale.
_ZOOM = -8.0


def _save_file(trace: Path, scopes: list[Scope], file: TextIO) -> None:
    from vcd.gtkw import GTKWSave

    save = GTKWSave(file)
    save.comment(f"hwsim: signals of {trace.name} by unit; 10 ns are one cycle")
    save.dumpfile(str(trace.resolve()))
    save.timestart(0)
    save.size(1600, 900)
    save.zoom_markers(_ZOOM, marker=0)
    for scope in scopes:
        save.treeopen(scope.name)
        # The outermost scope holds the ports only, which the core shows again.
        for core in scope.scopes or [scope]:
            _core(save, core, f"{scope.name}." if scope.scopes else "")


def _core(save: GTKWSave, core: Scope, prefix: str) -> None:
    """The ports of the engine, open; then its units, closed; then the nets between them."""
    path, signals = f"{prefix}{core.name}", _shown(core)
    ports = [one for one in signals if one[0].split(" ")[0].endswith(("_i", "_o"))]
    with save.group(core.name):
        _lines(save, path, ports)
    for inner in core.scopes:
        _group(save, inner, f"{path}.")
    with save.group(f"{core.name} nets", closed=True):
        _lines(save, path, [one for one in signals if one not in ports])


def _group(save: GTKWSave, scope: Scope, prefix: str) -> None:
    """A unit's signals and the units below; closed until it is clicked on."""
    path, signals = f"{prefix}{scope.name}", _shown(scope)
    if not signals and not scope.scopes:
        return
    with save.group(scope.name.removeprefix("u_"), closed=True):
        _lines(save, path, signals)
        for inner in scope.scopes:
            _group(save, inner, f"{path}.")


def _shown(scope: Scope) -> list[tuple[str, int]]:
    return [(name, bits) for name, bits in scope.signals if name.split(" ")[0].isidentifier()]


def _lines(save: GTKWSave, path: str, signals: list[tuple[str, int]]) -> None:
    for name, bits in signals:
        save.trace(f"{path}.{name.replace(' ', '')}", datafmt="bin" if bits == 1 else "hex")
