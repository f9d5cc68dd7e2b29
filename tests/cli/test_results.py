"""What a run prints and leaves behind, and that Ctrl-C costs nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network
from hwsim.report.schema import PAIRS, to_json
from hwsim.runs import experiment
from hwsim.runs.count import count
from hwsim.runs.result import build
from hwsim.runs.settings import Request
from tests.cli.conftest import MODEL, Run, numbers, read

RUN = f"runs/hfgsm-{MODEL}-default-float32"
ATTACK = ("attack", "hfgsm", "--model", MODEL, "--eps", "0.1,0.3")
#: A shell that starts tests in the background lets them ignore SIGINT; a user's does not.
ENTRY = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from hwsim.cli import main; "
)


def share(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def check_shape(result: dict[str, Any], samples: int, epsilons: list[float]) -> None:
    """Every key of the issue, with its type, length and range."""
    assert result["model"] == MODEL
    assert result["config"] == "default"
    assert result["samples"] == samples
    assert result["epsilons"] == epsilons
    assert result["effective_epsilons"] == [int(e * 255) / 255 for e in epsilons]
    assert result["clean"].keys() == result["denominator"].keys() == {"float", "fixed"}
    for name, correct in result["denominator"].items():
        assert type(correct) is int
        assert result["clean"][name] == correct / samples
    for table, of in (("success", "denominator"), ("success_escalated", "denominator_escalated")):
        assert result[table].keys() == PAIRS.keys()
        for pair, shares in result[table].items():
            assert len(shares) == len(epsilons)
            assert all(map(share, shares))
            count = result[of]["float" if pair.endswith("_float") else "fixed"]
            assert all(abs(s * count - round(s * count)) < 1e-9 for s in shares)
            if table == "success_escalated":
                assert shares == sorted(shares)
            for value, (low, high) in zip(shares, result["interval"][pair], strict=True):
                assert table != "success" or low <= value <= high
    assert result["zero_gradient"].keys() == {"float", "engine"}
    assert all(map(share, result["zero_gradient"].values()))
    assert type(result["cycles"]) is int
    assert result["cycles"] > 0
    assert isinstance(result["energy_nj"], float)
    assert result["energy_nj"] > 0
    assert result["memory_bits"].keys() == {"dense", "index_sram", "hash"}
    assert all(type(bits) is int and bits > 0 for bits in result["memory_bits"].values())


@pytest.mark.slow
def test_an_attack_prints_its_result_and_leaves_json_picture_and_page(
    run: Run, place: Path
) -> None:
    code, out, err = run(
        "attack", "HFGSM", "--model", MODEL, "--eps", "0.3,0.1,0.3", "--samples", "20",
        "--json", "sub/out.json", "--target", "3", "--probabilities", "engine",
    )  # fmt: skip
    assert (code, err) == (0, "")
    folder = place / f"runs/hfgsm-{MODEL}-default-engine-target-3"
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["report.html", "result.json", "result.png"]
    check_shape(read(place / "sub/out.json"), 20, [0.1, 0.3])
    assert read(folder / "result.json") == read(place / "sub/out.json")
    assert "images of class 3, the target, are left out" in " ".join(out.split())
    assert "float has no probability unit" in out
    assert "correct unattacked" in out
    assert all(len(line) <= 100 for line in out.splitlines())


INTERRUPTED_ATTACK = (
    f"{ENTRY} import os, threading, hwsim.runs.count as c, hwsim.runs.experiment as e\n"
    "write = c.keep; e.BATCH = 16\n"
    "def later(*a):\n"  # a first batch has been kept: interrupt what follows
    "    write(*a)\n"
    "    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    "c.keep = later\n"
    "main()"
)


@pytest.mark.slow
def test_an_attack_that_is_interrupted_goes_on_to_the_same_numbers(
    run: Run, place: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "BATCH", 16)
    command = (*ATTACK, "--samples", "64", "--json", "out.json")
    stopped = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_ATTACK, *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (stopped.returncode, stopped.stdout) == (130, "")
    assert stopped.stderr.count("\n") == 1
    assert "interrupted" in stopped.stderr
    partial = place / RUN / "partial.json"
    assert [path for path in place.rglob("*") if path.is_file()] == [partial]
    assert 0 < read(partial)["tally"]["samples"] < 64

    assert run(*command).code == 0
    resumed = read(place / "out.json")
    check_shape(resumed, 64, [0.1, 0.3])
    assert not partial.exists()

    settings = Request("hfgsm", MODEL, (0.1, 0.3), 64)
    whole = experiment.Experiment(settings, network, load_dataset("mnist", "test"))
    expected = build(whole, count(whole, place / "whole.json"), 0.0)
    assert numbers(json.loads(to_json(expected))) == numbers(resumed)


@pytest.mark.slow
def test_training_that_is_interrupted_goes_on_to_the_same_weights(
    run: Run, place: Path, few_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.models import loop as train

    name = "mnist-cnn-h64"
    command = ("train", name, "--epochs", "2", "--batch", "16", "--precision", "float32", "--out")
    shifted, batches = train.shifted, [0]

    def interrupted(*arguments: Any) -> Any:
        batches[0] += 1
        if batches[0] == 4:  # in the second epoch of two batches
            signal.raise_signal(signal.SIGINT)
        return shifted(*arguments)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(train, "shifted", interrupted)
        assert "interrupted" in run(*command, "out").interrupted
    finally:
        signal.signal(signal.SIGINT, usual)
    left = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert len(left) == 1  # the checkpoint of the first epoch
    assert left[0].parent == place / "out/checkpoints" / name

    for out in ("out", "whole"):
        code, said, err = run(*command, out)
        assert (code, err) == (0, "")
        assert "of 20 images" in said
        assert "note: not the canonical MNIST files" in said
    assert batches[0] == 4 + 2 + 4  # going on took the second epoch alone
    first, second = (place / out / f"{name}.safetensors" for out in ("out", "whole"))
    assert first.read_bytes() == second.read_bytes()
    assert read(first.with_suffix(".json")) == read(second.with_suffix(".json"))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_without_unicode_is_no_obstacle(encoding: str) -> None:
    for arguments in (["attack", "--help"], ["zoo", "list"], ["attack", "…"]):
        done = subprocess.run(
            [sys.executable, "-c", f"{ENTRY} main()", *arguments], check=False,
            capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == (2 if arguments[1] == "…" else 0)
        assert b"Traceback" not in done.stderr
