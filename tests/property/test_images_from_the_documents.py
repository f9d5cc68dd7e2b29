"""What docs/images.md says is enough to read an image and to answer as the engine answers."""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.engine.module import Engine
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_program
from hwsim.numbers.config import load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import MacLayer, binary_point
from hwsim.program.program import Program
from hwsim.rom import image as rom
from hwsim.units import softmax
from tests.property import document_reader
from tests.property.document_reader import Image, code
from tests.property.networks import EXAMPLES, Case, cases
from tests.property.test_rom_roundtrip import json_objects

ours = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def read(program: Program) -> Image:
    with tempfile.TemporaryDirectory() as folder:
        rom.save(program, Path(folder) / "x.hne")
        return Image(Path(folder) / "x.hne")


def test_the_reader_knows_nothing_of_hwsim() -> None:
    tree = ast.parse(Path(document_reader.__file__).read_text(encoding="utf-8"))
    named = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    named += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert named
    assert not [name for name in named if name.split(".")[0] in ("hwsim", "models", "tests")]


@pytest.mark.slow
@ours
@given(cases(largest=2))
def test_an_image_read_from_the_documents_answers_as_the_engine(case: Case) -> None:
    image, engine = read(case.program), Engine(case.program)
    pixels = torch.from_numpy(case.pixels())
    logits = engine.integer_logits(pixels).numpy()
    probabilities = None
    if case.program.config.softmax and binary_point(case.program.logit_scale) is not None:
        probabilities = softmax.probabilities(logits, case.program.logit_frac)
    for n, codes in enumerate(case.images.tolist()):
        answer = image.run(codes)
        assert answer.logits == logits[n].tolist()
        assert answer.winner == int(logits[n].argmax())
        expected = None if probabilities is None else probabilities[n].tolist()
        assert answer.probabilities == expected


@ours
@given(json_objects, st.lists(json_objects, max_size=2), st.floats(1e-9, 1e9))
def test_the_digest_of_any_manifest_is_what_the_documents_say(
    provenance: dict[str, Any], history: list[dict[str, Any]], clock: float
) -> None:
    program = _identity(8)
    read(
        program.replace(
            provenance=provenance,
            history=tuple(history),
            config=program.config.replace(clock_mhz=clock),
        )
    )


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.integers(4, 16), st.integers(0, 2**16 - 1), st.integers(-2, 2), st.sampled_from("fd"))
def test_pixels_next_to_a_tie_round_as_the_documents_say(
    act_w: int, number: int, steps: int, kind: str
) -> None:
    top = 2**act_w - 1
    dtype = np.dtype(kind)
    x = dtype.type((number % top + 0.5) / top)
    for _ in range(abs(steps)):
        x = np.nextafter(x, dtype.type(np.sign(steps) * np.inf))
    expected = code(float(x), act_w)
    engine = Engine(_identity(act_w))
    pixel = torch.from_numpy(np.full((1, 1, 1, 1), x))
    assert engine.integer_logits(pixel).tolist() == [[expected, 0]]


def _identity(act_w: int) -> Program:
    """A network whose first logit is the code of its only pixel."""
    config = load_config("tiny").replace(act_w=act_w)
    none = np.zeros(2, np.int32)
    step = 1 / config.act_max
    layer = MacLayer(
        name="0", kind="fc", in_shape=(1, 1, 1), out_shape=(2, 1, 1), window=None,
        spec=HashSpec("dense", 2, 1, 2), weights=np.array([1, 0], np.int32), multiplier=none,
        shift=none, bias=none.astype(np.int64), last=True, weight_scale=np.ones(1), scale=step,
        hi=config.act_max,
    )  # fmt: skip
    return Program.chain(config, (layer,), (1, 1, 1))


@pytest.mark.slow
def test_a_trained_network_answers_so_too() -> None:
    program = open_program("mnist-cnn-h64", "default", 8)
    image, data = read(program), load_dataset("mnist", "test").take(2)
    pixels = torch.from_numpy(data.images.astype(np.float32) / 255)
    logits = Engine(program).integer_logits(pixels)
    for n in range(2):
        codes = [[[code(x, 8) for x in row] for row in plane] for plane in pixels[n].tolist()]
        assert image.run(codes).logits == logits[n].tolist()
