"""Whether an image can be told from its cycles: never where nothing is skipped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hwsim.engine.module import Engine
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.program.program import Program
from hwsim.rtl.outcome import RtlRun
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.samples import small_network

pytestmark = pytest.mark.rtl

TINY = load_config("tiny")
IMAGES = 1000


def images() -> np.ndarray:
    """(IMAGES, 1, 6, 6): random, sparse, with single points, blank and full ones."""
    noise = np.random.default_rng(11)
    found = noise.integers(0, 256, (IMAGES, 1, 6, 6))
    found[1::4] *= noise.random((len(found[1::4]), 1, 6, 6)) < 0.2
    found[2::4] = 0
    found[2::4, 0, 3, 2] = noise.integers(0, 256, len(found[2::4]))
    found[3::8] = 0
    found[7::8] = noise.integers(1, 256, found[7::8].shape)
    return found


def runs(config: EngineConfig) -> tuple[Program, Iterator[RtlRun]]:
    program = small_network(config)

    def each() -> Iterator[RtlRun]:
        with RtlEngine(program, wake_up=6) as engine:
            for image in images():
                yield engine.run(image)

    return program, each()


def test_without_skipping_every_image_takes_the_same_cycles_in_every_counter() -> None:
    program, found = runs(TINY)
    answers, counters = set(), set()
    for run in found:
        answers.add(tuple(run.logits.tolist()))
        counters.add((run.total, run.simulated, *(tuple(one.items()) for one in run.layers)))
    assert len(answers) > IMAGES // 4
    assert len(counters) == 1
    assert (
        len(np.unique(Engine(program).cycles_of_codes(images().transpose(0, 2, 3, 1)), axis=0)) == 1
    )


def test_with_skipping_images_differ_by_what_the_timing_model_says() -> None:
    program, found = runs(TINY.replace(skip=True))
    due = Engine(program).cycles_of_codes(images().transpose(0, 2, 3, 1))
    assert len(np.unique(due.sum(1))) > 20
    assert [[one["total"] for one in run.layers] for run in found] == due.tolist()
