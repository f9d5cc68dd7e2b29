"""`hwsim jsma-study` from the command line, on a small network and small images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.networks.subject import OpenedNetwork
from tests.cli.conftest import Run, read
from tests.unit.test_jsma_study import images as images
from tests.unit.test_jsma_study import network as network

FOLDER = Path("runs/jsma-study-small-default-probabilities")


@pytest.fixture(autouse=True)
def small(network: Any, images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [OpenedNetwork(network, images)]
    monkeypatch.setattr("hwsim.networks.subject.open_subjects", lambda *_: opened)


@pytest.mark.slow
def test_a_study_leaves_numbers_a_picture_and_a_page(run: Run, place: Path) -> None:
    command = ("jsma-study", "--per-class", 1, "--output", "probabilities")
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert "97.10%" in out
    assert "float" in out
    assert sorted(p.name for p in (place / FOLDER).iterdir()) == [
        "report.html", "result.json", "result.png",
    ]  # fmt: skip
    result = read(place / FOLDER / "result.json")
    assert result["samples"] == 10
    assert result["output"] == "probabilities"
    assert result["command"] == " ".join(["hwsim", *map(str, command)])
