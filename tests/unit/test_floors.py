"""Floors of layers on an engine that skips: time that does not depend on the image any more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.errors import CompileError, ImageError
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.digest import program_digest
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.rom import image
from tests.rtl.samples import small_network

PROGRAM = small_network(load_config("tiny").replace(skip=True))
WORST = [layer.cycles for layer in analyze(PROGRAM).layers]


def _images() -> torch.Tensor:
    """Ten full ones, ten sparse ones, ten of zeros."""
    random = np.random.default_rng(0)
    kept = np.repeat([1.0, 0.4, 0.0], 10)[:, None, None, None]
    shape = (30, 1, 6, 6)
    return torch.from_numpy((random.random(shape) * (random.random(shape) < kept)).astype("f4"))


IMAGES = _images()


def test_behind_the_worst_case_no_cycle_depends_on_the_image() -> None:
    plain = Engine(PROGRAM).cycles(IMAGES)
    padded = Engine(PROGRAM.with_floors(WORST)).cycles(IMAGES)
    assert np.ptp(plain.sum(1)) > 0
    assert (padded == WORST).all()


def vectors() -> Program:
    """A layer with a line for each code: nothing to wait for but the scan."""
    config = PROGRAM.config
    layer = MacLayer(
        name="fc", kind="fc", in_shape=(9, 1, 1), out_shape=(2, 1, 1), window=None,
        spec=HashSpec("dense", 2, 9, 18, 0), weights=np.ones(18, np.int32),
        multiplier=np.zeros(2, np.int32), shift=np.zeros(2, np.int32), bias=np.zeros(2, np.int64),
        last=True, weight_scale=np.ones(1), scale=1.0, hi=config.act_max,
    )  # fmt: skip
    return Program.chain(config, (layer,), (9, 1, 1))


def test_the_worst_case_may_be_a_map_of_zeros() -> None:
    program = vectors()
    codes = np.array([[1] * 9, [0] * 9, [0] * 8 + [1]], np.uint8)[:, None, None, :]
    engine = Engine(program)
    full, blank, one = engine.cycles_of_codes(codes)[:, 0]
    assert (full, blank, one) == (analyze(program).layers[0].cycles, full + 1, full)
    assert engine.worst_cycles.tolist() == [blank]
    padded = Engine(program.with_floors(engine.worst_cycles))
    assert (padded.cycles_of_codes(codes) == blank).all()


def test_an_engine_that_does_not_skip_has_none() -> None:
    plain = PROGRAM.with_floors(WORST).skipping(False)
    assert [layer.floor for layer in plain.mac_layers] == [0, 0]
    assert analyze(plain).cycles == analyze(PROGRAM.skipping(False)).cycles


def test_a_floor_holds_what_is_below_it_and_nothing_else() -> None:
    plain = Engine(PROGRAM).cycles(IMAGES)
    floors = np.median(plain, axis=0).astype(int)
    found = Engine(PROGRAM.with_floors(floors)).counters(IMAGES)
    assert (found["cycles"] == np.maximum(plain, floors)).all()
    before = Engine(PROGRAM).counters(IMAGES)
    waited = found["cycles"] - plain
    assert (found["drain"] - before["drain"] == waited).all()
    assert (waited > 0).any()
    assert (waited == 0).any()


def test_values_do_not_know_of_floors() -> None:
    one, other = (Engine(p).integer_logits(IMAGES) for p in (PROGRAM, PROGRAM.with_floors(WORST)))
    assert torch.equal(one, other)


def test_the_slowest_image_is_as_slow_as_a_floor_says() -> None:
    report = analyze(PROGRAM.with_floors([0, 0, WORST[2] + 50]))
    assert [layer.cycles for layer in report.layers] == [*WORST[:2], WORST[2] + 50]
    parts = ("instruction", "compute", "act_stall", "post_stall", "expander_stall", "drain")
    assert sum(getattr(report.layers[2], part) for part in parts) == WORST[2] + 50


def test_an_image_keeps_them(tmp_path: Path) -> None:
    program = PROGRAM.with_floors([300, 0, 400])
    image.save(program, tmp_path / "padded.hne")
    again = image.load(tmp_path / "padded.hne")
    assert [layer.floor for layer in again.mac_layers] == [300, 400]
    assert torch.equal(program_digest(again), program_digest(program))
    assert not torch.equal(program_digest(again), program_digest(PROGRAM))


@pytest.mark.parametrize("batch", [1, 2])
def test_an_engine_that_does_not_skip_reads_an_image_without_them(
    tmp_path: Path, batch: int
) -> None:
    image.save(PROGRAM.with_floors([9000, 0, 9000]), tmp_path / "padded.hne")
    plain = load_config("tiny").replace(batch=batch)
    there = image.load(tmp_path / "padded.hne", config=plain)
    assert [layer.floor for layer in there.mac_layers] == [0, 0]
    assert analyze(there).cycles == analyze(PROGRAM.skipping(False)).cycles
    image.save(there, tmp_path / "plain.hne")
    again = image.load(tmp_path / "padded.hne", config=PROGRAM.config)
    assert [layer.floor for layer in again.mac_layers] == [9000, 9000]


def test_an_image_without_any_does_not_speak_of_them(tmp_path: Path) -> None:
    image.save(PROGRAM, tmp_path / "plain.hne")
    manifest = tmp_path / "plain.hne" / "manifest.json"
    assert "floor" not in manifest.read_text(encoding="utf-8")
    body = json.loads(manifest.read_text(encoding="utf-8"))
    body["layers"][0]["floor"] = 0
    manifest.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(ImageError, match="floor: is absent where there is none"):
        image.load(tmp_path / "plain.hne")


@pytest.mark.parametrize(
    ("program", "floor", "why"),
    [
        (PROGRAM, -1, "conv: a floor of -1 cycles is outside 0 … 16777215"),
        (PROGRAM, 1 << 24, "conv: a floor of 16777216 cycles is outside 0 … 16777215"),
        (PROGRAM.skipping(False), 5, "conv: only an engine that skips has floors"),
    ],
)
def test_floors_that_no_engine_has_are_refused(program: object, floor: int, why: str) -> None:
    with pytest.raises(CompileError, match=f"^{why}"):
        check(program.with_floors([floor, 0, 0]))  # type: ignore[attr-defined]
