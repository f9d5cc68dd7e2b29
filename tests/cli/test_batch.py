"""--batch: images that go through a program together, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import MODEL, Run, read


@pytest.fixture
def batch4(place: Path) -> str:
    """``default`` with a batch of four, as a file."""
    from hwsim.numbers.config import load_config

    values = load_config("default").replace(batch=4).model_dump(exclude={"name"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    (place / "batch4.toml").write_text("\n".join(lines))
    return "batch4.toml"


def test_timing_of_a_batch_is_told_and_written(run: Run, place: Path, batch4: str) -> None:
    asked = "timing", MODEL, "--config", batch4
    code, out, err = run(*asked, "--batch", 4, "--json", "four.json", "--trace", "four.trace")
    assert (code, err) == (0, "")
    assert "trace: four.trace" in out
    assert any("image 3" in one["name"] for one in read(place / "four.trace")["traceEvents"])
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "cycles for a batch of 4 images" in out
    one = run(*asked, "--json", "one.json")
    assert one.code == 0
    assert "as fast): --batch 4" in one.out
    single, four = read(place / "one.json"), read(place / "four.json")
    assert (single["batch"], four["batch"]) == (1, 4)
    assert single["full_batch_cycles"] == four["cycles"] == 4 * four["cycles_per_image"]
    assert four["cycles"] < 4 * single["cycles"]
    by_kind = zip(single["layers"], four["layers"], strict=True)
    for alone, together in by_kind:
        assert (together["cycles"] == alone["cycles"]) == (alone["kind"] == "fc")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--batch", 5), "a batch of 5: batch4 takes 1 … 4 images, batch = 4"),
        (("--batch", -1), "a batch of -1: batch4 takes 1 … 4 images"),
        (("--skip",), "batch 4 needs skip = false"),
        (("--batch", 4, "--skip"), "batch 4 needs skip = false"),
    ],
)
def test_what_the_engine_does_not_take_is_one_line(
    run: Run, place: Path, batch4: str, arguments: tuple[object, ...], says: str
) -> None:
    asked = "timing", MODEL, "--config", batch4, "--json", "t.json", "--trace", "t.trace"
    assert says in run(*asked, *arguments).line
    assert [path.name for path in place.iterdir()] == [batch4]
