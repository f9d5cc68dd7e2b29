"""The timing leak of a small engine whose time is known to depend on the class."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwsim.cost.padding import Padding
from hwsim.cost.timing import analyze
from hwsim.engine.cycles import timing_of
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset
from hwsim.networks.open import Network, compile
from hwsim.networks.own_data import OwnData
from hwsim.numbers.config import load_config
from hwsim.report.leak_report import curve_rows, layer_rows, membership, render, rows, write
from hwsim.runs import guessers
from hwsim.runs.leak import CURVE, LeakSettings, LeakStudy
from hwsim.runs.leak_judge import membership_verdict
from hwsim.units import sequencer

CLASSES = 4
LESS = LeakSettings(noises=(), curve=False)


def lit(labels: np.ndarray, seed: int) -> np.ndarray:
    """Images of 8×8, of which an engine's time depends on the number of pixels that are not 0:
    8 to 10 of class 0, 20 to 22 of class 1, …
    """
    draw = np.random.default_rng(seed)
    images = np.zeros((len(labels), 64), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[: 8 + 12 * label + draw.integers(0, 3)] = draw.integers(40, 256)
    return images.reshape(-1, 1, 8, 8)


def data(count: int, split: str, seed: int) -> Dataset:
    labels = np.arange(count) % CLASSES
    return Dataset("lit", split, lit(labels, seed), labels, "here", "0" * 64, False)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def small_forests() -> Iterator[None]:
    """A hundred trees are most of the time of a study, and no test asks for so many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guessers, "TREES", 4)
        yield


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, CLASSES))
    x = torch.from_numpy(lit(np.arange(80) % CLASSES, 0) / np.float32(255))
    config = load_config("tiny").replace(skip=True)
    return Network("lit", net.eval(), compile(net, x, config), "lit")


def study(network: Network, settings: LeakSettings = LESS, test: Any = None) -> LeakStudy:
    return LeakStudy(network, test or data(120, "test", 1), data(400, "train", 2), settings)


@pytest.fixture(scope="module")
def result(network: Network) -> dict[str, Any]:
    return study(network, LeakSettings(noises=(1.0, 10_000.0))).run()


@pytest.mark.slow
def test_time_that_depends_on_the_class_gives_it_away(result: dict[str, Any]) -> None:
    for seen in ("layers", "total"):
        found = result["observers"][seen]["class"]
        assert found["accuracy"] > 0.95
        assert found["information_interval"][1] == pytest.approx(math.log2(CLASSES))
        assert found["separated"] == found["pairs"] == 6
        assert found["verdict"] == "leaks"


def test_noise_far_beyond_the_spread_hides_it(result: dict[str, Any]) -> None:
    little, much = (result["observers"][f"total, σ {noise}"]["class"] for noise in (1, 10000))
    assert little["accuracy"] > 0.95
    assert much["verdict"] == "nothing found"
    assert much["interval"][0] <= 1 / CLASSES <= much["interval"][1]


def test_who_was_trained_on_is_not_seen_where_both_are_drawn_alike(result: dict[str, Any]) -> None:
    assert result["members"] == 120
    found = result["observers"]["total"]["membership"]
    assert found["images"] == 240
    assert found["area_interval"][0] < 0.5 < found["area_interval"][1]
    assert found["verdict"] != "leaks"


def test_images_that_differ_by_themselves_are_not_called_members(network: Network) -> None:
    labels = np.arange(400) % CLASSES
    members = dataclasses.replace(data(400, "train", 2), images=lit(0 * labels, 3), labels=labels)
    found = LeakStudy(network, data(120, "test", 1), members, LESS).run()
    for seen in ("layers", "total"):
        told = found["observers"][seen]["membership"]
        assert told["area_interval"][0] > 0.5
        assert told["verdict"] == "as images differ"
    assert found["image_alone"]["membership"]["verdict"] == "leaks"


def test_who_is_told_better_than_by_looks_is_a_member() -> None:
    told = {"verdict": "leaks", "area_interval": (0.6, 0.7)}
    assert membership_verdict(told, {"area_interval": (0.5, 0.59)}) == "leaks"
    assert membership_verdict(told, {"area_interval": (0.5, 0.61)}) == "as images differ"
    doubt = {"verdict": "in doubt", "area_interval": (0.5, 0.7)}
    assert membership_verdict(doubt, {"area_interval": (0.5, 0.9)}) == "in doubt"


def test_cycles_are_those_of_the_engine(network: Network, result: dict[str, Any]) -> None:
    test = data(120, "test", 1)
    counted = Engine(network.program).cycles(network.inputs(test))
    whole = counted.sum(1) + sequencer.START
    told = result["cycles"]
    assert (told["least"], told["most"]) == (whole.min(), whole.max())
    assert told["unpadded"] == told["mean"] == whole.mean()
    assert [layer["mean"] for layer in result["layers"]] == counted.mean(0).tolist()
    assert told["unskipped"] == analyze(network.program.skipping(False)).cycles
    assert told["worst"] == timing_of(network.program).worst.sum() + 1
    for row in result["by_class"]:
        assert row["mean"] == whole[test.labels == row["class"]].mean()


@pytest.mark.parametrize("scope", ["layers", "total"])
def test_padded_to_the_worst_case_nothing_is_left(network: Network, scope: str) -> None:
    pad = Padding.of("worst", scope)  # type: ignore[arg-type]
    result = study(network, dataclasses.replace(LESS, pad=pad, noises=(50.0,))).run()
    hidden = ("total", "total, σ 50", *(["layers"] if scope == "layers" else []))
    for seen in hidden:
        for found in result["observers"][seen].values():
            assert (found["information"], found["information_interval"]) == (0, (0, 0))
            assert found["accuracy"] == found["chance"]
            assert (found["separated"], found["largest_t"]) == (0, 0)
            assert found["verdict"] == "constant"
    assert result["cycles"]["mean"] == result["cycles"]["worst"]
    if scope == "total":
        assert result["observers"]["layers"]["class"]["accuracy"] > 0.95


def test_the_curve_falls_as_it_costs_more(result: dict[str, Any]) -> None:
    curve = result["curve"]
    assert [point["pad"] for point in curve if point["observer"] == "layers"] == list(CURVE)
    for scope, seen in (("layers", "layers"), ("layers", "total"), ("total", "total")):
        points = [p for p in curve if (p["scope"], p["observer"]) == (scope, seen)]
        costs = [point["mean"] for point in points]
        told = [point["information"] for point in points]
        assert costs == sorted(costs)
        assert told[0] > 1.9
        assert told[-1] == 0
        assert all(more >= less - 0.05 for more, less in itertools.pairwise(told))
        assert points[-1]["above"] == 0
        assert points[0]["of_unpadded"] == pytest.approx(1, abs=0.02)
    assert not [p for p in curve if (p["scope"], p["observer"]) == ("total", "layers")]


def test_floors_are_set_by_other_images_than_those_that_are_judged(network: Network) -> None:
    made = study(network)
    assert len(made.calibration) == 120
    assert made.members is not None
    every = data(400, "train", 2).images[np.arange(240) * 400 // 240]
    assert np.array_equal(made.calibration.images, every[::2])
    assert np.array_equal(made.members.images, every[1::2])
    engine = Engine(network.program)
    floors = np.quantile(
        engine.cycles(network.inputs(made.calibration)), 0.5, axis=0, method="inverted_cdf"
    )
    padded = study(network, dataclasses.replace(LESS, pad=Padding.of("q50"))).run()
    assert padded["pad"] == {"name": "q50", "scope": "layers", "floors": floors.tolist()}


@pytest.mark.slow
def test_a_run_is_the_same_again(network: Network) -> None:
    asked = dataclasses.replace(LESS, observed="total", noises=(20.0,), pad=Padding.of("q50"))
    first, again = (study(network, asked).run() for _ in range(2))
    assert again == first
    other = study(network, dataclasses.replace(asked, seed=1)).run()
    assert other["observers"] != first["observers"]


def test_an_engine_that_always_answers_the_same_has_no_answer_to_tell(network: Network) -> None:
    (last,) = [layer for layer in network.program.layers if layer is network.program.output]
    certain = dataclasses.replace(last, bias=last.bias + np.array([1 << 24, 0, 0, 0]))
    program = network.program.replace(layers=(*network.program.layers[:-1], certain))
    result = study(dataclasses.replace(network, program=program)).run()
    assert result["right"] == 30
    assert set(result["observers"]["total"]) == {"class", "membership"}


@pytest.mark.slow
def test_only_who_was_asked_for_observes(network: Network) -> None:
    asked = dataclasses.replace(LESS, observed="layers", noises=(5.0,))
    assert list(study(network, asked).run()["observers"]) == ["layers"]
    asked = dataclasses.replace(LESS, observed="total", noises=(5.0,))
    assert list(study(network, asked).run()["observers"]) == ["total", "total, σ 5"]


def test_data_of_a_user_have_no_members(network: Network) -> None:
    labels = np.arange(60) % CLASSES
    images = lit(labels, 5) / np.float32(255)
    own = OwnData("mine", images, labels, "mine.npz", "0" * 64)
    made = LeakStudy(network, own.at(np.arange(40)), own.at(np.arange(40, 60)), LESS)
    result = made.run()
    assert (result["members"], result["calibration"]) == (0, 20)
    assert "membership" not in result["observers"]["total"]
    assert "trained on is not known" in membership(result)


@pytest.mark.slow
def test_the_study_leaves_json_picture_and_page(result: dict[str, Any], tmp_path: Path) -> None:
    paths = write({**result, "command": "hwsim leak <x>"}, tmp_path)
    assert json.loads(paths["json"].read_text())["kind"] == "leak"
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    page = paths["html"].read_text()
    assert "&lt;x&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    cells = len(rows(result)) + len(layer_rows(result)) + len(curve_rows(result))
    assert page.count("<tr>") == 3 + cells
    assert render(result)


def test_an_engine_that_does_not_skip_is_refused(network: Network) -> None:
    program = network.program.skipping(False)
    with pytest.raises(InputError, match="the engine tiny does not skip zeros"):
        study(dataclasses.replace(network, program=program))


def test_images_of_one_class_are_refused(network: Network) -> None:
    test = data(120, "test", 1)
    with pytest.raises(InputError, match="all 30 images are of class 2"):
        study(network, test=test.at(test.labels == 2))


def test_fewer_images_than_classes_are_refused(network: Network) -> None:
    with pytest.raises(InputError, match="3 images are fewer than the 4 classes"):
        study(network, test=data(3, "test", 1))


def test_a_layer_beyond_its_static_bound_is_a_bug(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study(network)
    monkeypatch.setattr(made, "worst", made.worst - 500)
    with pytest.raises(ArithmeticError, match="more than its static bound"):
        made.run()
