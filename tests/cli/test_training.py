"""train, finetune, prune: options, refusals, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import Tensor, nn

from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("few_digits")
H64 = "mnist-cnn-h64"
CONFIGS = Path(__file__).parents[2] / "configs"
FEW = ("--batch", "16", "--epochs", "1")


def card(place: Path, name: str) -> dict:
    return json.loads((place / "runs/zoo" / f"{name}.json").read_text())


@pytest.mark.slow
def test_adversarial_training_says_so_in_name_and_card(run: Run, place: Path) -> None:
    code, out, err = run(
        "train", H64, "--adversarial", "fgsm", "--epsilon", "0.1", "--samples", "16", *FEW,
        "--data-note", "sixteen digits",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "of 20 images" in out
    assert f"runs/zoo/{H64}-fgsm.safetensors" in out
    assert "on the 8-bit engine" in out
    found = card(place, f"{H64}-fgsm")
    assert found["recipe"]["adversarial"] == {
        "attack": "fgsm", "epsilon": 0.1, "steps": 10, "share": 0.5
    }  # fmt: skip
    assert found["dataset_note"].startswith("sixteen digits; ")
    assert found["recipe"]["images"] == 16
    assert found["paper_accuracy"] is None
    assert list(found["fixed_accuracy"]) == ["8"]


@pytest.mark.slow
def test_a_sponge_says_so_in_name_and_card(run: Run, place: Path) -> None:
    code, out, err = run("train", H64, "--sponge", "5:1e-3:0.5", "--samples", "32", *FEW)
    assert (code, err) == (0, "")
    assert f"runs/zoo/{H64}-sponge.safetensors" in out
    found = card(place, f"{H64}-sponge")
    assert found["recipe"]["sponge"] == {"strength": 5.0, "sigma": 1e-3, "share": 0.5}
    assert found["paper_accuracy"] is None


@pytest.mark.slow
def test_finetuning_through_the_engine_changes_the_weights_and_the_card(
    run: Run, place: Path
) -> None:
    code, out, err = run("finetune", H64, "--hardware", "--bits", "4", *FEW, "--samples", "16")
    assert (code, err) == (0, "")
    assert "on the 4-bit engine" in out
    found = card(place, f"{H64}-tuned")
    assert found["recipe"]["start"] == H64
    assert found["recipe"]["start_sha256"] == zoo.card(H64).sha256
    assert found["recipe"]["images"] == 16
    assert found["recipe"]["hardware"] == {"act_w": 4, "wgt_w": 4, "acc_w": 32, "mult_w": 16}
    assert found["recipe"]["precision"] == "float32"
    assert list(found["fixed_accuracy"]) == ["4"]
    before = zoo.load(H64).state_dict()
    after = zoo.load(f"{H64}-tuned", place / "runs/zoo").state_dict()
    assert any(not before[key].equal(after[key]) for key in before)
    again = ("finetune", f"runs/zoo/{H64}-tuned", *FEW, "--samples", "8", "--name")
    assert run(*again, "on")[0] == 0
    assert card(place, "on")["recipe"]["start"] == f"{H64}-tuned"
    assert card(place, "on")["dataset_note"] == found["dataset_note"]
    assert run(*again, "noted", "--data-note", "eight digits")[0] == 0
    assert card(place, "noted")["dataset_note"].startswith("eight digits; not the canonical")


@pytest.mark.slow
def test_pruning_leaves_the_share_that_was_asked_for_and_m2(run: Run, place: Path) -> None:
    code, out, err = run(
        "prune", H64, "--to", "1.3", "--samples", "8", "--batch", "8", "--augment", "4"
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.count("on the 8-bit engine") == 2
    found = card(place, f"{H64}-p1.3")["recipe"]["pruning"]
    assert found["to"] == 1.3
    assert 1.3 <= found["reached"] < 1.3 / 0.9
    module = zoo.load(f"{H64}-p1.3", place / "runs/zoo")
    weights = [layer.weight for layer in module.modules() if hasattr(layer, "spec")]
    left = sum(int((weight != 0).sum()) for weight in weights)
    assert left == found["left"]
    twin = zoo.load(f"{H64}-p1.3-a4", place / "runs/zoo")
    assert twin.state_dict()["11.weight"].equal(4 * module.state_dict()["11.weight"])
    assert card(place, f"{H64}-p1.3-a4")["recipe"]["augmentation"] == 4.0
    left_over = list((place / "runs/zoo/checkpoints").rglob("*round-*"))
    assert left_over == []


@pytest.mark.slow
def test_a_network_is_measured_on_the_engine_that_taught_it(run: Run, place: Path) -> None:
    words = (CONFIGS / "default.toml").read_text()
    (place / "six.toml").write_text(words + "act_w = 6\nwgt_w = 6\n")
    typed = ("finetune", H64, "--hardware", "--config", "six.toml", "--samples", "16", *FEW)
    code, out, err = run(*typed)
    assert (code, err) == (0, "")
    assert "on the 6-bit engine" in out
    assert list(card(place, f"{H64}-tuned")["fixed_accuracy"]) == ["6"]


@pytest.mark.slow
def test_a_card_that_does_not_tell_how_images_were_shifted_can_be_taken_further(
    run: Run, place: Path
) -> None:
    assert run("train", H64, "--samples", "16", *FEW).code == 0
    path = place / "runs/zoo" / f"{H64}.json"
    found = json.loads(path.read_text())
    del found["recipe"]["shift"], found["recipe"]["flip"]
    del found["format"], found["digest"]  # as an older hwsim would have written it
    path.write_text(json.dumps(found))
    assert f"hwsim zoo upgrade runs/zoo/{H64}" in run("prune", f"runs/zoo/{H64}").line
    assert run("zoo", "upgrade", f"runs/zoo/{H64}").out == f"runs/zoo/{H64}: upgraded\n"
    for words in (("finetune",), ("prune", "--to", "1.1")):
        typed = (words[0], f"runs/zoo/{H64}", *words[1:], "--samples", "8", "--batch", "8")
        assert run(*typed).code == 0


@pytest.mark.slow
def test_a_card_keeps_what_was_measured_at_each_width(run: Run, place: Path) -> None:
    assert run("train", H64, *FEW)[0] == 0
    code, out, err = run("zoo", "measure", f"runs/zoo/{H64}", "--bits", "4,6")
    assert (code, err) == (0, "")
    assert "with 8 bits" in out
    assert list(card(place, H64)["fixed_accuracy"]) == ["8", "6", "4"]


@pytest.mark.slow
def test_several_networks_are_measured_in_one_command(run: Run, place: Path) -> None:
    for name in ("first", "second"):
        assert run("train", H64, *FEW, "--name", name).code == 0
    code, out, err = run("zoo", "measure", "runs/zoo/first", "runs/zoo/second", "--bits", "4")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == ["first", "second"]
    for name in ("first", "second"):
        assert list(card(place, name)["fixed_accuracy"]) == ["8", "4"]


def test_a_trained_network_that_the_engine_cannot_run_is_kept_and_told_of(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sorting() -> nn.Module:
        class Sort(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.sort(1).values

        return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), Sort(), nn.Linear(8, 10))

    monkeypatch.setitem(ARCHITECTURES, "sorting", sorting)
    monkeypatch.setitem(zoo.SPECS, "sorting", zoo.Spec("sorting"))
    code, out, err = run("train", "sorting", *FEW)
    assert code == 2
    assert "runs/zoo/sorting.safetensors: " in out
    assert "of 20 images\n" in out
    assert "cannot run on the engine" in err
    assert len(err.splitlines()) == 1
    assert card(place, "sorting")["fixed_accuracy"] == {}


REFUSED = {
    "measured on other data": (("zoo", "measure", H64), "was counted on test data"),
    "measured at 3 bits": (("zoo", "measure", H64, "--bits", "8,3"), "give widths of 4 … 16"),
    "epsilon alone": (("train", H64, "--epsilon", "0.1"), "--epsilon is an option of --advers"),
    "no epsilon": (("train", H64, "--adversarial", "pgd"), "--adversarial needs --epsilon"),
    "steps of fgsm": (
        ("train", H64, "--adversarial", "fgsm", "--epsilon", "0.1", "--steps", "3"),
        "--steps is an option of pgd, fgsm has none",
    ),
    "no sponge": (("train", H64, "--sponge", "x"), "'x' is no LAMBDA[:SIGMA[:SHARE]]"),
    "four of a sponge": (("train", H64, "--sponge", "1:1:1:1"), "is no LAMBDA[:SIGMA[:SHARE]]"),
    "a sponge of nothing": (("train", H64, "--sponge", "0"), "must lie above 0, got 0.0"),
    "a share above one": (("train", H64, "--sponge", "1:1e-4:2"), "must lie in (0, 1], got 2.0"),
    "epsilon below one LSB": (
        ("train", H64, "--adversarial", "fgsm", "--epsilon", "0.001"),
        "below one step",
    ),
    "too many samples": (("train", H64, "--samples", "33"), "gives 1 to 32"),
    "bits without hardware": (("finetune", H64, "--bits", "4"), "are options of --hardware"),
    "finetune of nothing": (("finetune", "lenet"), "unknown model 'lenet'"),
    "hardware too small": (("finetune", H64, "--hardware", "--config", "tiny"), "tiny"),
    "prune of nothing": (("prune", "lenet"), "unknown model 'lenet'"),
    "prune to less": (("prune", H64, "--to", "1"), "pruning needs a compression above 1"),
    "prune to NaN": (("prune", H64, "--to", "nan"), "nan is not a finite number"),
    "prune to nothing": (("prune", H64, "--to", "1e9"), "out of reach"),
    "a factor below zero": (("prune", H64, "--augment", "-3"), "tau must be a positive number"),
    "a network without weights": (
        ("attack", "hfgsm", "--model", "cifar-vgg16-h16"),
        "cifar-vgg16-h16: no trained weights ship; make them with: hwsim train cifar-vgg16-h16",
    ),
    "hardware of two widths": (
        ("finetune", H64, "--hardware", "--config", "mixed.toml"),
        "has 8-bit activations and 4-bit weights: --hardware wants one width",
    ),
} | {
    f"{name} named {called!r}": ((*words, "--name", called), "that is what --out is for")
    for name, words in (("train", ("train", H64)), ("finetune", ("finetune", H64)),
                        ("prune", ("prune", H64)))
    for called in ("a b", "../x", "sub/x")
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_one_line(run: Run, place: Path, case: str) -> None:
    arguments, said = REFUSED[case]
    words = (CONFIGS / "default.toml").read_text()
    (place / "mixed.toml").write_text(words + "wgt_w = 4\n")
    assert said in run(*arguments).line
    assert not (place / "runs/zoo").exists() or not list((place / "runs/zoo").glob("*.json"))
