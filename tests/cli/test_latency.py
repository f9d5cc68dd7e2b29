"""`hwsim attack latency`: numbers that fit together, a run that goes on, bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.engine.module import Engine
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network
from hwsim.numbers.config import load_config
from hwsim.runs import latency as runs
from tests.cli.conftest import Run

FEW = ("--skip", "--model", "small", "--samples", "6", "--steps", "3", "--queries", "4")
#: Lines of the table that no ε belongs to, and those of each ε.
ALONE = ["clean", "black", "grey", "white", "uniform image"]
WITHIN = ["noise", "float density", "gradient", "latency"]


def result_of(place: Path) -> dict[str, Any]:
    (path,) = place.glob("runs/*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_run_leaves_lines_that_the_engine_agrees_with(
    run: Run, place: Path, offered: Network
) -> None:
    code, out, err = run("attack", "latency", *FEW, "--json", "out.json")
    assert (code, err) == (0, "")
    assert all(len(line) <= 100 for line in out.splitlines())
    result = result_of(place)
    assert json.loads((place / "out.json").read_text()) == result
    (folder,) = (place / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {"result.json", "result.png", "report.html"}
    made = [(row["made"], row["epsilon"]) for row in result["rows"]]
    within = [(name, epsilon) for epsilon in (0.1, 0.3) for name in WITHIN]
    assert made == [*((name, None) for name in ALONE), *within]
    engine = Engine(offered.program.skipping())
    images = offered.inputs(load_dataset("mnist", "test").take(6))
    rows = {(row["made"], row["epsilon"]): row for row in result["rows"]}
    clean = rows["clean", None]
    assert clean["cycles"] == (engine.cycles(images).sum(1) + 1).tolist()
    assert all(clean["kept"])
    for row in result["rows"]:
        assert max(row["cycles"]) <= result["worst"]["cycles"]
        assert max(row["energy"]) <= result["worst"]["energy"]
        constant = np.array(row["cycles"]) - row["varying"]
        assert len(set(constant.tolist())) == 1
    for epsilon in (0.1, 0.3):
        climbed, found = (np.array(rows[name, epsilon]["cycles"]) for name in WITHIN[2:])
        assert (clean["cycles"] <= climbed).all()
        assert (climbed <= found).all()
    page = (folder / "report.html").read_text()
    assert "no zero" in page
    assert "Krithivasan et al. 2020" in page


def test_answers_can_be_kept_and_energy_be_asked_for(
    run: Run, place: Path, offered: Network
) -> None:
    chosen = ("--keep-answer", "--objective", "energy", "--surrogate", "float", "--eps", "0.5")
    assert run("attack", "latency", *FEW, *chosen).code == 0
    result = result_of(place)
    assert "energy" in next((place / "runs").iterdir()).name
    clean, last = result["rows"][0], result["rows"][-1]
    assert (last["made"], all(last["kept"])) == ("latency", True)
    assert (np.array(last["energy"]) >= clean["energy"]).all()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_in_the_same(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH", 2)
    command = ("attack", "latency", *FEW, "--eps", "0.1")
    assert run(*command, "--out", "whole").code == 0
    write, done, counted = runs.keep, [0], [0]

    def stop(*arguments: Any) -> None:
        write(*arguments)
        done[0] += 1
        if done[0] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "keep", stop)
    assert "interrupted" in run(*command, "--out", "parts").interrupted

    def count(*arguments: Any) -> None:
        write(*arguments)
        counted[0] += 1

    monkeypatch.setattr(runs, "keep", count)
    assert run(*command, "--out", "parts").code == 0
    assert counted == [1], "two of three batches were known"
    whole, parts = (
        json.loads(next((place / out).rglob("result.json")).read_text())
        for out in ("whole", "parts")
    )
    assert whole["rows"] == parts["rows"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--eps", "2"), "epsilon 2 is outside 0 … 1"),
        (("--eps", "x"), "epsilon 'x' is not a number"),
        (("--eps", "inf"), "epsilon must lie between 0 and 1, got inf"),
        (("--eps", "0.001"), "epsilon 0.001 is below one step of the input grid"),
        (("--steps", "-1"), "Invalid value for '--steps'"),
        (("--width", "0"), "Invalid value for '--width'"),
        (("--width", "nan"), "nan is not a finite number"),
        (("--step-size", "3"), "step_size"),
        (("--step-size", "nan"), "nan is not a finite number"),
        (("--objective", "joy"), "Invalid value for '--objective'"),
        (("--samples", "601"), "601"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, place: Path, offered: Network, options: tuple[str, ...], message: str
) -> None:
    assert message in run("attack", "latency", "--skip", "--model", "small", *options).line
    assert not (place / "runs").exists()


def test_an_engine_that_skips_nothing_is_refused(run: Run, place: Path, offered: Network) -> None:
    line = run("attack", "latency", "--model", "small").line
    assert "the engine 'tiny' skips no zeros, so no cycle depends on the image" in line
    assert "add --skip, or skip = true to its configuration" in line


def test_a_network_whose_cycles_no_image_moves_is_refused(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = load_config("tiny").replace(skip=True, skip_columns=2)
    monkeypatch.setitem(offered.__dict__, "program", offered.program.replace(config=short))
    line = run("attack", "latency", *FEW).line
    assert "no fully connected layer of this network has a fan-in of at most 2" in line


def test_without_a_float_network_its_density_is_left_out(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(offered.__dict__, "alone", "its manifest names none")
    line = run("attack", "latency", *FEW, "--surrogate", "float").line
    assert "there is no float network of small: leave out --surrogate float" in line
    code, out, _ = run("attack", "latency", *FEW, "--eps", "0.3")
    assert code == 0
    assert "float density" not in out
    assert "float density" not in [row["made"] for row in result_of(place)["rows"]]
