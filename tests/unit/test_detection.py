"""Detectors, ROC areas with intervals, and an attacker who knows."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.losses import Margin
from hwsim.attacks.evaluate import roc
from hwsim.attacks.pgd import PGD
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset
from hwsim.networks.open import Network, compile
from hwsim.numbers.config import load_config
from hwsim.report.detection_report import rows, write
from hwsim.runs import detection
from hwsim.runs.detection import DetectionStudy
from hwsim.runs.detectors import Guarded, Hiding, Labels, Neighbours, Probabilities

# ---------------------------------------------------------------- ROC


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(0)
    positives, negatives = random.integers(0, 6, 13) / 2, random.integers(0, 5, 9) / 2
    pairs = list(itertools.product(positives, negatives))
    expected = np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs])
    assert roc.auc(positives, negatives).value == pytest.approx(expected)
    false, true = roc.curve(positives, negatives)
    assert np.trapezoid(true, false) == pytest.approx(expected)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_the_interval_holds_the_area_and_narrows_with_the_number_of_images() -> None:
    wide, narrow = roc.auc_interval(0.8, 10, 12), roc.auc_interval(0.8, 1000, 1200)
    for low, high in (wide, narrow):
        assert 0 < low < 0.8 < high < 1
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 5
    low, high = roc.auc_interval(1.0, 20, 20)
    assert 0.8 < low < 1.0 == high
    assert roc.auc_interval(0.0, 20, 20)[1] == pytest.approx(1 - low)


def test_the_interval_covers_the_true_area_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    true_area = 0.7602  # P(N(1, 1) > N(0, 1)) = Φ(1/√2)
    hits = 0
    for _ in range(400):
        found = roc.auc(random.normal(1, 1, 30), random.normal(0, 1, 30))
        assert found.interval is not None
        hits += found.interval[0] <= true_area <= found.interval[1]
    assert 0.92 <= hits / 400 <= 0.98


def test_without_images_on_one_side_there_is_no_area() -> None:
    assert roc.auc(np.zeros(0), np.ones(3)).value is None


def test_a_threshold_lets_no_more_than_its_rate_of_clean_images_alarm() -> None:
    scores = np.random.default_rng(2).random(200)
    for rate in (0.0, 0.05, 0.5):
        assert (scores > roc.threshold(scores, rate)).mean() == pytest.approx(rate)
    ties = np.zeros(10)
    assert (ties > roc.threshold(ties, 0.05)).mean() == 0


# ---------------------------------------------------------------- detectors


def test_neighbours_sums_over_every_pair_of_neighbouring_pixels() -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    expected = torch.zeros(2, dtype=torch.float64)
    for n, c, i, j in itertools.product(range(2), range(3), range(4), range(5)):
        if i:
            expected[n] += (x[n, c, i, j] - x[n, c, i - 1, j]) ** 2
        if j:
            expected[n] += (x[n, c, i, j] - x[n, c, i, j - 1]) ** 2
    torch.testing.assert_close(Neighbours().score(x, torch.zeros(2, 3)), expected)


class Twin(nn.Module):
    """Logits (mean, a constant) times a scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return self.scale * torch.stack([mean, torch.full_like(mean, 0.5)], 1)


def test_two_networks_disagree_where_their_probabilities_part() -> None:
    x = torch.rand(6, 1, 3, 3)
    same, other = Probabilities(Twin(4.0)), Probabilities(Twin(-4.0))
    logits = Twin(4.0)(x)
    assert float(same.score(x, logits).max()) == pytest.approx(np.log(2.0**-20))
    assert bool((other.score(x, logits) > same.score(x, logits)).all())
    assert Labels(Twin(4.0)).score(x, logits).tolist() == [0.0] * 6
    assert Labels(Twin(-4.0)).score(x, logits).tolist() == [1.0] * 6


def test_a_guarded_model_answers_detected_exactly_above_the_aim() -> None:
    x = torch.rand(50, 1, 6, 6)
    scores = Neighbours().score(x, torch.zeros(50, 2))
    aim = float(scores.median())
    guarded = Guarded(Twin(8.0), Neighbours(), Hiding(aim, 1.0, 2.0))
    assert torch.equal(guarded(x).argmax(1) == 2, scores > aim)
    assert torch.equal(guarded(x)[:, :2], Twin(8.0)(x))


def test_an_attacker_who_knows_stays_below_the_score_that_betrays_the_other() -> None:
    x = torch.full((6, 1, 6, 6), 0.45)
    model = Twin(8.0)
    goal = Targeted(torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64))
    plain = PGD(loss=Margin())(model, x, goal, epsilon=0.2)
    aim = float(Neighbours().score(plain.adversarial, model(x)).min()) / 4
    guarded = Guarded(model, Neighbours(), Hiding(aim, aim, 1.0))
    hidden = PGD(loss=Margin())(guarded, x, goal, epsilon=0.2)
    assert bool(plain.success.all())
    assert bool(hidden.success.all())
    assert float(Neighbours().score(hidden.adversarial, model(x)).max()) <= aim
    assert bool((model(hidden.adversarial).argmax(1) == 0).all())


# ---------------------------------------------------------------- the study


@pytest.fixture(scope="module")
def study() -> DetectionStudy:
    """A small trained network on ten bright bars."""
    draw = np.random.default_rng(0)
    labels = np.arange(240) % 4
    images = draw.integers(0, 60, (240, 1, 8, 8))
    for n, label in enumerate(labels):
        images[n, 0, 2 * label : 2 * label + 2] += 120
    data = Dataset("bars", "test", images.astype(np.uint8), labels, "here", "0" * 64, False)
    x = torch.from_numpy(data.images / np.float32(255))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
    weights = list(net.parameters())
    for _ in range(150):
        steps = torch.autograd.grad(
            nn.functional.cross_entropy(net(x), torch.from_numpy(labels)), weights
        )
        with torch.no_grad():
            for weight, step in zip(weights, steps, strict=True):
                weight -= 0.5 * step
    network = Network("bars", net.eval(), compile(net, x, load_config("tiny")), "bars")
    return DetectionStudy(network, data.take(24), data, ("hfgsm", "jsma"))


@pytest.fixture(scope="module")
def result(study: DetectionStudy) -> dict[str, Any]:
    return study.run()


def test_every_row_has_areas_and_shares(result: dict[str, Any]) -> None:
    assert [row["attack"] for row in result["attacks"]] == ["hfgsm", "jsma"]
    for row in result["attacks"]:
        assert row["detectors"].keys() == {"neighbours", "probabilities", "labels"}
        for told in row["detectors"].values():
            for who in ("unaware", "aware"):
                one = told[who]
                assert 0 <= one["undetected"] <= one["success"] <= 1
                if one["auc"] is not None:
                    assert one["interval"][0] <= one["auc"] <= one["interval"][1]
    assert result["correct"] >= 20


def test_an_attacker_who_knows_is_never_worse_off(result: dict[str, Any]) -> None:
    for row in result["attacks"]:
        for name in ("neighbours", "probabilities"):
            told = row["detectors"][name]
            assert told["aware"]["undetected"] >= told["unaware"]["undetected"]
            assert told["aware"]["success"] >= told["unaware"]["success"]
            if told["unaware"]["auc"] is not None and name == "neighbours":
                assert told["aware"]["success"] > told["unaware"]["success"] or (
                    told["aware"]["auc"] <= told["unaware"]["auc"]
                )


def test_the_study_leaves_json_picture_and_page(result: dict[str, Any], tmp_path: Path) -> None:
    paths = write({**result, "command": "hwsim detect <x>"}, tmp_path)
    assert json.loads(paths["json"].read_text())["kind"] == "detection"
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    page = paths["html"].read_text()
    assert "&lt;x&gt;" in page
    assert page.count("<tr>") == 1 + len(rows(result))


def test_an_interrupted_study_goes_on_with_the_next_attack(
    study: DetectionStudy, result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / "partial.json"
    tried: list[str] = []
    attack = DetectionStudy._attack

    def stop(self: DetectionStudy, name: str, *rest: Any) -> Any:
        tried.append(name)
        if len(tried) == 2:
            raise KeyboardInterrupt
        return attack(self, name, *rest)

    monkeypatch.setattr(DetectionStudy, "_attack", stop)
    with pytest.raises(KeyboardInterrupt):
        study.run(partial)
    again = study.run(partial)
    assert tried == ["hfgsm", "jsma", "jsma"]
    assert rows(again) == rows(result)


def test_an_unknown_attack_is_refused(study: DetectionStudy) -> None:
    with pytest.raises(InputError, match="unknown attack 'deepfool': choose from hfgsm, pgd"):
        DetectionStudy(study.network, study.test, study.train, ("deepfool",))


def test_a_network_that_is_always_wrong_leaves_nothing_to_attack(study: DetectionStudy) -> None:
    import dataclasses

    wrong = dataclasses.replace(study.test, labels=(study.test.labels + 1) % 4)
    with pytest.raises(InputError, match="classifies no image correctly"):
        DetectionStudy(study.network, wrong, study.train, ("hfgsm",)).run()


def test_the_attacks_of_the_study_are_in_the_catalogue() -> None:
    for name in detection.ATTACKS:
        assert detection._made(name, Grid(255)).effective(detection.ATTACKS[name][0])
