"""Rounds of commands that are killed at random moments, and run again until they end."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from tests.fuzz.rounds import Progress, Subject
from tests.hostile import meaning, small_world
from tests.hostile.entry import command
from tests.hostile.processes import in_memory, started
from tests.hostile.promises import BrokenPromiseError
from tests.hostile.victims import VICTIMS, Victim

#: Kills of every command, by the clock, that a report is about.
WANTED = 20
#: Kills of a round, unless the command ends first; and of one case among them at most.
KILLS, CHAIN = 5, 4
#: Seconds after which a command hangs: it takes one or two.
PATIENCE = 300.0


@dataclass(frozen=True)
class Ended:
    """A run that has ended. code: -9 of one that was killed. units: begun, in order. edges: passed
    (see ``entry.Edges``); 0 of one that was killed, like memory, in bytes.
    """

    code: int
    out: str
    err: str
    units: list[str]
    seconds: float
    edges: int
    memory: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Moment:
    """When to kill: after ``seconds``, or at an edge."""

    seconds: float | None = None
    edge: int | None = None

    def __str__(self) -> str:
        return f"at edge {self.edge}" if self.seconds is None else f"after {self.seconds:.3f} s"


@dataclass
class Counts:
    """What became of the kills. clock, edges: how many of either kind. with_kept: those that found
    work on the disk; units: how much of it. memory: the most of one process, in bytes.
    """

    clock: int = 0
    edges: int = 0
    with_kept: int = 0
    units: int = 0
    memory: int = 0
    findings: list[str] = field(default_factory=list)


class World:
    """The small world of one victim, copied for every case.

    origin: what there is before a command is run, as ``prepared`` makes it.
    """

    def __init__(self, victim: Victim, scratch: Path, origin: Path) -> None:
        self.victim, self.scratch, self.origin = victim, scratch, origin
        scratch.mkdir(exist_ok=True)

    @cached_property
    def undisturbed(self) -> tuple[Ended, dict[str, Any]]:
        """A run that nobody kills, and what it leaves. Raises BrokenPromiseError."""
        folder = self.fresh()
        done = self.run(folder)
        left = meaning.of(folder)
        if done.code or done.err:
            raise BrokenPromiseError(f"{self.victim.name}: undisturbed: {done.code}: {done.err}")
        if odd := [name for name in left if name.endswith(".part") or "partial" in name]:
            raise BrokenPromiseError(f"{self.victim.name}: undisturbed, leaves {', '.join(odd)}")
        return done, left

    def fresh(self) -> Path:
        """A copy of what there is before the command is run, in one place for all runs: results
        name the folder of their data.
        """
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.origin, folder)
        return folder

    def run(self, folder: Path, moment: Moment | None = None) -> Ended:
        """The command to its end, or killed at ``moment``. Raises BrokenPromiseError where it
        hangs.
        """
        moment, log = moment or Moment(), str(self.scratch / "log")
        began = monotonic()
        process, answer = started(
            command, self.victim.words, str(folder), log, self.victim.watch, moment.edge,
        )  # fmt: skip
        edges = memory = 0
        try:
            process.join(PATIENCE if moment.seconds is None else moment.seconds)
            if process.exitcode is None and moment.seconds is None:
                raise BrokenPromiseError(f"{self.victim.name}: no end in {PATIENCE:.0f} s")
            seconds = monotonic() - began
            process.kill()
            process.join()
            if answer.poll():
                edges, memory = answer.recv()
        except EOFError:
            pass  # killed before it could answer
        finally:
            process.kill()
            process.join()
            answer.close()
        assert process.exitcode is not None
        out, err, units = (self._said(part) for part in ("out", "err", "units"))
        return Ended(process.exitcode, out, err, units.splitlines(), seconds, edges, memory)

    def _said(self, part: str) -> str:
        path = self.scratch / f"log.{part}"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.unlink(missing_ok=True)
        return text


def prepared(scratch: Path) -> Path:
    """A folder with data, a trained network and a cache that has what a first run puts there."""
    (victim,) = [one for one in VICTIMS if one.name == "train"]
    empty = scratch / "empty"
    small_world.data(empty / "data")
    (empty / "cache").mkdir()
    world = World(victim, scratch / "first", empty)
    assert world.undisturbed
    made = world.scratch / "case"
    shutil.rmtree(made / "out/checkpoints")
    (made / "runs").mkdir()
    (made / "out").rename(made / "runs/zoo")
    return made


def case(world: World, moments: list[Moment], counts: Counts, cold: bool = False) -> None:
    """A fresh folder, a kill at each of ``moments`` in a run of its own, and a run to the end.

    cold: with an empty cache. What is wrong goes to the findings.
    """
    whole, left = world.undisturbed
    folder = world.fresh()
    if cold:
        shutil.rmtree(folder / "cache")
    kept: set[str] = set()
    past: list[str] = []
    said = f"{world.victim.name}: "
    for moment in [*moments, None]:
        done = world.run(folder, moment)
        counts.memory = max(counts.memory, done.memory)
        if twice := sorted(kept & set(done.units)):
            counts.findings.append(f"{said}computed again, though kept: {', '.join(twice)}")
        if done.err:
            counts.findings.append(f"{said}said {done.err}")
        if not done.killed or moment is None:
            break
        past.append(str(moment))
        said = f"{world.victim.name}: killed {', then '.join(past)}: "
        before, kept = kept | set(done.units[:-1]), world.victim.kept(folder)
        # What is whole needs no unfinished work beside it.
        if (lost := sorted(before - kept)) and meaning.difference(meaning.of(folder), left):
            counts.findings.append(f"{said}lost {', '.join(lost)}")
        counts.clock += moment.edge is None
        counts.edges += moment.edge is not None
        counts.with_kept += bool(kept)
        counts.units += len(kept)
    if done.code:
        counts.findings.append(f"{said}ended with {done.code}")
    if wrong := meaning.difference(meaning.of(folder), left):
        counts.findings.append(f"{said}{wrong}")
    if meaning.timeless(done.out) != meaning.timeless(whole.out):
        counts.findings.append(f"{said}printed {done.out!r}")


def drawn(draw: random.Random, whole: Ended) -> list[Moment]:
    """A few moments, uniform over an undisturbed run; every fifth case has edges instead."""
    count = draw.randint(1, CHAIN)
    if draw.randrange(5) == 0:
        return [Moment(edge=draw.randint(1, whole.edges)) for _ in range(count)]
    return [Moment(draw.random() * whole.seconds) for _ in range(count)]


class Kills(Subject):
    """Kills of one command."""

    area = "kills"
    wanted = WANTED

    def __init__(self, victim: Victim) -> None:
        self.victim, self.name, self.counts = victim, f"{victim.name} killed", Counts()
        self._place: tempfile.TemporaryDirectory[str] | None = None
        self._world: World | None = None

    def round(self, seed: int, progress: Progress) -> None:
        """About KILLS kills. Raises BrokenPromiseError at the first that does harm."""
        if self._world is None:
            self._place = tempfile.TemporaryDirectory(prefix="hwsim-hostile-", dir=in_memory())
            scratch = Path(self._place.name)
            self._world = World(self.victim, scratch, prepared(scratch))
        draw, before = random.Random(seed), self.counts.clock + self.counts.edges
        for _ in range(KILLS):
            moments = drawn(draw, self._world.undisturbed[0])
            case(self._world, moments, self.counts, cold=draw.randrange(16) == 0)
            progress.examples = self.counts.clock
            if self.counts.findings:
                raise BrokenPromiseError(self.counts.findings[0])
            if self.counts.clock + self.counts.edges - before >= KILLS:
                break

    def end(self) -> None:
        """Remove the world."""
        if self._place is not None:
            self._place.cleanup()
        self._place = self._world = None

    def said(self) -> str:
        """What came of the kills, for the table."""
        one = self.counts
        return (
            f"and {one.edges:,} kills at edges; all ended as undisturbed; {one.with_kept:,} found "
            f"work kept, {one.units:,} units, none computed again; at most "
            f"{one.memory / 2**20:.0f} MiB of memory"
        )


def subjects() -> list[Kills]:
    """One for every command."""
    return [Kills(victim) for victim in VICTIMS]
