"""`hwsim attack bfa` and `tbfa`: whole numbers that fit together, a run that goes on, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hwsim.engine.module import Engine
from hwsim.faults import Fault, inject
from hwsim.faults.chase import JudgedFlips, chase
from hwsim.faults.guarded_victim import key_of
from hwsim.faults.guards import GuardChoice
from hwsim.models.datasets.dataset import Dataset, load_dataset
from hwsim.networks.open import Network
from hwsim.runs import flips
from hwsim.runs.flips import FlipRequest, FlipSearch
from tests.cli.conftest import Run

FEW = ("--model", "small", "--images", "16", "--samples", "60", "--max-flips", "5")


def result_of(place: Path) -> dict[str, Any]:
    (path,) = place.glob("runs/*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def injected(network: Network, search: dict[str, Any]) -> Engine:
    """The engine with all that a search flipped."""
    faults = [Fault(**flip["fault"]) for step in search["steps"] for flip in step["flips"]]
    return Engine(inject(network.program, faults))


def test_bfa_leaves_a_result_whose_faults_do_what_it_says(
    run: Run, place: Path, offered: Network
) -> None:
    code, out, err = run("attack", "bfa", *FEW, "--batches", 2, "--json", "out.json")
    assert (code, err) == (0, "")
    result = result_of(place)
    assert json.loads((place / "out.json").read_text()) == result
    assert {path.name for path in (place / "runs").glob("*/*")} >= {
        "result.json", "result.png", "report.html",
    }  # fmt: skip
    test = load_dataset("mnist", "test").take(60)
    for search in result["sides"]["engine"]:
        assert search["flips"] == sum(len(step["flips"]) for step in search["steps"]) <= 5
        answers = injected(offered, search)(offered.inputs(test)).argmax(1)
        right = (answers == torch.from_numpy(test.labels)).double().mean().item()
        assert right == search["steps"][-1]["accuracy"]
        losses = [step["loss"] for step in search["steps"]]
        assert losses == sorted(losses)
    first, second = result["sides"]["engine"]
    assert first["steps"] != second["steps"], "other images, other flips"
    assert all(search["flips"] >= 1 for search in result["sides"]["float"])
    assert f"of {196 * 12 * 8 + 12 * 10 * 8:,} bits of weights flipped" in " ".join(out.split())
    assert all(len(line) <= 100 for line in out.splitlines())


def test_tbfa_drives_images_to_its_target(run: Run, place: Path, offered: Network) -> None:
    code, _, err = run(
        "attack", "tbfa", *FEW, "--target", 3, "--source", 8, "--images", 4, "--max-flips", 12,
        "--stop", 0.5,
    )  # fmt: skip
    assert (code, err) == (0, "")
    (search,) = result_of(place)["sides"]["engine"]
    test = load_dataset("mnist", "test").take(60)
    eights = test.at(test.labels == 8)
    answers = injected(offered, search)(offered.inputs(eights)).argmax(1)
    success = (answers == 3).double().mean().item()
    assert success == search["steps"][-1]["success"] >= 0.5
    assert search["clean"]["success"] < 0.5


def test_one_image_is_driven_to_the_target_and_others_may_stay(
    run: Run, place: Path, offered: Network
) -> None:
    """The first image alone, and with all others to be kept, which costs the search something."""
    kept = {}
    for others in ("--others", "--no-others"):
        code, _, err = run(
            "attack", "tbfa", *FEW, "--target", 3, "--image", 0, "--max-flips", 12, others,
            "--out", others[2:],
        )  # fmt: skip
        assert (code, err) == (0, "")
        (path,) = (place / others[2:]).glob("*/result.json")
        (search,) = json.loads(path.read_text())["sides"]["engine"]
        assert search["steps"][-1]["success"] == 1.0
        kept[others] = search["steps"][-1]["accuracy"]
        one = load_dataset("mnist", "test").take(600).at([0])
        assert injected(offered, search)(offered.inputs(one)).argmax(1).tolist() == [3]
    assert kept["--others"] >= kept["--no-others"]


@pytest.mark.parametrize(
    ("guard", "who", "ended"),
    [("parity", "blind", "caught"), ("secded", "adaptive", ""), ("signature:8", "keyless", "")],
)
def test_bfa_behind_a_guard_says_so_and_its_flips_do_what_it_says(
    run: Run, place: Path, offered: Network, guard: str, who: str, ended: str
) -> None:
    flags = ("--protect", guard, "--attacker", who)
    code, out, err = run("attack", "bfa", *FEW, "--max-flips", 6, *flags)
    assert (code, err) == (0, "")
    result = result_of(place)
    assert (result["protect"], result["attacker"]) == (guard, who)
    assert list(result["sides"]) == ["engine"], "no float network has such a memory"
    assert f"behind {guard}, attacker {who}" in " ".join(out.split())
    (search,) = result["sides"]["engine"]
    assert search["flips"] <= 6
    if ended:
        assert search["ended"] == ended
        assert search["steps"][-1]["accuracy"] is None
        assert "ended in an error status" in " ".join(out.split())
        return
    machine = GuardChoice.of(guard).on(offered.program, key_of(0))
    words: dict[Any, int] = {}
    for flip in (flip for step in search["steps"] for flip in step["flips"]):
        at = flip["fault"]["line"], flip["fault"]["field"]
        words[at] = words.get(at, machine.stored("weights", at)) ^ 1 << flip["fault"]["bit"]
    seen = machine.seen("weights", words)
    engine = Engine(machine.with_words({"weights": seen.words}))
    test = load_dataset("mnist", "test").take(60)
    answers = engine(offered.inputs(test)).argmax(1)
    right = (answers == torch.from_numpy(test.labels)).double().mean().item()
    assert right == search["steps"][-1]["accuracy"]


SEARCH = FlipRequest("bfa", 60, images=16, most=6, batches=1)


@pytest.fixture
def test_set() -> Dataset:
    return load_dataset("mnist", "test")


def search_of(network: Network, test: Dataset, settings: FlipRequest = SEARCH) -> FlipSearch:
    return FlipSearch(settings, network, test, lambda: load_dataset("mnist", "train"))


def test_an_interrupted_search_goes_on_behind_its_last_flip(
    small: Network, test_set: Dataset, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search_of(small, test_set).run(place / "whole.json")
    seen = []

    def stop(side: str, batch: int, flips: int, score: float | None) -> None:
        seen.append(flips)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_of(small, test_set).run(place / "partial.json", stop)
    searched = []

    def counting(
        victim: Any, objective: Any, judged: JudgedFlips, rules: Any, known: Any, on: Any
    ) -> Any:
        searched.append(len(known))
        return chase(victim, objective, judged, rules, known, on)

    monkeypatch.setattr(flips, "chase", counting)
    assert search_of(small, test_set).run(place / "partial.json") == whole
    assert searched[0] == 3, "what was flipped before is not searched again"
    more = search_of(small, test_set, replace(SEARCH, batches=2)).run(place / "partial.json")
    assert [more[side][0] for side in more] == [whole[side][0] for side in whole]


def test_a_damaged_or_foreign_file_of_flips_is_not_used(
    small: Network, test_set: Dataset, place: Path
) -> None:
    whole = search_of(small, test_set).run(place / "partial.json")
    other = search_of(small, test_set, replace(SEARCH, k_top=5))
    assert other.key != search_of(small, test_set).key
    assert other.run(place / "partial.json")["engine"][0]["batch"] == 0
    (place / "partial.json").write_text("{}")
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert search_of(small, test_set).run(place / "partial.json") == whole


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("bfa", "--images", 9, "--memory", "index"), "no stored indices"),
        (("bfa", "--images", 9, "--memory", "bias"), "weights and index, not of 'bias'"),
        (("bfa", "--images", 65), "leaves the attacker 64: choose fewer --images"),
        (("bfa", "--samples", 601), "601 samples asked for"),
        (("bfa", "--stop", "nan"), "nan"),
        (("bfa", "--protect", "ecc"), "no protection is called 'ecc'"),
        (("bfa", "--protect", "signature:0"), "groups of 2 … 65,536 words, not 0"),
        (("bfa", "--attacker", "blind"), "--attacker is of what guards a memory"),
        (("bfa", "--images", 9, "--protect", "clip", "--attacker", "keyless"), "of a signature"),
        (("bfa", "--images", 9, "--protect", "signature", "--memory", "index"), "no stored ind"),
        (("bfa", "--protect", "signature", "--memory", "bias"), "weights and index, not bias"),
        (("bfa", "--stop", 2), "not in the range"),
        (("tbfa",), "Missing option '--target'"),
        (("tbfa", "--target", 10), "--target 10 is no class: choose one of 0 … 9"),
        (("tbfa", "--target", 3, "--source", 3), "source and target"),
        (("tbfa", "--target", 3, "--source", -1), "--source -1 is no class"),
        (("tbfa", "--target", 3, "--image", 600), "no test image 600: 0 … 599"),
        (("tbfa", "--target", 7, "--image", 0), "is of class 7 already"),
        (("tbfa", "--target", 3, "--image", 1, "--source", 4), "leave it out of --image"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_one_line(
    run: Run, offered: Network, options: tuple[Any, ...], line: str
) -> None:
    name, *rest = options
    assert line in run("attack", name, "--model", "small", "--samples", 60, *rest).line
