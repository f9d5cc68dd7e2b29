"""make fuzz: rounds with seeds that reproduce a failure, shares of the time, refusals."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwsim.rtl.errors import RtlError
from tests.fuzz import properties
from tests.fuzz.command import main
from tests.fuzz.rounds import SEEDS, Fuzz, Progress, Property, following


def drawing(name: str, area: str, body: Callable[[int], None], count: int = 5) -> Property:
    """A property of one whole number."""

    @settings(max_examples=count, derandomize=False)
    @given(st.integers(0, 10**12))
    def test(number: int) -> None:
        body(number)

    return Property(name, area, test)


def ignore(*_: Any) -> None:
    pass


def ticking(step: float) -> Callable[[], float]:
    """A clock that is ``step`` seconds on whenever it is looked at."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def test_a_round_that_is_started_with_its_seed_is_the_same_round() -> None:
    seen: list[list[int]] = [[]]
    seeds: list[int] = []

    def end(_: Property, progress: Progress, __: Any) -> None:
        seeds.append(progress.seed)
        seen.append([])

    def run(seed: int, seconds: float) -> list[list[int]]:
        seen[:], seeds[:] = [[]], []
        Fuzz([drawing("a", "x", lambda n: seen[-1].append(n))], seed, end, ticking(1)).run(seconds)
        return seen[:-1]

    rounds, first_seeds = run(5, 12), list(seeds)
    assert len(rounds) >= 3
    assert len({tuple(numbers) for numbers in rounds}) == len(rounds)
    assert first_seeds[:2] == [5, following(5)]
    assert run(first_seeds[1], 0) == [rounds[1]]


def test_every_property_has_a_round_even_in_no_time() -> None:
    run = Fuzz([drawing(name, "x", ignore) for name in "abc"], 1, ignore, ticking(1))
    run.run(0)
    assert [done.rounds for done in run.progress.values()] == [1, 1, 1]


def test_areas_share_the_time_however_many_properties_they_have() -> None:
    properties = [drawing(f"many{n}", "many", ignore) for n in range(4)]
    run = Fuzz([*properties, drawing("one", "one", ignore)], 1, ignore, ticking(1))
    run.run(100)
    one = run.progress["one"].seconds
    assert abs(one - sum(run.progress[p.name].seconds for p in properties)) <= 1
    assert len({run.progress[p.name].rounds for p in properties}) <= 2


def test_rejected_examples_are_not_counted() -> None:
    kept: list[int] = []

    def body(number: int) -> None:
        assume(number % 2 == 0)
        kept.append(number)

    run = Fuzz([drawing("even", "x", body, count=20)], 3, ignore, ticking(1))
    run.run(0)
    assert run.progress["even"].examples == len(kept) == 20


def test_what_failed_is_reported_once_and_the_others_go_on() -> None:
    reports: list[tuple[str, bool]] = []

    def report(one: Property, _: Progress, error: BaseException | None) -> None:
        reports.append((one.name, error is not None))

    def fails(number: int) -> None:
        assert number < 1000

    run = Fuzz(
        [drawing("bad", "x", fails, 50), drawing("good", "y", ignore)], 9, report, ticking(1)
    )
    run.run(30)
    assert reports.count(("bad", True)) == 1
    assert reports.count(("good", False)) > 3
    assert run.progress["bad"].failed == [9]


def test_an_interruption_keeps_what_was_counted_and_ends_what_is_held() -> None:
    ended: list[str] = []

    class Holding(Property):
        def end(self) -> None:
            ended.append(self.name)

    def body(_: int) -> None:
        if run.progress["a"].rounds == 2:
            raise KeyboardInterrupt

    one = drawing("a", "x", body)
    run = Fuzz([Holding(one.name, one.area, one.test)], 1, ignore, ticking(1))
    with pytest.raises(KeyboardInterrupt):
        run.run(1000)
    assert run.progress["a"].examples >= 10
    assert ended == ["a"]


def test_seeds_follow_one_another_without_an_early_circle() -> None:
    seeds = [1]
    for _ in range(2000):
        seeds.append(following(seeds[-1]))
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < SEEDS for seed in seeds)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--minutes", "soon"], "MINUTES must be a number from 0, got 'soon'"),
        (["--minutes=-1"], "MINUTES must be a number from 0, got '-1'"),
        (["--minutes", "nan"], "MINUTES must be a number from 0, got 'nan'"),
        (["--seed", "x"], "SEED must be a whole number from 0 to 4294967295, got 'x'"),
        (["--seed", "4294967296"], "SEED must be a whole number"),
        (["--only", "nothing"], "unknown ONLY 'nothing': choose an area (values, "),
        (["--often"], "unrecognized arguments: --often"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    arguments: list[str], reason: str, no_verilog: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"fuzz: {reason}")
    assert printed.count("\n") == 1


@pytest.fixture
def no_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> list[Property]:
        raise RtlError("the RTL backend needs Verilator")

    monkeypatch.setattr(properties, "verilog", none)


def test_without_verilator_the_rest_runs_and_says_so(
    no_verilog: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(properties, "software", lambda: [drawing("a", "x", ignore)])
    with pytest.raises(SystemExit) as stop:
        main(["--only", "rtl", "--minutes", "0"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "fuzz: the RTL backend needs Verilator\n"
    assert main(["--minutes", "0", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 3\nrtl is left out: the RTL backend needs Verilator\n")
    assert "5 examples of 1 properties, 0 failed" in printed


def test_an_interruption_prints_what_was_covered(
    no_verilog: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def body(number: int) -> None:
        seen.append(number)
        if len(seen) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(properties, "software", lambda: [drawing("a", "x", body)])
    assert main(["--minutes", "60", "--seed", "3"]) == 130
    printed = capsys.readouterr().out
    assert "interrupted\n\ncovered:\n  x          a " in printed
    assert " 2 rounds " in printed


#: A gradient that forgets that saturated outputs pass nothing; nobody reads the smallest example.
WRONG_GATE = """
import runpy
from hypothesis import Phase, settings
import hwsim.units.post as post
from tests import examples
post.UNSATURATED = 0
settings.register_profile("new", settings.get_profile("new"), phases=[Phase.generate])
runpy.run_module("tests.fuzz", run_name="__main__")
"""


@pytest.mark.slow
def test_a_wrong_engine_is_found_and_its_command_finds_it_again() -> None:
    only = ["--only", "gradients-equal-the-oracle", "--seed", "5", "--minutes", "0"]
    done = subprocess.run([sys.executable, "-c", WRONG_GATE, *only], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("seed 5\n")
    assert "roundings of the terms" in done.stdout
    assert "the same again: make fuzz SEED=5 ONLY=gradients-equal-the-oracle" in done.stdout
    assert "FAILED at seed 5" in done.stdout
