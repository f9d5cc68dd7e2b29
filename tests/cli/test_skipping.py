"""--skip and --images: where the time of images is told from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import HASHED, Run, read


@pytest.mark.slow
def test_timing_tells_how_images_spread(run: Run, place: Path) -> None:
    code, out, err = run("timing", HASHED, "--skip", "--images", 30, "--json", "out.json")
    assert (code, err) == (0, "")
    assert "Zeros skipped, over 30 test images" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    found = read(place / "out.json")
    spread = found["images"]
    assert spread["images"] == 30
    assert spread["cycles"]["max"] <= found["cycles"]
    assert spread["speed_up"] > 1 < spread["energy_gain"]
    fc = {layer["name"] for layer in found["layers"] if layer["kind"] == "fc"}
    assert fc <= {layer["name"] for layer in spread["layers"]}


def test_images_without_skipping_are_all_alike_and_refused(run: Run, place: Path) -> None:
    asked = "timing", HASHED, "--images", 3, "--json", "out.json", "--trace", "trace.json"
    assert "add --skip" in run(*asked).line
    assert not list(place.iterdir())


def test_run_answers_the_same(run: Run) -> None:
    plain = run("run", HASHED, "--samples", 20)
    skipping = run("run", HASHED, "--samples", 20, "--skip")
    assert plain.code == skipping.code == 0
    assert plain.out == skipping.out
