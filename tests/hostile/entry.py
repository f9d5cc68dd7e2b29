"""One command line in a process of its own, as a user types it, with a log of what it computes."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

#: What is said before a unit of work begins, by name.
Say = Callable[[str], None]
#: What changes files at once; a kill right before and right behind such a call tells most.
_EDGES = ("replace", "rename", "unlink", "fsync", "mkdir")
#: What draws, by module. Drawing takes longer than all else here, and changes no file.
_PICTURES = {
    "hwsim.audit.plot": ("audit_png",),
    "hwsim.report.detection_report": ("roc_png",),
    "hwsim.report.heatmaps": ("curves_png", "heatmaps_png"),
    "hwsim.report.plots": ("combined_png", "examples_png", "success_png"),
    "hwsim.report.transfer_report": ("heatmaps",),
    "hwsim.studies.output": ("png",),
}


def command(
    words: Sequence[str],
    folder: str,
    log: str,
    watch: Callable[[Say], None],
    fatal: int | None,
    answer: Connection,
) -> None:
    """``hwsim WORDS`` in ``folder``; its output goes to ``log``.out and ``log``.err.

    Data sets and cache are ``data`` and ``cache`` there. watch: has every unit of work said to what
    it is given, before it begins; those go to ``log``.units. fatal: the edge (see ``Edges``) at
    which the process kills itself. Answers (edges passed, bytes of memory at most).
    """
    import torch

    from tests.hostile import small_world

    small_world.register()
    for number, suffix in ((1, "out"), (2, "err")):
        file = os.open(f"{log}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    units = os.open(f"{log}.units", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    multiprocessing.set_start_method("fork", force=True)  # as in a process of one's own
    edges = Edges(fatal, Path(folder))

    def say(unit: str) -> None:
        edges.one()
        os.write(units, unit.encode() + b"\n")

    watch(say)
    for module, names in _PICTURES.items():
        for name in names:
            wrapped(import_module(module), name, lambda inner, *_, **__: b"a picture")
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ |= {f"HWSIM_{name.upper()}": f"{folder}/{name}" for name in ("data", "cache")}
    os.environ["COLUMNS"] = "100"
    sys.argv = ["hwsim", *words]
    from hwsim.cli import main

    try:
        main()
    finally:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        answer.send((edges.passed, memory))


class Edges:
    """Counts the beginnings of units, and calls that change files of ``folder``, before and
    behind; at number ``fatal``, from 1, the process kills itself.
    """

    def __init__(self, fatal: int | None, folder: Path) -> None:
        self.fatal, self.folder, self.passed = fatal, str(folder), 0
        for name in _EDGES:
            self._watch(name)

    def one(self) -> None:
        """An edge."""
        self.passed += 1
        if self.passed == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _watch(self, name: str) -> None:
        inner = getattr(os, name)

        def call(path: Any, *more: Any, **named: Any) -> Any:
            mine = name == "fsync" or os.path.abspath(path).startswith(self.folder)
            if mine:
                self.one()
            found = inner(path, *more, **named)
            if mine:
                self.one()
            return found

        setattr(os, name, call)


def wrapped(owner: Any, name: str, call: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by ``call(owner.name, …)``. Raises AttributeError if there is none."""
    setattr(owner, name, partial(call, getattr(owner, name)))


def preceded(owner: Any, name: str, before: Callable[..., None]) -> None:
    """Call ``before`` with the same arguments before each call of ``owner.name``, a method too."""
    inner = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        before(*arguments, **named)
        return inner(*arguments, **named)

    setattr(owner, name, call)
