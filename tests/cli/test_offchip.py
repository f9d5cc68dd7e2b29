"""`hwsim timing --bandwidth`: against a plain loop over the layers that it reports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hwsim.numbers.config import load_config
from tests.cli.conftest import MODEL, Run, read


def by_loop(layers: list[dict[str, Any]], bandwidth: float) -> int:
    """docs/timing.md, step by step: a layer has ended, and the words of the next are there."""
    fetches = [math.ceil(layer["allocated_bits"]["index_sram"] / 8 / bandwidth) for layer in layers]
    ready = layers[0]["start"] + fetches[0]
    for layer, behind in zip(layers, [*fetches[1:], 0], strict=True):
        ended, there = ready + layer["cycles"], ready + behind
        ready = max(ended, there)
    return ready


def test_a_bandwidth_adds_what_the_port_makes_of_it(run: Run) -> None:
    plain = run("timing", MODEL, "--json", "plain.json")
    for bandwidth in (0.5, 4, 4096):
        code, out, err = run("timing", MODEL, "--bandwidth", bandwidth, "--json", "out.json")
        assert (code, err) == (0, "")
        assert out.startswith(plain.out.rstrip("\n"))
        found = read(Path("out.json"))
        away = found.pop("off_chip")
        assert found == read(Path("plain.json"))
        assert away["bandwidth"] == bandwidth
        assert away["cycles"] == by_loop(found["layers"], bandwidth)
        assert away["waited"] == away["cycles"] - found["cycles"]
        assert f"{away['cycles']:,.0f} cycles, {away['waited']:,.0f} of them for the port" in out
    assert "4096 bytes a cycle = 1,638 GB/s" in out


def test_of_images_it_is_the_mean(run: Run) -> None:
    asked = ("timing", MODEL, "--skip", "--bandwidth", "65536", "--images", "3")
    assert run(*asked, "--json", "out.json").code == 0
    found = read(Path("out.json"))
    away, spread = found["off_chip"], found["images"]
    assert away["cycles"] - away["waited"] == pytest.approx(spread["cycles"]["mean"])
    assert away["energy_nj"] == pytest.approx(spread["energy_nj"]["mean"] + away["fetch_nj"])


@pytest.mark.parametrize("typed", ["0", "-1", "nan", "inf", "1e-9", "1e9", "chip", ""])
def test_what_is_no_bandwidth_is_one_line(run: Run, typed: str) -> None:
    said = run("timing", MODEL, "--bandwidth", typed, "--json", "out.json").line
    assert "give bytes a cycle from 0.001 to 65536" in said
    assert not Path("out.json").exists()


def test_a_batch_has_no_model_off_chip(run: Run) -> None:
    values = load_config("default").replace(batch=4).model_dump(exclude={"name"})
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
    Path("four.toml").write_text("".join(lines), encoding="utf-8")
    asked = ("timing", MODEL, "--config", "four.toml", "--batch", "2", "--bandwidth", "4")
    assert "modelled for one image" in run(*asked, "--trace", "trace.json").line
    assert not Path("trace.json").exists()
