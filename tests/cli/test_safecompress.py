"""safecompress: what it leaves, its closing table, and what it refuses."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from hwsim.commands.safecompress import _settings
from hwsim.models import zoo
from hwsim.models.allocation import allocation
from hwsim.models.layers import compress
from hwsim.models.train_network import Data
from hwsim.report.safecompress_report import render_screen
from hwsim.runs import safecompress
from hwsim.runs.membership.sides import sides_of_card
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("few_digits")
FEW = ("--epochs", "2", "--batch", "8", "--members", "24", "--tested", "10", "--candidates", "2",
       "--period", "3", "--trial", "1")  # fmt: skip


def test_a_network_that_learns_with_muon_is_compressed_without() -> None:
    known = zoo.spec("resnet20-muon").recipe
    found = _settings(known, 3, epochs=None, batch=None, lr=None).recipe
    assert found == replace(
        known, seed=3, shift=0, flip=False, precision="float32", muon=None
    )  # fmt: skip


@pytest.mark.slow
def test_a_compressed_network_its_control_and_their_attacks(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safecompress, "EPOCHS", 2)
    monkeypatch.setenv("COLUMNS", "100")  # intervals of ten samples are wide
    typed = ("safecompress", "lenet5", "--density", "0.2", "--against", "random",
             "--json", "found.json", *FEW)  # fmt: skip
    code, out, err = run(*typed)
    assert (code, err) == (0, "")
    assert "12,294 of 61,470" in out
    for words in ("lenet5-bmia-random", "4 bits", "black box", "others", "runs/zoo"):
        assert words in out
    found = json.loads((place / "found.json").read_text())
    for name, method in (("lenet5-bmia", "bmia"), ("lenet5-bmia-random", "random")):
        row = found["networks"][name]
        assert row["method"] == method
        for machine in ("float", "8", "4"):
            assert all(row[machine][kind]["judged_on"] == 10 for kind in ("bmia", "wmia", "mmia"))
        told = zoo.card(name, place / "runs/zoo").recipe
        assert (told["images"], told["drawn"], told["sparse"]["method"]) == (24, 0, method)
        assert [one["progress"] for one in told["sparse"]["updates"]] == [3]
        # `hwsim attack mia-…` finds the same members.
        opened: Any = SimpleNamespace(test="test images")
        members, others = sides_of_card(str(place / "runs/zoo" / name), opened)
        drawn = Data.load("mnist").draw(24, 0)[0].learn
        assert (members.images == drawn.images).all()
        assert others == "test images"  # 8 training images were left
        module = zoo.load(name, place / "runs/zoo")
        left = sum(int(torch.count_nonzero(w)) for w in module.parameters() if w.ndim > 1)
        assert left == told["sparse"]["nonzero"] <= told["sparse"]["weights"][0] == 12_294


@pytest.mark.slow
def test_a_hashed_network_with_words_of_its_own_opens_again(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safecompress, "EPOCHS", 1)
    monkeypatch.setattr(safecompress, "BITS", (8,))
    code, _, err = run("safecompress", "lenet5", "--hashed", "--density", "0.2", *FEW)
    assert (code, err) == (0, "")
    card = zoo.card("lenet5-hash-bmia", place / "runs/zoo")
    module = zoo.load("lenet5-hash-bmia", place / "runs/zoo")
    assert card.words == allocation(module) == card.recipe["sparse"]["layers"]
    assert card.words != allocation(compress(zoo.build("lenet5"), 0.2))
    assert abs(sum(card.words.values()) - 12_294) <= 2


REFUSED = {
    "nothing": (("lenet",), "unknown model 'lenet'"),
    "no density": (("lenet5", "--density", "0"), "Invalid value for '--density'"),
    "an unknown control": (("lenet5", "--against", "luck"), "unknown method 'luck'"),
    "no control": (("lenet5", "--against", ","), "unknown method ''"),
    "early stopping": (("lenet5", "--against", "early"), "needs the accuracy to stop at"),
    "no room for a trial": (("lenet5", "--period", "3"), "leaves no room for a trial of 4"),
    "too few": (("lenet5", "--members", "19"), "Invalid value for '--members'"),
    "too many": (("lenet5", "--members", "33"), "gives 1 to 32"),
    "a rate too large": (("lenet5", "--lr", "1e30", *FEW), "choose a smaller learning rate"),
    "no folder": (("lenet5", "--name", "a/b"), "that is what --out is for"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_one_line(run: Run, place: Path, case: str) -> None:
    arguments, said = REFUSED[case]
    assert said in run("safecompress", *arguments).line
    assert not list((place / "runs").glob("**/*.json"))
    assert not list((place / "runs").glob("**/*.safetensors"))


def test_long_names_differ_on_the_screen() -> None:
    """Cut off, a network and its control had one name."""
    attacked = {"accuracy": 0.5, "interval": (0.4, 0.6)}
    row = {
        "method": "hash", "left": [29_747, 297_472],
        "float": {"task": 0.5, "members": 0.5, "bmia": attacked, "wmia": attacked,
                  "mmia": attacked},
    }  # fmt: skip
    names = ("small-newsgroups-hash-bmia", "small-newsgroups-hash-bmia-hash-random")
    console = Console(width=100, record=True, file=io.StringIO())
    found = {
        "networks": dict.fromkeys(names, row), "members": 100, "judged_on": 50, "note": None,
        "dataset": {"name": "newsgroups"},
    }  # fmt: skip
    render_screen(found, console, Path("runs"))
    out = console.export_text()
    assert "\u2026" not in out
    first = "".join(line.split("  ")[0].strip() for line in out.splitlines())
    assert all(name in first for name in names)
