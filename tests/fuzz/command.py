"""The command lines of ``make fuzz`` and of ``make hostile``, which is run in the same way."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hwsim.errors import HwsimError
from tests.fuzz import rounds
from tests.fuzz.rounds import Fuzz, Progress, Property, Subject


@dataclass(frozen=True)
class Command:
    """A command that runs subjects in rounds.

    name: of the make target, in front of every refusal. unit: what a subject's examples are.
    subjects: those of an area, one of a name, or all; called only when the arguments are right.
    """

    name: str
    description: str
    unit: str
    subjects: Callable[[str | None, Command], Sequence[Subject]]

    def refuse(self, message: str) -> NoReturn:
        """End with one line and exit code 2."""
        print(f"{self.name}: {message}", file=sys.stderr)
        sys.exit(2)

    def part(self, found: Sequence[Subject], name: str | None, kind: str, *more: str) -> list[Any]:
        """What ``name`` is the area or the name of; refuses where that is nothing.

        kind: what one of them is called. more: areas that ``found`` may lack.
        """
        part = [one for one in found if name in (None, one.name, one.area)]
        if not part:
            areas = ", ".join(dict.fromkeys([*(one.area for one in found), *more]))
            names = ", ".join(one.name for one in found)
            self.refuse(f"unknown ONLY {name!r}: choose an area ({areas}) or a {kind} ({names})")
        return part

    def parser(self) -> argparse.ArgumentParser:
        """``--minutes``, ``--seed`` and ``--only``, to which more may be added."""
        command = self

        class Parser(argparse.ArgumentParser):
            def error(self, message: str) -> NoReturn:
                command.refuse(message)

        parser = Parser(prog=self.name, description=self.description, allow_abbrev=False)
        parser.add_argument("--minutes", type=self._minutes, default=10.0, help="how long (10)")
        parser.add_argument("--seed", type=self._seed, default=None, help="of the first round")
        parser.add_argument("--only", default=None, metavar="NAME", help="one area or name")
        return parser

    def _minutes(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            self.refuse(f"MINUTES must be a number from 0, got {text!r}")
        return value

    def _seed(self, text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) >= rounds.SEEDS:
            self.refuse(f"SEED must be a whole number from 0 to {rounds.SEEDS - 1}, got {text!r}")
        return int(text)

    def run(self, options: argparse.Namespace) -> tuple[int, Fuzz]:
        """(0 if nothing failed, 1 if something did, 130 if interrupted before; what was done)."""
        if options.seed is None:
            options.seed = secrets.randbelow(rounds.SEEDS)
        print(f"seed {options.seed}", flush=True)
        run = Fuzz(self.subjects(options.only, self), options.seed, self._report)
        interrupted = False
        try:
            run.run(60 * options.minutes)
        except KeyboardInterrupt:
            interrupted = True
            print("\ninterrupted", flush=True)
        failures = self._summary(run)
        return 1 if failures else 130 * interrupted, run

    def _report(self, one: Subject, progress: Progress, error: BaseException | None) -> None:
        state = "FAILED" if error is not None else "ok"
        print(
            f"{one.area:10} {one.name:76.76} seed {progress.seed:10}  {progress.examples:6} "
            f"{self.unit} {progress.seconds:6.0f} s  {state}",
            flush=True,
        )
        if error is not None:
            traceback.print_exception(error, file=sys.stdout)
            print(
                f"the same again: make {self.name} SEED={progress.seed} ONLY={one.name} MINUTES=0"
            )
            print(flush=True)

    def _summary(self, run: Fuzz) -> int:
        """What was covered, and the number of subjects that failed."""
        print("\ncovered:")
        for one in run.subjects:
            done = run.progress[one.name]
            failed = f"  FAILED at seed {done.failed[0]}" if done.failed else ""
            print(
                f"  {one.area:10} {one.name:76.76} {done.examples:7} {self.unit} {done.rounds:5} "
                f"rounds {done.seconds:6.0f} s{failed}"
            )
        failures = sum(bool(done.failed) for done in run.progress.values())
        total = sum(done.examples for done in run.progress.values())
        print(
            f"{total} {self.unit} of {len(run.subjects)} properties, {failures} failed", flush=True
        )
        return failures


def chosen(name: str | None, command: Command) -> list[Property]:
    """The properties of an area, one of a name, or all; says why where the Verilog is left out."""
    from tests.fuzz import properties  # the tests, with torch and numba: not for a refusal

    found = properties.software()
    wants_rtl = name is None or name.startswith("rtl")
    try:
        found += properties.verilog() if wants_rtl else []
    except HwsimError as error:
        if name is not None:
            command.refuse(str(error))
        print(f"rtl is left out: {error}", flush=True)
    return command.part(found, name, "property", "rtl")


FUZZ = Command("fuzz", "Property tests on new examples.", "examples", chosen)


def main(arguments: list[str]) -> int:
    """0 if nothing failed, 1 if something did, 130 if interrupted before anything did."""
    return FUZZ.run(FUZZ.parser().parse_args(arguments))[0]
