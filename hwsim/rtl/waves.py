"""Waves of one inference: an FST trace of the Verilog, and a GTKWave save file by unit."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.bus.constants import OUT_OF_CYCLES
from hwsim.cost.timing import analyze
from hwsim.errors import InputError
from hwsim.files.file import replacing
from hwsim.program.program import Program
from hwsim.rtl.simulator import RtlEngine, RtlError, RtlRun

#: Cycles in the middle of an inference whose trace tells how large the whole one will be.
SAMPLE = 2000
#: Bytes above which a trace is only written with --force.
LARGE = 1 << 30

_HIERARCHY = 6  # block of an FST file: its hierarchy, packed by LZ4
_SCOPE, _UPSCOPE, _ATTRIBUTE, _ATTRIBUTE_END = 254, 255, 252, 253
_PARAMETERS = {2, 4}  # types of variables that never change


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

    Both appear whole or not at all. Raises RtlError where the engine refuses the image.
    """
    with replacing(path) as part:
        with RtlEngine(program, waves=(part, first, last)) as engine:
            run = engine.run(image, trace=True, limit=last)
        if run.status not in (0, OUT_OF_CYCLES):
            raise RtlError(f"the RTL refused the image (cause {run.status})")
        scopes = read_scopes(part)
    with replacing(save_path(path)) as part:
        part.write_text("\n".join(_save_file(path, scopes)) + "\n", encoding="utf-8")
    return run


def save_path(path: Path) -> Path:
    """Where the save file of a trace is."""
    return path.with_suffix(".gtkw")


# ---------------------------------------------------------------- the hierarchy of an FST file


def read_scopes(path: Path) -> list[Scope]:
    """The instances at the top of an FST file, with all below them."""
    data = path.read_bytes()
    at = 0
    while at + 9 <= len(data):
        kind, length = data[at], struct.unpack_from(">Q", data, at + 1)[0]
        if kind == _HIERARCHY:
            return _parse(_unpack(data[at + 17 : at + 1 + length]))
        at += 1 + length
    raise InputError(f"{path}: no FST file with a hierarchy")


def _unpack(block: bytes) -> bytes:
    """An LZ4 block."""
    out, at = bytearray(), 0

    def length(value: int) -> int:
        nonlocal at
        if value == 15:
            while True:
                at += 1
                value += block[at - 1]
                if block[at - 1] != 255:
                    break
        return value

    while at < len(block):
        token = block[at]
        at += 1
        count = length(token >> 4)
        out += block[at : at + count]
        at += count
        if at >= len(block):
            break
        back = block[at] | block[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-back])
    return bytes(out)


def _parse(data: bytes) -> list[Scope]:
    root = Scope("")
    stack, at = [root], 0

    def text() -> str:
        nonlocal at
        end = data.index(0, at)
        found, at = data[at:end].decode(), end + 1
        return found

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = data[at]
        at += 1
        if tag == _SCOPE:
            at += 1
            scope = Scope(text())
            text()
            stack[-1].scopes.append(scope)
            stack.append(scope)
        elif tag == _UPSCOPE:
            stack.pop()
        elif tag == _ATTRIBUTE:
            at += 2
            text()
            number()
        elif tag != _ATTRIBUTE_END:
            at += 1
            name, bits = text(), number()
            number()
            if tag not in _PARAMETERS:
                stack[-1].signals.append((name, bits))
    return root.scopes


# ---------------------------------------------------------------- GTKWave


#: The window opens on about a hundred cycles: GTKWave takes the binary logarithm of a scale.
_ZOOM = "*-8.000000 0" + " -1" * 27


def _save_file(trace: Path, scopes: list[Scope]) -> Iterator[str]:
    yield f"[*] hwsim: signals of {trace.name} by unit; 10 ns are one cycle"
    yield f'[dumpfile] "{trace.resolve()}"'
    yield "[timestart] 0"
    yield "[size] 1600 900"
    yield _ZOOM
    for scope in scopes:
        yield f"[treeopen] {scope.name}."
        # The outermost scope holds the ports only, which the core shows again.
        for core in scope.scopes or [scope]:
            yield from _core(core, f"{scope.name}." if scope.scopes else "")


def _core(core: Scope, prefix: str) -> Iterator[str]:
    """The ports of the engine, open; then its units, closed; then the nets between them."""
    path, signals = f"{prefix}{core.name}", _shown(core)
    ports = [one for one in signals if one[0].split(" ")[0].endswith(("_i", "_o"))]
    yield from _titled(core.name, _lines(path, ports), opened=True)
    for inner in core.scopes:
        yield from _group(inner, f"{path}.")
    rest = [one for one in signals if one not in ports]
    yield from _titled(f"{core.name} nets", _lines(path, rest))


def _group(scope: Scope, prefix: str) -> Iterator[str]:
    """A unit's signals and the units below; closed until it is clicked on."""
    path, signals = f"{prefix}{scope.name}", _shown(scope)
    if not signals and not scope.scopes:
        return

    def inside() -> Iterator[str]:
        yield from _lines(path, signals)
        for inner in scope.scopes:
            yield from _group(inner, f"{path}.")

    yield from _titled(scope.name.removeprefix("u_"), inside())


def _shown(scope: Scope) -> list[tuple[str, int]]:
    return [(name, bits) for name, bits in scope.signals if name.split(" ")[0].isidentifier()]


def _titled(title: str, inside: Iterator[str], opened: bool = False) -> Iterator[str]:
    """A group of GTKWave around these lines."""
    yield "@800200" if opened else "@c00200"
    yield f"-{title}"
    yield from inside
    yield "@1000200" if opened else "@1401200"
    yield f"-{title}"


def _lines(path: str, signals: list[tuple[str, int]]) -> Iterator[str]:
    for name, bits in signals:
        yield "@28" if bits == 1 else "@22"
        yield f"{path}.{name.replace(' ', '')}"
