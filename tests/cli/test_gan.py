"""hwsim gan: a generator, its picture, networks that learn from it, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SHIPPED = "mnist-dcgan-s0"
TINY = ("--samples", "16", "--batch", "8", "--channels", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits")
def test_a_generator_is_trained_shown_and_learnt_from(run: Run, place: Path) -> None:
    code, out, err = run("gan", "train", "mnist", *TINY, "--epochs", "1", "--name", "tiny")
    assert (code, err) == (0, "")
    assert "16 images of mnist" in out
    assert "not the canonical" in out  # the note of these data
    assert (place / "runs/gan/tiny.png").read_bytes().startswith(b"\x89PNG")
    path = "runs/gan/tiny.safetensors"
    shown = run("gan", "show", path, "--png", "again.png", "--seed", "1")
    assert (shown.code, shown.err) == (0, "")
    assert (place / "again.png").is_file()
    assert [line for line in out.splitlines() if line.startswith("digest")] == [
        line for line in shown.out.splitlines() if line.startswith("digest")
    ]
    # Again it has nothing to do, and other images are another generator's.
    assert run("gan", "train", "mnist", *TINY, "--epochs", "1", "--name", "tiny").out == out
    assert "another recipe or from other images" in run(
        "gan", "train", "mnist", *TINY, "--epochs", "2", "--name", "tiny"
    ).line  # fmt: skip
    code, out, err = run(
        "train", "lenet5", "--samples", "8", "--epochs", "1", "--generated", f"{path}:12:3"
    )
    assert (code, err) == (0, "")
    card = json.loads((place / "runs/zoo/lenet5-gan.json").read_text())
    digest = next(line for line in shown.out.splitlines() if line.startswith("digest")).split()[1]
    assert card["recipe"]["images"] == 8
    assert card["recipe"]["generated"] == {
        "generator": "tiny", "sha256": digest, "images": 12, "seed": 3
    }  # fmt: skip
    assert card["paper_accuracy"] is None


REFUSED = {
    "no data set": (("gan", "train", "cifar10"), "'cifar10' is not one of"),
    "more images than there are": (("gan", "train", "mnist", "--samples", "65"), "gives 1 to 64"),
    "fewer than a batch": (
        ("gan", "train", "mnist", "--samples", "8"), "8 images do not fill a batch of 32",
    ),
    "a batch of one": (("gan", "train", "mnist", "--batch", "1"), "batch must be at least 2"),
    "a rate that is no number": (("gan", "train", "mnist", "--lr", "nan"), "not a finite number"),
    "a rate too large": (
        ("gan", "train", "mnist", "--lr", "1e30", *TINY), "choose a smaller learning rate",
    ),
    "a name with a folder": (("gan", "train", "mnist", "--name", "a/b"), "and no folder"),
    "no such generator": (("gan", "show", "mnist-dcgan"), "make one with hwsim gan train"),
    "no generator": (
        ("gan", "show", "some.txt"),
        "some.txt: damaged: or no generator: make one with hwsim gan train",
    ),
    "a picture in a file": (("gan", "show", SHIPPED, "--png", "some.txt/a.png"), "cannot write"),
    "training from none": (("train", "lenet5", "--generated", "none"), "no such generator"),
    "none of its images": (
        ("train", "lenet5", "--generated", f"{SHIPPED}:0"), "give 1 to 1,000,000, got 0",
    ),
    "of another data set": (
        ("train", "lenet5", "--generated", f"{SHIPPED}:x"), "there is no such generator",
    ),
    "finetuning from none": (("finetune", "lenet5", "--generated", "none"), "no such generator"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_one_line(run: Run, place: Path, case: str) -> None:
    (place / "some.txt").write_text("text, and not a file of weights")
    arguments, said = REFUSED[case]
    assert said in run(*arguments).line
    assert not list(place.rglob("*.png"))
    assert not list((place / "runs").rglob("*.json")) if (place / "runs").exists() else True
