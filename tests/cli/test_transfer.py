"""`hwsim transfer`: whole numbers that fit together, a run that goes on, one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.evaluate import transfer as attacks_transfer
from hwsim.attacks.evaluate.transfer import correct, off_diagonal, transfer
from hwsim.attacks.fgsm import FGSM
from hwsim.attacks.mifgsm import MIFGSM
from hwsim.attacks.pgd import PGD
from hwsim.attacks.sfgrm import SFGRM
from hwsim.attacks.transforms import Diverse, Nesterov
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset, load_dataset
from hwsim.networks.open import Network
from hwsim.report.transfer_report import (
    headline,
    kinds,
    rates,
    render_html,
    summary,
    write_transfer,
)
from hwsim.runs.transfer import TransferSettings, TransferStudy, attack_named
from hwsim.runs.unfinished import keep
from tests.cli.conftest import MODEL, Run

BASE = TransferSettings(("fgsm", "mi"), (0.1, 0.3), 12)


def second(network: Network) -> Network:
    """The same network under another name: transfer to it must be perfect."""
    return Network(f"{MODEL}-twin", network.module, network.program, network.dataset)


@pytest.fixture
def test_set() -> Dataset:
    return load_dataset("mnist", "test")


@pytest.fixture(scope="module")
def study(network: Network) -> TransferStudy:
    return TransferStudy(BASE, [network, second(network)], load_dataset("mnist", "test"))


@pytest.fixture(scope="module")
def counted(study: TransferStudy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return study.count(tmp_path_factory.mktemp("counted") / "counts.json")


@pytest.mark.slow
def test_a_copy_of_a_network_is_fooled_exactly_as_the_network_itself(
    study: TransferStudy, counted: dict[str, Any]
) -> None:
    result = study.result(counted)
    for attack in result["attacks"]:
        for position in (0, 1):
            matrix = rates(result, attack, position)
            assert np.array_equal(matrix[:2, :2], matrix[2:, 2:])
            assert np.array_equal(matrix[:2, :2], matrix[:2, 2:])
    assert rates(result, "mi", 1)[0, 0] >= 0.4
    assert result["backward"]["mi"][f"{MODEL} engine"] == 10
    means = {name: values for name, values, _ in summary(result, 1)}
    assert means["mi"][2] == pytest.approx((means["mi"][0] + means["mi"][1]) / 2)


@pytest.mark.slow
def test_counts_are_those_of_the_attack_and_the_judge_themselves(
    study: TransferStudy, counted: dict[str, Any]
) -> None:
    crafted, judge = f"{MODEL} float", f"{MODEL} engine"
    images = FGSM(space=study.grid)(
        study.models[crafted], study.inputs, Untargeted(study.labels), epsilon=0.3
    ).adversarial
    model = study.models[judge]
    with torch.no_grad():
        right = model(study.inputs).argmax(1) == study.labels
        fooled = right & (model(images).argmax(1) != study.labels)
    assert counted["cells"][f"fgsm on {crafted}"]["success"][judge][1] == int(fooled.sum())
    assert counted["correct"][judge] == int(right.sum())


@pytest.mark.slow
def test_an_interrupted_study_goes_on_and_further_attacks_are_added(
    network: Network, test_set: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "counts.json"
    whole = TransferStudy(BASE, [network], test_set).count(tmp_path / "whole.json")

    def stop(done: int) -> None:
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TransferStudy(BASE, [network], test_set).count(path, stop)
    assert len(json.loads(path.read_text())["cells"]) == 1
    crafted: list[str] = []
    real = attacks_transfer.transfer

    def noted(*args: Any, **options: Any) -> Any:
        crafted.append(options["crafted_on"])
        return real(*args, **options)

    monkeypatch.setattr("hwsim.runs.transfer.transfer", noted)
    assert TransferStudy(BASE, [network], test_set).count(path) == whole
    assert len(crafted) == 3
    only = TransferSettings(("fgsm",), BASE.epsilons, 12)
    assert len(TransferStudy(only, [network], test_set).count(path)["cells"]) == 2
    assert len(crafted) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data | {"key": "other"},
        lambda data: data | {"cells": {k: {} for k in data["cells"]}},
        lambda data: data | {"cells": 3},
        lambda data: {"key": data["key"]},
    ],
)
def test_counts_of_another_run_are_not_used(
    network: Network, test_set: Dataset, tmp_path: Path, spoil: Any
) -> None:
    path = tmp_path / "counts.json"
    few = TransferSettings(("fgsm",), (0.3,), 4)
    good = TransferStudy(few, [network], test_set).count(path)
    spoilt = spoil(json.loads(path.read_text()))
    rest = {name: value for name, value in spoilt.items() if name not in ("key", "digest")}
    keep(path, spoilt["key"], rest)  # its digest is right
    assert TransferStudy(few, [network], test_set).count(path) == good


def test_the_files_hold_the_numbers_and_the_page_loads_nothing(
    study: TransferStudy, counted: dict[str, Any], tmp_path: Path
) -> None:
    result = study.result(counted)
    paths = write_transfer(result, tmp_path / "run")
    assert json.loads(paths["json"].read_text())["success"] == result["success"]
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    page = paths["html"].read_text()
    assert headline(result) in page
    assert "http" not in page.replace("http-equiv", "")
    assert "t5-twin engine" in page


def test_a_single_network_transfers_to_its_twin_only(
    network: Network, test_set: Dataset, tmp_path: Path
) -> None:
    study = TransferStudy(TransferSettings(("fgsm",), (0.3,), 4), [network], test_set)
    result = study.result(study.count(tmp_path / "counts.json"))
    assert "nothing to transfer to" in headline(result)
    assert [int(mask.sum()) for mask in kinds(result).values()] == [2, 2, 0]
    assert "–" in render_html(result, [b""])


def test_names_make_the_attacks_that_they_promise(study: TransferStudy) -> None:
    grid = study.grid
    assert isinstance(attack_named("fgsm", grid), FGSM)
    pgd = attack_named("pgd", grid)
    assert isinstance(pgd, PGD)
    assert not pgd.early_exit
    both = attack_named("mi-dim-ni", grid)
    assert isinstance(both, MIFGSM)
    assert [type(t) for t in both.transforms] == [Nesterov, Diverse]
    assert isinstance(attack_named("sfgrm-tim", grid), SFGRM)


@pytest.mark.parametrize("name", ["hfgsm", "fgsm-ni", "mi-ni-ni", "mi-", "", "sfgrm-xyz"])
def test_other_names_are_refused(study: TransferStudy, name: str) -> None:
    with pytest.raises(InputError, match="unknown attack"):
        attack_named(name, study.grid)


def test_networks_that_do_not_belong_together_are_refused(
    network: Network, test_set: Dataset
) -> None:
    with pytest.raises(InputError, match="one name"):
        TransferStudy(BASE, [network, network], test_set)
    foreign = Network("other", network.module, network.program, "fashion-mnist")
    with pytest.raises(InputError, match="mean nothing to the other"):
        TransferStudy(BASE, [network, foreign], test_set)


def test_the_command_runs_and_says_what_it_found(run: Run, tmp_path: Path) -> None:
    answer = run(
        "transfer", "--models", MODEL, "--attacks", "fgsm", "--eps", "16/255", "--samples", 6,
        "--out", tmp_path, "--json", tmp_path / "copy.json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "16/255" in answer.out
    folder = tmp_path / f"transfer-{MODEL}-default"
    assert {p.name for p in folder.iterdir()} == {
        "counts.json", "result.json", "result.png", "report.html",
    }  # fmt: skip
    assert json.loads((tmp_path / "copy.json").read_text())["samples"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attacks", "warp"], "unknown attack 'warp'"),
        (["--attacks", ","], "give at least one of the attacks"),
        (["--models", "nothing"], "nothing"),
        (["--eps", "1/0"], "not a number"),
        (["--eps", "0.001"], "below one step"),
        (["--samples", "0"], "samples"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    answer = run("transfer", "--models", MODEL, "--out", tmp_path, *arguments)
    assert message in answer.line
    assert list(tmp_path.iterdir()) == []


def test_transfer_refuses_what_it_cannot_count() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    x, labels = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    with pytest.raises(AttackError, match="no model 'b' to craft on: a"):
        transfer({"a": model}, x, labels, crafted_on="b", attack=FGSM(), epsilons=[0.1])
    with pytest.raises(AttackError, match="list of epsilons is empty"):
        transfer({"a": model}, x, labels, crafted_on="a", attack=FGSM(), epsilons=[])
    with pytest.raises(AttackError, match="0 samples"):
        correct({"a": model}, x[:0], labels[:0])


def test_the_mean_over_other_groups_leaves_out_ones_own() -> None:
    table = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.1, 0.3, 1.0]])
    assert off_diagonal(table, ["a", "a", "b"]) == pytest.approx(0.15)
    assert off_diagonal(table[:1, :1], ["a"]) != off_diagonal(table[:1, :1], ["a"])
