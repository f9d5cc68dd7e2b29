"""RobustBench's keys: what a run knows, in their form, and nothing that it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.report.robustbench import of_attack, of_audit, of_run

#: Keys of files under model_info/ there; ``hwsim_machine`` is ours.
THEIRS = {
    "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue",
    "architecture", "eps", "clean_acc", "reported", "autoattack_acc", "external", "footnote",
    "unreliable", "threat_model",
}  # fmt: skip


def attack(**changed: Any) -> dict[str, Any]:
    return {
        "attack": "pgd", "norm": "linf", "model": "net", "targeted": False, "samples": 200,
        "dataset": {"name": "cifar10", "note": None}, "epsilons": [8 / 255, 0.1],
        "clean": {"float": 0.9, "fixed": 0.8},
        "success": {"float_float": [0.5, None], "engine_engine": [0.25, 1.0]},
    } | changed  # fmt: skip


def test_robust_accuracy_is_of_all_images_and_in_percent() -> None:
    first, engine, last = of_attack(attack())
    assert (first["clean_acc"], first["external"], first["eps"]) == ("90.00", "45.00", "8/255")
    assert (engine["clean_acc"], engine["external"]) == ("80.00", "60.00")
    assert engine["hwsim_machine"] == "engine"
    assert (last["eps"], last["external"], last["threat_model"]) == ("0.1", "0.00", "Linf")
    assert first["footnote"] == "pgd, 200 images of cifar10"


def test_only_their_keys_are_used_and_no_autoattack_is_claimed() -> None:
    for entry in of_attack(attack()):
        assert entry.keys() - {"hwsim_machine"} <= THEIRS
        assert not {"autoattack_acc", "reported"} & entry.keys()


def test_epsilon_is_a_share_of_the_inputs_range() -> None:
    (entry, *_) = of_attack(attack(input_range=[-1.0, 1.0], epsilons=[16 / 255, 0.1]))
    assert entry["eps"] == "8/255"


@pytest.mark.parametrize(
    "changed",
    [dict(norm="l0"), dict(targeted="random"), dict(epsilons=[None, float("inf")])],
    ids=str,
)
def test_what_has_no_threat_model_there_makes_no_entry(changed: dict[str, Any]) -> None:
    assert of_attack(attack(**changed)) == []


def test_an_audit_says_whether_its_number_is_reliable() -> None:
    result = {
        "model": "net", "samples": 50, "correct": 40, "raised": ["masked"],
        "dataset": {"name": "mnist", "note": "labels are the network's own"},
        "bottom_line": [{"epsilon": 0.2, "worst": 0.5}],
    }  # fmt: skip
    (entry,) = of_audit(result)
    assert (entry["clean_acc"], entry["external"], entry["unreliable"]) == ("80.00", "40.00", True)
    assert entry["eps"] == "51/255"
    assert entry["footnote"].endswith("50 images of mnist; labels are the network's own")


def test_a_run_has_accuracy_alone() -> None:
    result = {
        "model": "net", "samples": 10, "accuracy": {"engine": 0.5},
        "dataset": {"name": "mnist", "note": None},
    }  # fmt: skip
    (entry,) = of_run(result)
    assert entry["clean_acc"] == "50.00"
    assert not {"eps", "external"} & entry.keys()
