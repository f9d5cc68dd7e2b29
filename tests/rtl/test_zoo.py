"""Every trained MNIST network on the Verilog: real images, and adversarial ones of the twin."""

from __future__ import annotations

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.fgsm import HFGSM
from hwsim.cost.timing import TimingReport, analyze
from hwsim.engine.module import Engine
from hwsim.models import zoo
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network, open_network, pixels
from hwsim.rtl.backend import first_map_difference, twin_maps
from hwsim.rtl.build import build
from hwsim.rtl.simulator import RtlEngine
from hwsim.units.softmax import probabilities
from tests.rtl.compare import (
    first_cycle_difference,
    first_logit_difference,
    first_probability_difference,
)
from tests.rtl.configs import FULL
from tests.rtl.tally import TRAINED

pytestmark = [pytest.mark.rtl, pytest.mark.slow]

#: A network that has not been counted on the engine yet is none that the engine runs.
_MNIST = [n for n in zoo.names() if zoo.card(n).dataset == "mnist" and zoo.card(n).fixed_accuracy]
#: Network and engine: other seeds and trainings of the same network only in the full run, and
#: there also what fits the engine whose indices are computed.
_FIRST = [n for n in _MNIST if zoo.card(n).seed == 0 and zoo.card(n).architecture == "mnist-cnn"]
NETWORKS = [(name, "default") for name in (_MNIST if FULL else _FIRST)]
NETWORKS += [("mnist-cnn-h64", "small")] * FULL
REAL = 20 if FULL else 2
#: Adversarial images at each of these; none in an ordinary run.
EPSILONS = (0.1, 0.3)
ADVERSARIAL = 10 if FULL else 0
#: Simulations side by side. Each loads all memories, which takes longer than two images.
WORKERS = 2 if FULL else 1


def real_images(network: Network, count: int) -> Tensor:
    return pixels(load_dataset(network.dataset, "test").take(count))


def adversarial_images(twin: Engine, images: Tensor, epsilon: float) -> Tensor:
    """HFGSM through the Python twin."""
    goal = Untargeted(twin(images).argmax(1))
    return HFGSM()(twin, images, goal, epsilon=epsilon).adversarial


def first_difference(
    name: str, twin: Engine, report: TimingReport, engine: RtlEngine, image: NDArray[np.int64]
) -> str | None:
    """What first differs of one image, integers (H, W, C): a map, a logit, a counter; else None."""
    run = engine.run(image.transpose(2, 0, 1), maps=True, limit=2 * report.cycles)
    if run.status:
        return f"the run ended with status {run.status}"
    difference = first_map_difference(twin.program, twin_maps(twin, image), run.feature_maps)
    logits = twin.answer(image[None])[0]
    odds = probabilities(logits[None], twin.program.logit_frac)[0]
    difference = (
        difference
        or first_logit_difference(run, logits.tolist(), int(logits.argmax()))
        or first_probability_difference(twin.program, run, odds.tolist())
        or first_cycle_difference(report, run)
    )
    if difference is None:
        TRAINED[name].add(twin.program, run)
    return difference


def first_differences(network: Network, images: Tensor) -> list[str]:
    """The first difference of every image that has one; WORKERS simulations side by side."""
    program = network.program
    twin, report = Engine(program), analyze(program)
    label = f"{network.name} on {program.config.name}"
    grid = twin.grid(images)
    build(program.config)
    with ExitStack() as running, ThreadPoolExecutor(WORKERS) as threads:
        engines = [running.enter_context(RtlEngine(program)) for _ in range(WORKERS)]

        def share(first: int) -> list[str | None]:
            mine = grid[first::WORKERS]
            return [first_difference(label, twin, report, engines[first], one) for one in mine]

        found = [one for part in threads.map(share, range(WORKERS)) for one in part]
    assert len(found) == len(images)
    return [one for one in found if one is not None]


@pytest.mark.parametrize(("name", "config"), NETWORKS)
def test_a_trained_network_agrees_on_every_map_logit_and_counter(name: str, config: str) -> None:
    network = open_network(name, config)
    images = real_images(network, REAL)
    assert first_differences(network, images) == []
    if ADVERSARIAL:
        twin = Engine(network.program)
        for epsilon in EPSILONS:
            crafted = adversarial_images(twin, images[:ADVERSARIAL], epsilon)
            assert not torch.equal(crafted, images[:ADVERSARIAL])
            assert first_differences(network, crafted) == []


def test_a_wrong_expectation_is_told_by_layer_channel_y_and_x() -> None:
    network = open_network("mnist-cnn-h16-banked", "default")
    program = network.program
    second = program.mac_layers[1]
    bias = second.bias.copy()
    bias[17] += 1 << int(second.shift[17])  # one more in every activation of channel 17
    layers = [dataclasses.replace(one, bias=bias) if one is second else one
              for one in program.layers]  # fmt: skip
    wrong = program.replace(layers=tuple(layers))
    pooled = program.layers[program.layers.index(second) + 1].name
    twin = Engine(wrong)
    image = twin.grid(real_images(network, 1))[0]
    with RtlEngine(program) as engine:
        found = first_difference(network.name, twin, analyze(program), engine, image)
    assert found is not None
    # Where the activation is above 0: ReLU hides one more of a negative sum.
    place = re.fullmatch(
        rf"layer {pooled}, channel 17, y \d+, x \d+: expected (\d+), got (\d+)", found
    )
    assert place is not None
    assert int(place[1]) == int(place[2]) + 1
