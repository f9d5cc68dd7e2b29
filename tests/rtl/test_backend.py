"""RtlBackend is an Engine whose logits come from the Verilog."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.numbers.config import load_config
from hwsim.rtl.backend import RtlBackend, RtlJudge
from hwsim.rtl.errors import RtlError
from hwsim.rtl.simulator import RtlEngine
from tests.rtl.samples import gradient_image, small_network

pytestmark = pytest.mark.rtl

PROGRAM = small_network(load_config("tiny"))


def batch(count: int) -> torch.Tensor:
    images = np.array([gradient_image(seed) for seed in range(count)]).reshape(count, 1, 6, 6)
    return torch.from_numpy((images / 255).astype(np.float32))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_batch_has_the_logits_of_the_simulator_in_order(count: int) -> None:
    images = batch(count)
    with RtlBackend(PROGRAM, workers=2) as backend, torch.no_grad():
        assert torch.equal(backend(images), Engine(PROGRAM)(images))
        assert (backend.simulated[0] > 0) == (count > 0)


def test_gradients_are_those_of_the_python_twin() -> None:
    with RtlBackend(PROGRAM, workers=1) as backend:
        found = []
        for module in (backend, Engine(PROGRAM)):
            images = batch(2).requires_grad_()
            module(images).square().sum().backward()
            found.append(images.grad)
    assert torch.equal(found[0], found[1])
    assert backend.simulated[0] == 0


def test_a_cycle_too_many_stops_it() -> None:
    with RtlBackend(PROGRAM, workers=1) as backend:
        due = backend._expected[1]
        backend._expected[1] = dataclasses.replace(due, cycles=due.cycles + 1)
        with pytest.raises(RtlError, match=r"took [\d,]+ cycles where the timing model says \d"):
            backend.integer_logits(batch(1))


def test_another_configuration_is_refused() -> None:
    with RtlEngine(PROGRAM) as engine:
        other = PROGRAM.replace(config=PROGRAM.config.replace(chan_depth=256))
        with pytest.raises(InputError, match="another engine configuration"):
            engine.load(other)
        engine.load(PROGRAM.replace(config=PROGRAM.config.replace(clock_mhz=5.0)))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((1, 6, 7), np.int64), "shape"),
        ([[[0] * 6] * 6], "a NumPy array of integers .*, not list"),
        (None, "not NoneType"),
        (torch.zeros(1, 6, 6, dtype=torch.int64), "not Tensor"),
        (np.zeros((1, 6, 6)), "not float64"),
        (np.zeros((1, 6, 6), bool), "not bool"),
        (np.full((1, 6, 6), 256), r"integers in 0 … 255, got 256 … 256"),
        (np.full((1, 6, 6), -1), r"got -1 … -1"),
    ],
)
def test_what_is_no_image_of_the_engine_is_refused(image: Any, says: str) -> None:
    with RtlEngine(PROGRAM) as engine:
        with pytest.raises(InputError, match=says):
            engine.run(image)
        assert engine.run(gradient_image()).status == 0


@pytest.mark.parametrize("kind", [RtlBackend, RtlJudge])
@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
def test_a_copy_starts_its_own_simulation(kind: type[RtlBackend], copied: Any) -> None:
    with kind(PROGRAM, workers=1) as backend:
        expected = backend.integer_logits(batch(1))
        with copied(backend) as twin:
            backend.close()
            assert torch.equal(twin.integer_logits(batch(2))[:1], expected)
            assert twin.simulated[0] > backend.simulated[0]


def test_a_simulation_that_dies_is_one_clear_line() -> None:
    engine = RtlEngine(PROGRAM)
    engine._simulation.process.kill()
    with pytest.raises(RtlError, match="ended early"):
        engine.run(gradient_image())
    engine.close()


def test_weights_differ_where_the_program_does() -> None:
    fc = PROGRAM.mac_layers[1]
    other = PROGRAM.replace(
        layers=(*PROGRAM.layers[:-1], dataclasses.replace(fc, weights=fc.weights[::-1].copy()))
    )
    images = batch(3)
    with RtlBackend(other, workers=1) as backend:
        logits = backend.integer_logits(images)
    assert torch.equal(logits, Engine(other).integer_logits(images))
    assert not torch.equal(logits, Engine(PROGRAM).integer_logits(images))
