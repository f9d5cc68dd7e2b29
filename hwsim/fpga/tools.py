"""Yosys and nextpnr for Lattice ECP5: where they are, running them with progress, keeping results.

Both come from PyPI (``pip install hwsim[synth]``). A result is kept in the user's cache under the
content of everything that made it, as the simulations of hwsim.rtl.build are.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError
from hwsim.files.cache import writable_folder
from hwsim.files.content import digest
from hwsim.files.file import replacing
from hwsim.files.reading import MAX_KEPT, parse_json, read_regular
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.build import content_digest
from hwsim.rtl.tree import sources

#: What the tools are doing, and seconds since the start.
Progress = Callable[[str, float], None]

#: A pass of Yosys, a phase of nextpnr.
_PASS = re.compile(
    r"^[\d.]+ Executing (SYNTH_LATTICE|PROC|FLATTEN|ALUMACC|MEMORY_LIBMAP|ABC9) pass"
)
_PHASE = re.compile(r"^Info: (Packing \w+|Running [\w ]+?placer|Running router2|Routing)\b")
#: Both placers and the router count what they do: the analytic one in tens, the router with the
#: wires that are still wanted twice.
_STEP = re.compile(r"^Info:\s+at iteration #(\d+)|^Info: iter=(\d*0) steplen=")
_ROUTED = re.compile(r"Info:\s+(\d+000) \|.*\|\s+(\d+)\|\s+[\d.]+\s+[\d.]+\|")


class SynthesisError(HwsimError):
    """The tools are missing or failed, or a memory or a multiplier became logic."""


def tool(name: str) -> str:
    """Path of ``yosys`` or ``nextpnr-ecp5``: from the wheels beside Python, else from PATH."""
    beside = Path(sys.executable).parent / f"yowasp-{name}"
    found = str(beside) if beside.is_file() else shutil.which(f"yowasp-{name}")
    found = found or shutil.which(name)
    if found is None:
        raise SynthesisError(f"{name} is not installed: pip install 'hwsim[synth]'")
    return found


@contextmanager
def workplace() -> Iterator[Path]:
    """A scratch folder with the Verilog in it.

    The tools are WebAssembly and see little of the file system, so they work here with relative
    names.
    """
    with tempfile.TemporaryDirectory(prefix="hwsim-synth-") as name:
        for source in sources():
            shutil.copy(source, name)
        yield Path(name)


def stage_of(line: str) -> str | None:
    """What a line of a log says about the progress; None if nothing."""
    if found := _PASS.match(line):
        return f"yosys: {found[1].lower().replace('_', ' ')}"
    if found := _PHASE.match(line):
        return f"nextpnr: {found[1].lower()}"
    if found := _STEP.match(line):
        return f"nextpnr: placer, step {found[1] or found[2]}"
    if found := _ROUTED.match(line):
        return f"nextpnr: router, {found[2]} connections left"
    return None


def run_tool(
    command: Sequence[str], folder: Path, log: str, started: float, on_progress: Progress
) -> None:
    """Run ``command`` in ``folder``; its output goes to the file ``log`` there.

    Raises SynthesisError with the first error of the log if it fails. Ctrl-C ends the tool, too.
    """
    with (folder / log).open("w", encoding="utf-8", buffering=1) as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                if stage := stage_of(line):
                    on_progress(stage, time.monotonic() - started)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code:
        lines = (folder / log).read_text(encoding="utf-8").splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no reason given"]
        raise SynthesisError(f"{Path(command[0]).name} failed: {errors[0].strip()}")


def parameters(config: EngineConfig) -> str:
    """The configuration as arguments of Yosys' ``chparam``."""
    return " ".join(f"-set {name} {value}" for name, value in config.verilog_parameters().items())


def kept(kind: str, recipe: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What ``make`` returns for the Verilog and ``recipe``, from the cache if it is there.

    Written whole or not at all. The versions of the tools are part of the recipe.
    """
    path = _place(kind, recipe)
    found = _whole(path)
    if found is not None:
        return found
    # Through JSON, so that a result is the same whether it was just made or kept.
    result: dict[str, Any] = parse_json(json.dumps(dict(make())))
    with replacing(path) as temporary:
        text = json.dumps({"result": result, "digest": digest(result)}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return result


def is_kept(kind: str, recipe: str) -> bool:
    """Whether ``kept`` would find it."""
    return _whole(_place(kind, recipe)) is not None


def _place(kind: str, recipe: str) -> Path:
    parts = [recipe.encode()]
    for path in sources():
        parts += [path.name.encode(), path.read_bytes()]
    return writable_folder(kind) / f"{content_digest(iter(parts))}.json"


def _whole(path: Path) -> dict[str, Any] | None:
    """What the cache holds, if it is as it was written; else it is made again."""
    try:
        content = parse_json(read_regular(path, MAX_KEPT))
        result: dict[str, Any] = content["result"]
        return result if digest(result) == content["digest"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def version(name: str) -> str:
    """One line that names the version of a tool."""
    flag = "-V" if name == "yosys" else "--version"
    done = subprocess.run([tool(name), flag], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]
