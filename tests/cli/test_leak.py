"""`hwsim leak`: what it leaves, on whose engine, and one line for bad input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.engine.module import Engine
from hwsim.rom import image
from tests.cli.conftest import MODEL, Run, read


@pytest.fixture(autouse=True)
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.runs import guessers

    monkeypatch.setattr(guessers, "TREES", 4)


@pytest.mark.slow
def test_leak_leaves_tables_a_picture_and_a_page(run: Run, place: Path, offered: Any) -> None:
    code, out, err = run("leak", "small", "--samples", "100", "--json", "copy.json")
    assert (code, err) == (0, "")
    folder = place / "runs/leak-small-tiny-8bit"
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json", "result.png"]
    for words in ("membership", "total, σ 100", "worst case", "q95", "area under the ROC curve"):
        assert words in " ".join(out.split())  # wherever a line ends
    assert all(len(line) <= 100 for line in out.splitlines())
    result = read(folder / "result.json")
    assert read(place / "copy.json") == result
    assert result["command"].startswith("hwsim leak small")
    # Digits differ in how many pixels are dark.
    assert result["cycles"]["deviation"] > 0


@pytest.mark.slow
def test_padding_names_the_folder_and_is_what_was_asked_for(
    run: Run, place: Path, offered: Any
) -> None:
    answer = run("leak", "small", "--samples", "100", "--no-curve", "--pad", "worst", "--pad-of",
                 "total", "--observe", "total", "--noise", "0")  # fmt: skip
    assert answer.code == 0, answer.err
    result = read(place / "runs/leak-small-tiny-8bit-worst-total/result.json")
    assert list(result["observers"]) == ["total"]
    assert result["observers"]["total"]["class"]["verdict"] == "constant"
    assert result["curve"] == []
    assert "padded to its worst case" in " ".join(answer.out.split())


@pytest.mark.slow
def test_floors_of_layers_become_an_image_that_hides_all(
    run: Run, place: Path, offered: Any
) -> None:
    typed = ("leak", "small", "--samples", "100", "--no-curve", "--pad", "worst")
    answer = run(*typed, "--image", "constant.hne")
    assert answer.code == 0, answer.err
    assert "-> constant.hne" in answer.out
    program = image.load(place / "constant.hne")
    engine = Engine(program)
    assert program.config.skip
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (20, *program.input_shape[1:], program.input_shape[0]))
    codes[10:] *= random.random(codes[10:].shape) < 0.1
    assert not np.ptp(engine.cycles_of_codes(codes), axis=0).any()
    again = run(*typed, "--image", "constant.hne")
    assert (again.code, again.err) == (
        2, "hwsim: constant.hne already exists: choose another --image\n"
    )  # fmt: skip


@pytest.mark.slow
def test_data_of_a_user_are_split_for_floors(run: Run, place: Path, offered: Any) -> None:
    draw = np.random.default_rng(0)
    np.savez("mine.npz", x=draw.random((80, 1, 28, 28), np.float32), y=np.arange(80) % 10)
    answer = run("leak", "small", "--data", "mine.npz", "--no-curve", "--noise", "0")
    assert answer.code == 0, answer.err
    (folder,) = (place / "runs").iterdir()
    result = read(folder / "result.json")
    assert (result["samples"], result["calibration"], result["members"]) == (40, 40, 0)
    assert "Membership is not judged" in " ".join(answer.out.split())


BAD = {
    "unknown pad": (("--pad", "mean"), "unknown pad 'mean': choose none, worst, or q0 … q100"),
    "pad beyond all": (("--pad", "q101"), "unknown pad 'q101'"),
    "unknown scope": (("--pad-of", "pixel"), "'pixel' is not one of 'layers', 'total'"),
    "no floors": (("--image", "a.hne"), "--image takes floors of layers: add --pad"),
    "floor of the whole": (
        ("--image", "a.hne", "--pad", "q95", "--pad-of", "total"),
        "--image takes",
    ),
    "image of another name": (("--image", "a.bin", "--pad", "q95"), "a.bin: the name of an image"),
    "negative noise": (("--noise", "-5"), "-5 is no number of cycles of at least 0"),
    "noise NaN": (("--noise", "nan"), "nan is no number of cycles of at least 0"),
    "noise a word": (("--noise", "100,much"), "'much' is no number of cycles"),
    "unknown observer": (("--observe", "power"), "'power' is not one of 'both', 'layers'"),
    "noise on nothing": (("--observe", "layers", "--noise", "5"), "--noise is on the whole, which"),
    "negative seed": (("--seed", "-1"), "-1 is not in the range"),
    "1 sample": (("--samples", "1"), "1 is not in the range x>=2"),
    "fewer images than classes": (("--samples", "7"), "7 images are fewer than the 10 classes"),
    "hardly more": (("--samples", "12"), "12 images are too few to guess from"),
    "too many samples": (("--samples", "601"), "601 samples asked for"),
    "an engine without skip": (("--config", "tiny"), "the engine tiny does not skip zeros"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run, place: Path, offered: Any, arguments: tuple[str, ...], says: str
) -> None:
    assert says in run("leak", "small", *arguments).line
    assert list(place.iterdir()) == []


def test_an_unknown_network_is_named(run: Run, place: Path) -> None:
    assert "unknown model 'lenet'" in run("leak", "lenet").line
    assert list(place.iterdir()) == []


def test_images_of_one_class_are_refused(run: Run, place: Path, offered: Any) -> None:
    np.savez("ones.npz", x=np.zeros((40, 1, 28, 28), np.float32), y=np.ones(40, np.int64))
    line = run("leak", "small", "--data", "ones.npz").line
    assert "all 20 images are of class 1: there is nothing to tell apart" in line
    assert [path.name for path in place.iterdir()] == ["ones.npz"]


@pytest.mark.slow
def test_an_image_must_skip_itself_or_be_made_to(run: Run, place: Path, image: Path) -> None:
    assert "the engine default does not skip zeros" in run("leak", image).line
    answer = run("leak", image, "--skip", "--samples", "60", "--no-curve", "--observe", "layers")
    assert answer.code == 0, answer.err
    assert "standard deviation 0)" not in answer.out


@pytest.mark.slow
def test_an_engine_of_ones_own_choice_is_made_to_skip(run: Run, place: Path, offered: Any) -> None:
    answer = run("leak", "small", "--config", "tiny", "--skip", "--samples", "60", "--no-curve",
                 "--observe", "layers")  # fmt: skip
    assert answer.code == 0, answer.err


def test_without_scikit_learn_a_line_says_what_to_install(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "pip install 'hwsim[leak]'" in run("leak", MODEL).line


def test_a_place_that_cannot_be_written_is_refused_before_the_work(run: Run, place: Path) -> None:
    (place / "file").write_text("mine")
    assert "annot" in run("leak", MODEL, "--out", "file/below").line
    assert [path.name for path in place.iterdir()] == ["file"]
