"""The class-pair study of a small network: what it writes, and that it goes on after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hwsim
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset
from hwsim.networks.open import Network
from hwsim.report.jsma_report import render_study, write_study
from hwsim.runs.classpairs import JsmaStudy, StudySettings, balanced
from hwsim.runs.unfinished import keep


@pytest.fixture(scope="module")
def images() -> Dataset:
    """20 images of 10 × 10 pixels, sorted by class, and one more of class 0."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (21, 1, 10, 10), dtype=np.uint8)
    labels = np.array([0, *np.arange(20) // 2])
    return Dataset("mnist", "test", noise, labels, "here", "0" * 64, True)


@pytest.fixture(scope="module")
def network(images: Dataset) -> Network:
    """A random network that gets most of them right, for it was made from them."""
    x = torch.from_numpy(images.images).float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(100, 60), nn.ReLU(), nn.Linear(60, 10))
    hot = nn.functional.one_hot(torch.from_numpy(images.labels), 10).float()
    with torch.no_grad():
        features = torch.cat([module[:3](x), torch.ones(len(x), 1)], 1)
        fitted = torch.linalg.lstsq(features, 8 * hot, driver="gelsd").solution
        module[3].weight.copy_(fitted[:-1].T)
        module[3].bias.copy_(fitted[-1])
    return Network("small", module.eval(), hwsim.compile(module, x), "mnist")


def study(network: Network, images: Dataset, **chosen: Any) -> JsmaStudy:
    settings = {"model": "small", "per_class": 2, "output": "probabilities", **chosen}
    return JsmaStudy(StudySettings(**settings), network, images)


@pytest.fixture(scope="module")
def done(network: Network, images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished study and its state."""
    whole = study(network, images)
    return whole, whole.count(tmp_path_factory.mktemp("whole") / "partial.json")


def test_each_class_gives_the_same_number_of_images_in_turns(images: Dataset) -> None:
    assert balanced(images, 2, images.class_names).labels.tolist() == [*range(10), *range(10)]
    with pytest.raises(InputError, match="gives 1 to 2 of class 1"):
        balanced(images, 3, images.class_names)


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_ends_like_an_unstopped_one(
    done: Any, network: Network, images: Dataset, tmp_path: Path
) -> None:
    partial, seen = tmp_path / "partial.json", []

    def stop(count: int, total: int) -> None:
        assert total == 40
        if count == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(network, images).count(partial, stop)
    again = study(network, images).count(partial, lambda count, _: seen.append(count))
    assert seen == [10, 20, 20, 30, 40]
    assert again == done[1]
    other = study(network, images, theta=0.5)
    assert other._resumed(partial) == {}


def test_a_damaged_partial_file_is_ignored(done: Any, tmp_path: Path) -> None:
    whole, state = done
    partial = tmp_path / "partial.json"
    mine = state["float"]
    keep(partial, whole.key, {"state": {"float": mine}})
    assert whole._resumed(partial) == {"float": mine}
    for facts in (
        {}, {"state": []}, {"state": {"float": mine | {"done": 7}}},
        {"state": {"float": mine | {"flipped": [1]}}}, {"state": {"float": mine | {"pairs": None}}},
    ):  # fmt: skip
        keep(partial, whole.key, facts)  # its digest is right, as a forger would make it
        assert whole._resumed(partial) == {}, facts
    for wrong in ("", "[]", '{"key": 1}'):
        partial.write_text(wrong)
        with pytest.warns(RuntimeWarning, match=r"partial\.json: damaged"):
            assert whole._resumed(partial) == {}, wrong


@pytest.mark.slow
def test_the_files_of_a_study_hold_its_numbers(done: Any, tmp_path: Path) -> None:
    whole, state = done
    result = whole.result(state)
    paths = write_study(result, tmp_path / "run")
    kept = json.loads(paths["json"].read_text(encoding="utf-8"))
    page = paths["html"].read_text(encoding="utf-8")
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    for name in ("float", "engine"):
        machine = kept["machines"][name]
        assert machine["searches"] == 9 * round(20 * machine["clean"])
        assert machine["searches"] >= 90
        assert 0 < machine["success"] <= machine["success_by_level"][-1]
        assert machine["success_by_level"] == sorted(machine["success_by_level"])
        assert machine["hjsma_success"] == sorted(machine["hjsma_success"])
        assert np.array(machine["hardness"], dtype=float).shape == (10, 10)
        assert f"{100 * machine['success']:.2f}%" in page
    assert "97.10%" in page
    assert 'src="http' not in page
    assert "{{" not in page


def test_the_screen_shows_the_study_beside_the_published_numbers(done: Any, tmp_path: Path) -> None:
    from rich.console import Console

    whole, state = done
    result = whole.result(state)
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    paths = {kind: Path(kind) for kind in ("html", "png", "json")}
    render_study(result, console, paths)
    text = console.export_text()
    assert "97.10%" in text
    assert "4.02–4.44%" in text
    assert "hardest" in text


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({}, "jsma-study-small-default-probabilities"),
        ({"theta": -1.0}, "jsma-study-small-default-probabilities-theta-1"),
        ({"block": 4}, "jsma-study-small-default-probabilities-block4"),
    ],
)
def test_the_folder_tells_runs_apart(
    network: Network, images: Dataset, chosen: dict[str, Any], name: str
) -> None:
    assert study(network, images, **chosen).name == name
