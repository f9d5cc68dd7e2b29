"""What a run prints and leaves behind, and that Ctrl-C costs nothing but time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hwsim.report import PAIRS
from tests.cli.conftest import EPSILONS, MODEL, SAMPLES, Run, numbers, read

RUN = f"runs/hfgsm-{MODEL}-default-float32"
ATTACK = ("attack", "hfgsm", "--model", MODEL, "--eps", EPSILONS)
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


def test_an_attack_that_is_interrupted_goes_on_to_the_same_numbers(run: Run, place: Path) -> None:
    samples = 4 * SAMPLES - 40
    command = [*ATTACK, "--samples", str(samples), "--json", "out.json"]
    partial = place / RUN / "partial.json"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{ENTRY} main()", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    while process.poll() is None and not partial.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "interrupted" in err
    assert [path.name for path in place.rglob("*") if path.is_file()] == ["partial.json"]
    done = read(partial)["tally"]["samples"]
    assert 0 < done < samples

    assert run(*command).code == 0
    resumed = read(place / "out.json")
    check_shape(resumed, samples, [0.1, 0.3])
    assert not partial.exists()
    assert run(*command, "--out", "whole").code == 0
    assert numbers(read(place / "out.json")) == numbers(resumed)


INTERRUPTED_TRAINING = (
    f"{ENTRY} import models.train as t, signal; batch = t.shifted; calls = []\n"
    "def shifted(*a):\n"
    "    calls.append(0)\n"
    "    if len(calls) == 5: signal.raise_signal(signal.SIGINT)\n"  # in the second epoch
    "    return batch(*a)\n"
    "t.shifted = shifted\n"
    "main()"
)


def test_training_that_is_interrupted_goes_on_to_the_same_weights(place: Path) -> None:
    name = "mnist-cnn-h64"
    command = ["train", name, "--epochs", "2", "--batch", "171", "--precision", "float32"]

    def train(script: str, out: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *command, "--out", out],
            capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip

    stopped = train(INTERRUPTED_TRAINING, "out")
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert stopped.stderr.count("\n") == 1
    assert "interrupted" in stopped.stderr
    left = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert len(left) == 1  # the checkpoint of the first epoch
    assert left[0].parent == place / "out/checkpoints" / name

    for out in ("out", "whole"):
        done = train(f"{ENTRY} main()", out)
        assert (done.returncode, done.stderr) == (0, "")
        assert "of 600 images" in done.stdout
        assert "note: not the canonical MNIST files" in done.stdout
    first, second = (place / out / f"{name}.safetensors" for out in ("out", "whole"))
    assert first.read_bytes() == second.read_bytes()
    assert read(first.with_suffix(".json")) == read(second.with_suffix(".json"))


def test_a_closed_pipe_ends_a_command_silently() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{ENTRY} main()", "zoo", "show", MODEL],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_without_unicode_is_no_obstacle(encoding: str) -> None:
    for arguments in (["attack", "--help"], ["zoo", "list"], ["attack", "…"]):
        done = subprocess.run(
            [sys.executable, "-c", f"{ENTRY} main()", *arguments], check=False,
            capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == (2 if arguments[1] == "…" else 0)
        assert b"Traceback" not in done.stderr
