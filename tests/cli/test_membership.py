"""`hwsim attack mia-…`: rows that fit together, a run that goes on, bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hwsim
from hwsim.attacks.evaluate.roc import auc
from hwsim.attacks.membership.known import MEMBERSHIP
from hwsim.attacks.membership.splits import halves
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network
from hwsim.runs.membership import run as runs
from hwsim.runs.membership.views import engine_records, float_records
from hwsim.units.softmax import probabilities_at
from tests.cli.conftest import Run

FEW = ("--samples", "40", "--epochs", "1", "--shadows", "2")


@pytest.fixture
def sides(place: Path) -> tuple[str, ...]:
    """Files of a network without a card."""
    test = load_dataset("mnist", "test")
    for name, part in (("m", slice(0, 40)), ("o", slice(40, 90))):
        images = test.images[part].astype(np.float32) / 255
        np.savez(f"{name}.npz", x=images, y=test.labels[part])
    return ("--model", "small", "--members", "m.npz", "--others", "o.npz")


def result_of(place: Path) -> dict[str, Any]:
    (path,) = place.glob("runs/*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.slow
def test_all_attacks_leave_a_row_for_everything_they_can_use(
    run: Run,
    place: Path,
    offered: Network,
    sides: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    views = ("--view", "float,engine,probabilities,class,cycles", "--skip")
    code, out, err = run("attack", "mia", *sides, *FEW, *views, "--json", "out.json")
    assert (code, err) == (0, "")
    assert all(len(line) <= columns for line in out.splitlines())
    assert ("at 0.1%" in out) == (columns == 100)
    result = result_of(place)
    assert json.loads((place / "out.json").read_text()) == result
    seen = {(row["attack"], row["view"]) for row in result["rows"]}
    assert {view for name, view in seen if name == "mia-bmia"} == set(result["views"])
    assert {view for name, view in seen if name == "mia-wmia"} == {"float", "engine"}
    assert {view for name, view in seen if name == "mia-gap"} == {"float", "engine", "class"}
    assert {row["judged_on"] for row in result["rows"]} == {40}
    assert all(row["tpr1"] is None for row in result["rows"])
    assert "not measurable" in out
    gap = next(r for r in result["rows"] if (r["attack"], r["view"]) == ("mia-gap", "engine"))
    label = next(r for r in result["rows"] if (r["attack"], r["view"]) == ("mia-gap", "class"))
    assert gap["auc"] == label["auc"]
    (folder,) = (place / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {"result.json", "result.png", "report.html"}
    assert "tells members" not in (folder / "report.html").read_text()


def test_an_interrupted_run_goes_on_and_ends_in_the_same(
    run: Run, place: Path, offered: Network, sides: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    command = ("attack", "mia-loss", *sides, *FEW)
    assert run(*command, "--out", "whole").code == 0
    attack, asked = runs.attack, [0]

    def stop(*arguments: Any) -> Any:
        asked[0] += 1
        if asked[0] == 2:
            raise KeyboardInterrupt
        return attack(*arguments)

    monkeypatch.setattr(runs, "attack", stop)
    assert "the same command" in run(*command).interrupted
    assert run(*command).code == 0
    # One of two rows was kept: one was asked, one was interrupted, one was asked again.
    assert asked[0] == 3
    both = [
        json.loads(next(place.glob(f"{out}/*/result.json")).read_text())["rows"]
        for out in ("whole", "runs")
    ]
    assert both[0] == both[1]


def test_views_are_what_the_machine_gives(offered: Network) -> None:
    test = load_dataset("mnist", "test").take(20)
    x, y = offered.inputs(test), torch.from_numpy(test.labels)
    engine = Engine(offered.program)
    logits = engine.integer_logits(x)
    scale = offered.program.logit_scale
    seen = engine_records(engine, x, y, "engine", white=True)
    real = logits.double() * scale
    assert seen.outputs is not None
    torch.testing.assert_close(
        seen.outputs.double(), real - real.amax(1, keepdim=True), rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(
        seen.losses, torch.nn.functional.cross_entropy(real, y, reduction="none")
    )
    assert seen.features is not None
    assert seen.features.shape[1] == engine.feature_maps(x[:1])[-1].size
    unit = engine_records(engine, x, y, "probabilities")
    expected = probabilities_at(logits.numpy(), scale) / 65536
    assert unit.outputs is not None
    assert (unit.outputs.numpy() == expected.astype(np.float32)).all()
    alone = engine_records(engine, x, y, "class")
    assert alone.outputs is None
    assert (alone.answers == logits.argmax(1)).all()
    skipping = Engine(offered.program.skipping())
    timed = engine_records(skipping, x, y, "cycles")
    assert timed.cycles is not None
    counts = skipping.cycles(x)
    varying = [column for column in counts.T if np.ptp(column) > 0]
    assert {tuple(column) for column in varying} <= {tuple(c) for c in timed.cycles.T.tolist()}
    assert len(float_records(offered.module, x, y)) == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mia-loss", "--view", "class"), "cannot use class"),
        (("mia-loss", "--view", "all"), "none of"),
        (("mia-loss", "--view", ","), "at least one"),
        (("mia-bmia", "--view", "cycles"), "--skip"),
        (("mia-loss", "--samples", "41"), "41 members"),
        (("mia-loss", "--samples", "5"), "10 members"),
        (("mia-lira", "--shadows", "3"), "pairs"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, place: Path, offered: Network, sides: tuple[str, ...], arguments: tuple[str, ...],
    words: str,
) -> None:  # fmt: skip
    assert words in run("attack", *arguments, *sides).line
    assert not list(place.glob("runs/*/*"))


def test_members_and_others_belong_together(run: Run, place: Path, offered: Network) -> None:
    np.savez("m.npz", x=np.zeros((12, 1, 28, 28), np.float32), y=np.zeros(12, np.int64))
    assert "both or none" in run("attack", "mia-loss", "--members", "m.npz").line


@pytest.mark.parametrize("bare", ["m", "o"])
def test_samples_without_labels_are_not_taken(
    run: Run, place: Path, offered: Network, sides: tuple[str, ...], bare: str
) -> None:
    """The network's own answers in their place made an area of 0.95 out of nothing."""
    with np.load(f"{bare}.npz") as whole:
        np.savez(f"{bare}.npz", x=whole["x"])
    line = run("attack", "mia-loss", *sides, *FEW).line
    assert line.startswith(f"hwsim: {bare}.npz: has no labels")
    assert not list(place.glob("runs/*/*"))


def test_members_are_no_others(
    run: Run, place: Path, offered: Network, sides: tuple[str, ...]
) -> None:
    again = ("--members", "m.npz", "--others", "m.npz")
    assert "the same samples" in run("attack", "mia-loss", *sides[:2], *again, *FEW).line


@pytest.mark.parametrize("shared", [0, 7])
def test_others_that_are_members_too_are_counted(
    run: Run, place: Path, offered: Network, sides: tuple[str, ...], shared: int
) -> None:
    mine, theirs = (dict(np.load(f"{name}.npz")) for name in ("m", "o"))
    for key, values in theirs.items():
        theirs[key] = np.concatenate([mine[key][:shared], values])[:40]
    np.savez("o.npz", **theirs)
    out = run("attack", "mia-loss", *sides, *FEW).out
    assert result_of(place)["repeated"] == shared
    said = f"{shared} of the others are among the members" in " ".join(out.split())
    assert said == (shared > 0)


def test_a_network_of_other_files_has_no_known_members(
    run: Run, place: Path, offered: Network
) -> None:
    """The test's digits are not those that the card names."""
    assert "no members" in run("attack", "mia-loss", "--model", "mnist-cnn-h16").line


POOLED = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 4), nn.ReLU(), nn.Conv2d(4, 10, 3, 2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
"""


@pytest.mark.slow
def test_of_a_network_that_nobody_can_look_into_white_boxes_are_left_out(
    run: Run, place: Path, sides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Path("net.py").write_text(POOLED)
    typed = ("--model", "net.py:net", *sides[2:], *FEW)
    code, out, _ = run("attack", "mia", *typed)
    assert code == 0
    result = result_of(place)
    names = {row["attack"] for row in result["rows"]}
    assert names == set(MEMBERSHIP) - {"mia-wmia", "mia-mmia"}
    assert result["left_out"].startswith("no linear layer makes this network's logits")
    assert "White boxes are left out: no linear layer" in out
    assert run("attack", "mia-wmia", *typed).line == f"hwsim: {result['left_out']}"


def test_the_table_of_tensors_is_that_of_files_and_refuses_the_same(
    run: Run, place: Path, sides: tuple[str, ...]
) -> None:
    files = [np.load(name) for name in ("m.npz", "o.npz")]
    mine, theirs = ((one["x"][:40], one["y"][:40]) for one in files)
    Path("net.py").write_text(POOLED)
    model = hwsim.load_model("net.py:net", data=mine[0])
    found = hwsim.membership_table(model, mine, theirs, attack="mia-loss", views=["float"])
    (row,) = found["rows"]
    assert (row["attack"], row["view"], row["judged_on"]) == ("mia-loss", "float", 40)
    with torch.no_grad():
        logits = [model.module(torch.from_numpy(x)).double() for x, _ in (mine, theirs)]
    lost = [
        torch.nn.functional.cross_entropy(z, torch.from_numpy(y).long(), reduction="none")
        for z, (_, y) in zip(logits, (mine, theirs), strict=True)
    ]
    halved = [
        -one[halves(torch.from_numpy(y).long(), seed).judged].numpy()
        for one, (_, y), seed in zip(lost, (mine, theirs), (0, 1), strict=True)
    ]
    assert row["auc"] == pytest.approx(auc(*halved).value, abs=0.011)  # an 8-bit grid of pixels
    with pytest.raises(InputError, match="no labels"):
        hwsim.membership_table(model, mine, (theirs[0], None), attack="mia-loss")
    with pytest.raises(InputError, match="the same samples"):
        hwsim.membership_table(model, mine, mine, attack="mia-loss")
