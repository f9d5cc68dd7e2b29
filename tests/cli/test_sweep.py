"""`hwsim sweep`: networks, widths, options and budgets, of any MODEL and data."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.importer.python_file import called
from hwsim.studies.runner import runner
from tests.cli.conftest import MODEL, Run, read

SOURCE = """
import torch
from torch import nn


def net(width=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, 3)
    )


def wide():
    return net(8)
"""
BOTH = ("mine.py:net", "mine.py:wide")
DATA = ("--data", "x.npz", "--samples", "12", "--eps", "0.1,0.3")


@pytest.fixture(autouse=True)
def _files(place: Path) -> None:
    (place / "mine.py").write_text(SOURCE)
    x = np.random.default_rng(0).uniform(0, 1, (24, 1, 8, 8)).astype(np.float32)
    np.savez(place / "x.npz", x=x)


def records(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tasks that are computed from now on."""
    execute, seen = runner.execute, []

    def watched(text: str) -> str:
        seen.append(text)
        return execute(text)

    monkeypatch.setattr(runner, "execute", watched)
    return seen


@pytest.mark.slow
def test_a_point_counts_what_hwsim_attack_counts(run: Run) -> None:
    own = ("--data", "x.npz", "--samples", "12", "--eps", "0.1,0.3", "--bits", "6")
    assert (
        run("attack", "bim", "--model", BOTH[0], *own, "--steps", "3", "--json", "one.json")[0] == 0
    )
    typed = (*own, "--attack", "bim", "--set", "steps=3", "--csv", "all.csv")
    assert run("sweep", BOTH[0], *typed)[0] == 0
    one = read(Path("one.json"))
    for at, record in enumerate(records("all.csv")):
        for pair in ("float_float", "engine_engine", "float_engine"):
            assert float(record[pair]) == one["success"][pair][at]
        assert float(record["margin_engine"]) == one["adaptive"]["success"]["engine_engine"][at]
        assert float(record["correct_engine"]) == one["clean"]["fixed"]
        assert int(record["cycles"]) == one["cycles"]
        assert int(record["weight_bits"]) == one["memory_bits"]["hash"]


@pytest.mark.slow
def test_networks_widths_options_and_budgets_are_all_combined(run: Run) -> None:
    typed = (*DATA, "--attack", "bim", "--set", "steps=1,4", "--set", "step-size=0.1")
    files = ("--csv", "a.csv", "--json", "a.json", "--markdown", "a.md")
    code, out, err = run("sweep", *BOTH, *typed, "--bits", "8,5", *files)
    assert (code, err) == (0, "")
    assert all(len(line) <= 100 for line in out.splitlines())
    found = records("a.csv")
    points = [(r["network"], r["bits"], r["steps"], r["budget"]) for r in found]
    assert len(set(points)) == len(points) == 2 * 2 * 2 * 2
    assert {r["step_size"] for r in found} == {"0.1"}
    assert int(found[0]["weight_bits"]) == 8 * (4 * 9 + 4 * 36 * 3)
    assert "float network's answers stand for them" in out
    result = read(Path("a.json"))
    assert len(result["rows"]) == len(found)
    lines = Path("a.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("|") for line in lines) == 2 + len(found)
    (folder,) = Path("runs").glob("sweep-*")
    assert read(folder / "result.json") == result
    assert (folder / "result.png").read_bytes().startswith(b"\x89PNG")
    assert "bim on net, wide" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_was_computed_is_kept_and_more_computes_only_what_is_new(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ("sweep", *DATA, "--attack", "fgsm", BOTH[0])
    first, seen = run(*typed), counted(monkeypatch)
    assert run(*typed).out == first.out
    assert seen == []
    assert run(*typed, BOTH[1], "--bits", "8,4").code == 0
    assert len(seen) == 4  # 8 bits that were asked for are another task than the configuration's
    assert run(*typed, BOTH[1], "--bits", "8,4,6").code == 0
    assert len(seen) == 6


def test_a_function_of_a_user_is_what_his_file_says_now() -> None:
    """Same length, same time: bytecode kept beside the file would be that of before."""
    path = Path("mine.py")
    path.write_text(SOURCE)
    before, first = path.stat(), called("mine.py:net")
    path.write_text(SOURCE.replace("manual_seed(0)", "manual_seed(1)"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    second = called("mine.py:net")
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)
    assert not Path("__pycache__").exists()


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["mine.py", "x.npz"])
def test_another_network_or_other_images_are_another_point(
    run: Run, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    typed = ("sweep", *DATA, "--attack", "fgsm", BOTH[0])
    assert run(*typed).code == 0
    if changed == "mine.py":
        Path(changed).write_text(SOURCE.replace("manual_seed(0)", "manual_seed(1)"))
    else:
        np.savez(changed, x=np.random.default_rng(1).uniform(0, 1, (25, 1, 8, 8)))
    seen = counted(monkeypatch)
    assert run(*typed).code == 0
    assert len(seen) == 1


def test_a_network_of_the_zoo_brings_its_images(run: Run) -> None:
    typed = ("--samples", "10", "--attack", "fgsm", "--eps", "0.3", "--csv", "a.csv")
    assert run("sweep", MODEL, *typed)[0] == 0
    (record,) = records("a.csv")
    assert (record["network"], record["images"]) == (MODEL, "10")


@pytest.mark.slow
def test_processes_side_by_side_count_the_same(run: Run) -> None:
    typed = ("sweep", *BOTH, *DATA, "--attack", "fgsm")
    assert run(*typed, "--csv", "one.csv", "--store", "one.sqlite")[0] == 0
    assert run(*typed, "--csv", "two.csv", "--store", "two.sqlite", "--jobs", "2")[0] == 0
    assert records("one.csv") == records("two.csv")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--set", "foo=1"), "give OPTION=VALUE of pgd's options: steps, restarts"),
        (("--set", "steps"), "give OPTION=VALUE"),
        (("--set", "steps=a"), "'a' is not a valid integer"),
        (("--set", "steps=1", "--set", "steps=2"), "steps is given twice"),
        (("--set", "steps=0"), "steps"),
        (("--attack", "none"), "unknown attack 'none'"),
        (("--attack", "bfa"), "bfa changes memories, not images"),
        (("--attack", "latency"), "latency asks for time and not for answers"),
        (("--attack", "apgd", "--set", "norm=l2,linf"), "sweep each norm for itself"),
        (("--bits", "8,x"), "give widths such as 8 or 8,6,4"),
        (("--bits", "3"), "give widths of 4 … 16"),
        (("--eps", "0.0001"), "below one step"),
        (("--eps", ""), "give at least one epsilon"),
        (("--samples", "25"), "25 samples asked for"),
        (("--target", "7"), "unknown target '7'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(run: Run, typed: tuple[str, ...], said: str) -> None:
    code, out, err = run("sweep", BOTH[0], "--data", "x.npz", *typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not Path("runs/studies").exists()


def test_a_network_that_cannot_be_opened_is_named(run: Run) -> None:
    code, out, err = run("sweep", BOTH[0], "nothing.onnx", "--data", "x.npz")
    assert (code, out) == (2, "")
    assert "nothing.onnx" in err
