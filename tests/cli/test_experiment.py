"""The numbers of a run: well formed, repeatable, and never mixed with those of another run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.attacks.core.losses import CrossEntropy, ProbabilityLoss
from hwsim.models.datasets.dataset import Dataset, load_dataset
from hwsim.networks import open as networks
from hwsim.networks.open import Network
from hwsim.report.schema import to_json
from hwsim.runs import experiment as module
from hwsim.runs.count import count, fingerprint, key, resumed
from hwsim.runs.experiment import Experiment
from hwsim.runs.result import build
from hwsim.runs.settings import Request
from hwsim.runs.unfinished import keep
from tests.cli.conftest import MODEL, numbers

BASE = Request("hfgsm", MODEL, (0.1, 0.3), 24)


@pytest.fixture
def test_set() -> Dataset:
    return load_dataset("mnist", "test")


def experiment(network: Network, test: Dataset, **changes: Any) -> Experiment:
    return Experiment(dataclasses.replace(BASE, **changes), network, test)


def result(network: Network, test: Dataset, **changes: Any) -> dict[str, Any]:
    chosen = experiment(network, test, **changes)
    return json.loads(to_json(build(chosen, count(chosen, Path("partial.json")), 0.0)))


@pytest.fixture(scope="package")
def usual(network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of BASE."""
    chosen = experiment(network, load_dataset("mnist", "test"))
    tally = count(chosen, tmp_path_factory.mktemp("usual") / "partial.json")
    return json.loads(to_json(build(chosen, tally, 0.0)))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 8)


def interrupt_at(images: int) -> Any:
    def stop(done: int, total: int) -> None:
        if done == images:
            raise KeyboardInterrupt

    return stop


# ---------------------------------------------------------------- numbers


def test_two_runs_give_identical_numbers(
    network: Network, test_set: Dataset, usual: dict[str, Any]
) -> None:
    assert numbers(usual) == numbers(result(network, test_set))
    assert usual["clean"]["fixed"] > 0.9
    assert usual["success"]["engine_engine"][1] > 0.3


def test_an_image_gives_the_numbers_of_the_network_it_was_made_from(
    network: Network, image: Path, test_set: Dataset, usual: dict[str, Any]
) -> None:
    from_image = networks.open_network(str(image))
    assert fingerprint(from_image.program) == fingerprint(network.program)
    assert numbers(result(from_image, test_set)) == numbers(usual)


@pytest.mark.slow
def test_a_network_without_a_correct_answer_gives_null_and_no_error(
    network: Network, test_set: Dataset
) -> None:
    with torch.no_grad():
        answers = network.module(torch.from_numpy(test_set.images / np.float32(255))).argmax(1)
    wrong = dataclasses.replace(test_set, labels=(answers.numpy() + 1) % 10)
    found = result(network, wrong, samples=4)
    assert found["denominator"] == {"float": 0, "fixed": 0}
    assert found["success"]["engine_engine"] == [None, None]
    assert found["interval"]["float_float"] == [None, None]
    assert found["success_escalated"]["engine_engine"][0] is not None


def test_fewer_bits_mean_a_coarser_grid(test_set: Dataset) -> None:
    found = result(networks.open_network(MODEL, None, 4), test_set, samples=8)
    assert found["bits"] == 4
    assert found["effective_epsilons"] == [1 / 15, 4 / 15]
    assert found["clean"]["fixed"] > 0.9


def test_engine_probabilities_concern_the_engine_only(
    network: Network, test_set: Dataset, usual: dict[str, Any]
) -> None:
    chosen = experiment(network, test_set, probabilities="engine")
    assert isinstance(chosen.crafter.attacks["engine"].loss, ProbabilityLoss)
    assert isinstance(on_float := chosen.crafter.attacks["float"].loss, CrossEntropy)
    assert on_float.dtype == torch.float32
    own = result(network, test_set, probabilities="engine")
    for pair in ("float_float", "float_engine"):
        assert own["success"][pair] == usual["success"][pair]
    double = experiment(network, test_set, probabilities="float64")
    for attack in double.crafter.attacks.values():
        assert isinstance(attack.loss, CrossEntropy)
        assert attack.loss.dtype == torch.float64


def test_finite_differences_run_in_small_batches(network: Network, test_set: Dataset) -> None:
    chosen = experiment(network, test_set, samples=2, gradient="finite-difference")
    assert chosen.batch < module.BATCH
    tally = count(chosen, Path("partial.json"))
    assert tally.samples == 2
    assert tally.zero_gradient["engine"] == 0


# ---------------------------------------------------------------- targets


def test_a_target_class_leaves_its_own_images_out_and_says_so(
    network: Network, test_set: Dataset
) -> None:
    chosen = experiment(network, test_set, target="3")
    assert len(chosen.test) == 24
    assert 3 not in chosen.labels
    assert chosen.targets is not None
    assert set(chosen.targets.tolist()) == {3}
    found = result(network, test_set, target="3")
    assert found["targeted"] == "3"
    assert found["dataset"]["note"].endswith("images of class 3, the target, are left out")


@pytest.mark.parametrize("target", ["random", "least-likely"])
def test_a_target_is_never_the_label(network: Network, test_set: Dataset, target: str) -> None:
    first, again = (experiment(network, test_set, target=target) for _ in range(2))
    assert first.targets is not None
    assert again.targets is not None
    assert torch.equal(first.targets, again.targets)
    assert not (first.targets == first.labels).any()
    assert len(set(first.targets.tolist())) > 2


def test_the_least_likely_target_is_the_lowest_logit(network: Network, test_set: Dataset) -> None:
    chosen = experiment(network, test_set, target="least-likely")
    with torch.no_grad():
        logits = network.module(chosen.grid.snap(chosen.inputs))
    lowest = logits.scatter(1, chosen.labels[:, None], float("inf")).argmin(1)
    assert chosen.targets is not None
    assert torch.equal(chosen.targets, lowest)


# ---------------------------------------------------------------- resuming


def test_an_interrupted_run_goes_on_and_ends_like_an_uninterrupted_one(
    network: Network, test_set: Dataset, small_batches: None
) -> None:
    whole = count(experiment(network, test_set), Path("whole.json"))
    partial, seen = Path("partial.json"), []
    with pytest.raises(KeyboardInterrupt):
        count(experiment(network, test_set), partial, interrupt_at(16))
    kept = json.loads(partial.read_text())
    assert kept["tally"]["samples"] == 16
    tally = count(experiment(network, test_set), partial, lambda done, _: seen.append(done))
    assert tally == whole
    assert seen == [16, 24]
    # Finished, it counts nothing again.
    assert count(experiment(network, test_set), partial, interrupt_at(8)) == whole


CHANGES: dict[str, dict[str, Any]] = {
    "epsilons": {"epsilons": (0.1, 0.2)},
    "samples": {"samples": 16},
    "probabilities": {"probabilities": "engine"},
    "gradient": {"gradient": "ste-unclamped"},
    "target": {"target": "random"},
    "attack": {"attack": "fgsm"},
    "loss": {"loss": "margin"},
    "temperature": {"temperature": "auto"},
    "options": {"attack": "bim", "options": {"steps": 3}},
    "other options": {"attack": "bim", "options": {"steps": 4}},
}


def test_other_settings_do_not_resume(network: Network, test_set: Dataset) -> None:
    same = key(experiment(network, test_set))
    others = {key(experiment(network, test_set, **change)) for change in CHANGES.values()}
    assert len(others - {same}) == len(CHANGES)


def test_the_spelling_of_a_command_does_not_matter(network: Network, test_set: Dataset) -> None:
    other = experiment(network, test_set, command="hwsim …", model="copy.hne")
    assert key(other) == key(experiment(network, test_set))


def test_a_changed_word_configuration_or_data_set_does_not_resume(
    network: Network, test_set: Dataset
) -> None:
    program = network.program
    layer = program.mac_layers[0]
    assert layer is program.layers[0]
    words = layer.weights.copy()
    words[0] ^= 1
    changed = dataclasses.replace(layer, weights=words)
    edited = program.replace(layers=(changed, *program.layers[1:]))
    hashed = program.replace(config=program.config.replace(index_mode="hash"))
    keys = [
        key(experiment(dataclasses.replace(network, program=chosen), test_set))
        for chosen in (program, edited, hashed)
    ]
    keys.append(key(experiment(network, dataclasses.replace(test_set, digest="0" * 64))))
    assert len(set(keys)) == 4


def test_a_damaged_partial_file_is_ignored(network: Network, test_set: Dataset) -> None:
    chosen, partial = experiment(network, test_set), Path("partial.json")
    for damage in (b"", b"{", b"[]", b"null", b'{"key": 1}', b"[" * 100, b"\x00", b"\xff"):
        partial.write_bytes(damage)
        assert resumed(chosen, partial) is None, damage


def test_a_partial_file_with_the_right_key_and_wrong_content_is_ignored(
    network: Network, test_set: Dataset, small_batches: None
) -> None:
    partial, chosen = Path("partial.json"), experiment(network, test_set)
    tally = count(chosen, partial).as_dict()
    assert resumed(chosen, partial) is not None
    empty: dict[str, Any] = {}
    damages: tuple[Any, ...] = (
        None, [], empty, tally | {"samples": 7}, tally | {"samples": 0}, tally | {"samples": "8"},
        tally | {"samples": 1000}, tally | {"samples": 8.5}, tally | {"success": []},
        tally | {"success": empty}, tally | {"correct": empty}, tally | {"epsilons": [0.1]},
        tally | {"more": 1}, tally | {"adaptive": empty}, tally | {"distortion": []},
        tally | {"correct": {"float": 1, "engine": 1}},
    )  # fmt: skip
    for wrong in damages:
        keep(partial, key(chosen), {"tally": wrong})  # its digest is right
        assert resumed(chosen, partial) is None, wrong


# ---------------------------------------------------------------- names


def test_the_folder_of_a_run_tells_runs_apart_and_is_one_folder(
    network: Network, test_set: Dataset
) -> None:
    names = {experiment(network, test_set).name}
    assert names == {f"hfgsm-{MODEL}-default-float32"}
    for change in ("probabilities", "gradient", "target"):
        names.add(experiment(network, test_set, **CHANGES[change]).name)
    other = network.program.config.replace(name="a.b-c_d")
    program = network.program.replace(config=other)
    names.add(experiment(dataclasses.replace(network, program=program), test_set).name)
    assert len(names) == 5
    assert all(Path(name).name == name and name.isascii() and " " not in name for name in names)
