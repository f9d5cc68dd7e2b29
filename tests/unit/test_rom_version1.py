"""Images of format version 1, written when there was no other, load and answer as they did.

tests/version1 holds two as version 1 wrote them, and in answers.json what its engine gave: integer
logits and probabilities of a few images, and the cycles.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.cost.timing import analyze
from hwsim.engine import reference
from hwsim.engine.forward import Datapath
from hwsim.program.program import Program
from hwsim.rom import image as rom
from hwsim.units import softmax
from tests.images import equal

FOLDER = Path(__file__).parents[1] / "version1"
ANSWERS: dict[str, Any] = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture(params=sorted(ANSWERS))
def case(request: pytest.FixtureRequest) -> tuple[Program, dict[str, Any]]:
    return rom.load(FOLDER / f"{request.param}.hne"), ANSWERS[request.param]


def test_it_answers_as_it_did(case: tuple[Program, dict[str, Any]]) -> None:
    program, answers = case
    images = np.array(answers["images"])
    datapath = Datapath(program, frozenset(("int8", "float32", "float64")))
    fast = datapath.run(images.transpose(0, 2, 3, 1).astype(datapath.map_dtype)).logits
    assert fast.tolist() == answers["logits"]
    for image, logits in zip(images, answers["logits"], strict=True):
        assert list(reference.run(program, image).logits) == logits


def test_its_logits_are_worth_what_they_were(case: tuple[Program, dict[str, Any]]) -> None:
    program, answers = case
    assert program.logit_frac == answers["logit_frac"]
    logits = np.array(answers["logits"])
    found = softmax.probabilities(logits, program.logit_frac)
    assert found.tolist() == answers["probabilities"]


def test_it_takes_the_cycles_that_it_took(case: tuple[Program, dict[str, Any]]) -> None:
    program, answers = case
    assert analyze(program).cycles == answers["cycles"]


def test_its_memory_has_the_lines_of_both_that_it_had(case: tuple[Program, Any]) -> None:
    program, _ = case
    name = program.layers[0].name
    stem = "small" if name == "conv" else "single"
    manifest = json.loads((FOLDER / f"{stem}.hne" / "manifest.json").read_text())
    assert manifest["format_version"] == 1
    assert program.config.act_depth == 2 * manifest["config"]["act_depth"]


def test_saved_again_it_is_of_today_and_the_same(
    case: tuple[Program, dict[str, Any]], tmp_path: Path
) -> None:
    program, _ = case
    rom.save(program, tmp_path / "x.hne")
    assert json.loads((tmp_path / "x.hne" / "manifest.json").read_text())["format_version"] == 2
    assert equal(rom.load(tmp_path / "x.hne"), program)
