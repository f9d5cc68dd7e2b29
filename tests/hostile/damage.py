"""Rounds of damaged files, each in a process of its own: refused in one line, or what they were."""

from __future__ import annotations

import random
import resource
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from hwsim.errors import HwsimError
from tests.fuzz.rounds import Progress, Subject
from tests.hostile.artefact import Artefact
from tests.hostile.kinds import KINDS, MODELS
from tests.hostile.mutations import Files, replaced_by_no_file
from tests.hostile.processes import in_memory, started
from tests.hostile.promises import BrokenPromiseError

ALL = [*KINDS, *MODELS]
#: Mutations of every kind that a report is about.
WANTED = 10_000
#: Seconds after which a case hangs: they take milliseconds.
PATIENCE = 60.0


@dataclass
class Outcomes:
    """How many cases ended how, the most memory that they took, in bytes, and the most time, s."""

    refused: int = 0
    same: int = 0
    forged: int = 0
    memory: int = 0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)


def case(kind: Artefact, draw: random.Random, outcomes: Outcomes) -> None:
    """One mutation. What is wrong about it goes to the findings."""
    done, files = kind.mutate(draw)
    forged = None
    if draw.randrange(3) == 0 and (forged := kind.forge(files)) is not None:
        done, files = f"{done}, digests made right", forged
    kind.place(files)
    if forged is None and draw.randrange(40) == 0:
        done = replaced_by_no_file(draw, kind.folder, kind.files)
        files = {path.name: b"" for path in kind.folder.iterdir()}
    try:
        wrong = _wrong(kind, files, forged is not None or not kind.signed, outcomes)
    except HwsimError as error:
        outcomes.refused += 1
        # Characters that cannot be seen are the business of the guard that prints: test_shown.py.
        wrong = f"refused in more than a line: {str(error)!r:.300}" if "\n" in str(error) else None
    except Exception:
        wrong = traceback.format_exc(limit=-4)
    if wrong:
        outcomes.findings.append(f"{kind.name}: {done}: {wrong}")


def _wrong(kind: Artefact, files: Files, forged: bool, outcomes: Outcomes) -> str | None:
    found = kind.read(kind.folder)
    if kind.same(found, files):
        outcomes.same += 1
        return None
    if not forged:
        return f"accepted in another meaning: {found!r:.300}"
    right = kind.check(found, files)
    outcomes.forged += 1
    return None if right else f"forged, and read as what does not stand there: {found!r:.300}"


def cases(kind: Artefact, seed: int, count: int) -> Outcomes:
    """``count`` cases from ``seed`` on."""
    outcomes = Outcomes()
    for number in range(count):
        case(kind, random.Random(f"{seed} {number}"), outcomes)
    return outcomes


def _round(name: str, seed: int, count: int, answer: Connection) -> None:
    """In a process of its own: says each case's number before it begins, and at last Outcomes."""
    (made,) = [kind for kind in ALL if kind.name == name]
    resource.setrlimit(resource.RLIMIT_AS, (made.address_space, made.address_space))
    with tempfile.TemporaryDirectory(prefix="hwsim-hostile-", dir=in_memory()) as scratch:
        kind = made(Path(scratch))
        outcomes = Outcomes()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            answer.send(number)
            start = time.process_time()
            case(kind, random.Random(f"{seed} {number}"), outcomes)
            took = time.process_time() - start
            outcomes.slowest = max(outcomes.slowest, took)
            if took > kind.seconds:
                outcomes.findings.append(f"{name}: took {took:.1f} s of processor time")
            if outcomes.findings:
                outcomes.findings[-1] += f" (case {number})"
                break
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes.memory = (after - before) << 10
    answer.send(outcomes)


class Damage(Subject):
    """Mutations of one kind of files."""

    area = "mutations"
    wanted = WANTED

    def __init__(self, kind: type[Artefact]) -> None:
        self.kind, self.name = kind, kind.name
        self.outcomes = Outcomes()

    def round(self, seed: int, progress: Progress) -> None:
        """Raises BrokenPromiseError at the first case that is wrong, hangs, or ends the process."""
        process, answer = started(_round, self.name, seed, self.kind.cases)
        number = -1
        try:
            while answer.poll(PATIENCE):
                found = answer.recv()
                if isinstance(found, Outcomes):
                    self._add(found, progress, number)
                    return
                number = found
            raise BrokenPromiseError(
                f"{self.name}: case {number} hangs: no end in {PATIENCE:.0f} s"
            )
        except EOFError:
            process.join()
            raise BrokenPromiseError(
                f"{self.name}: case {number} ended the process with {process.exitcode}"
            ) from None
        finally:
            process.kill()
            process.join()

    def _add(self, found: Outcomes, progress: Progress, number: int) -> None:
        progress.examples += found.refused + found.same + found.forged
        self.outcomes.refused += found.refused
        self.outcomes.same += found.same
        self.outcomes.forged += found.forged
        self.outcomes.memory = max(self.outcomes.memory, found.memory)
        self.outcomes.slowest = max(self.outcomes.slowest, found.slowest)
        if found.findings:
            raise BrokenPromiseError(found.findings[0])
        if found.memory > self.kind.memory:
            raise BrokenPromiseError(
                f"{self.name}: up to case {number}: {found.memory >> 20} MiB of memory"
            )

    def said(self) -> str:
        """What came of the cases, for the table."""
        one = self.outcomes
        return (
            f"{one.refused:,} refused, {one.same:,} read as what they were, {one.forged:,} forged "
            f"ones read as what stands in them; at most {one.memory / 2**20:.0f} MiB of memory"
        )


class Strange(Damage):
    """Mutations of one kind of files that others made: nothing vouches for what they say."""

    area = "models"
    wanted = 600

    def said(self) -> str:
        """What came of the cases, for the table."""
        one = self.outcomes
        return (
            f"{one.refused:,} refused, {one.same:,} read as what they were, {one.forged:,} as what "
            f"they now say; at most {one.memory / 2**20:.0f} MiB of memory and {one.slowest:.1f} s"
        )


def subjects() -> list[Damage]:
    """One for every kind."""
    return [*map(Damage, KINDS), *map(Strange, MODELS)]
