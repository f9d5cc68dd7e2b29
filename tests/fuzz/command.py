"""The command line of ``make fuzz``."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import traceback
from typing import NoReturn

from hwsim.errors import HwsimError
from tests.fuzz import rounds
from tests.fuzz.rounds import Fuzz, Progress, Property


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(message)


def _refuse(message: str) -> NoReturn:
    print(f"fuzz: {message}", file=sys.stderr)
    sys.exit(2)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        _refuse(f"MINUTES must be a number from 0, got {text!r}")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= rounds.SEEDS:
        _refuse(f"SEED must be a whole number from 0 to {rounds.SEEDS - 1}, got {text!r}")
    return int(text)


def chosen(name: str | None) -> list[Property]:
    """The properties of an area, one of a name, or all; says why where the Verilog is left out."""
    from tests.fuzz import properties  # the tests, with torch and numba: not for a refusal

    found = properties.software()
    wants_rtl = name is None or name.startswith("rtl")
    try:
        found += properties.verilog() if wants_rtl else []
    except HwsimError as error:
        if name is not None:
            _refuse(str(error))
        print(f"rtl is left out: {error}", flush=True)
    part = [one for one in found if name in (None, one.name, one.area)]
    if not part:
        areas = ", ".join(dict.fromkeys([*(one.area for one in found), "rtl"]))
        names = ", ".join(one.name for one in found)
        _refuse(f"unknown ONLY {name!r}: choose an area ({areas}) or a property ({names})")
    return part


def _report(one: Property, progress: Progress, error: BaseException | None) -> None:
    state = "FAILED" if error is not None else "ok"
    print(
        f"{one.area:10} {one.name:76.76} seed {progress.seed:10}  {progress.examples:6} examples "
        f"{progress.seconds:6.0f} s  {state}",
        flush=True,
    )
    if error is not None:
        traceback.print_exception(error, file=sys.stdout)
        print(f"the same again: make fuzz SEED={progress.seed} ONLY={one.name} MINUTES=0")
        print(flush=True)


def _summary(run: Fuzz) -> int:
    """What was covered, and the number of properties that failed."""
    print("\ncovered:")
    for one in run.properties:
        done = run.progress[one.name]
        failed = f"  FAILED at seed {done.failed[0]}" if done.failed else ""
        print(
            f"  {one.area:10} {one.name:76.76} {done.examples:7} examples {done.rounds:5} rounds "
            f"{done.seconds:6.0f} s{failed}"
        )
    failures = sum(bool(done.failed) for done in run.progress.values())
    total = sum(done.examples for done in run.progress.values())
    print(f"{total} examples of {len(run.properties)} properties, {failures} failed", flush=True)
    return failures


def main(arguments: list[str]) -> int:
    """0 if nothing failed, 1 if something did, 130 if interrupted before anything did."""
    parser = _Parser(prog="fuzz", description="Property tests on new examples.", allow_abbrev=False)
    parser.add_argument("--minutes", type=_minutes, default=10.0, help="for how long (10)")
    parser.add_argument("--seed", type=_seed, default=None, help="of the first round (drawn)")
    parser.add_argument("--only", default=None, metavar="NAME", help="one area or property")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(rounds.SEEDS) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    run = Fuzz(chosen(options.only), seed, _report)
    interrupted = False
    try:
        run.run(60 * options.minutes)
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted", flush=True)
    failures = _summary(run)
    return 1 if failures else 130 * interrupted
