"""A trial of random faults against PyTorchFI 0.6.0 on the same float network and images.

A trial injects one wrong bit, answers 1,000 images and restores. PyTorchFI flips the sign of a
weight drawn uniformly from the layers' weights, which takes a copy of the network and a pass of all
images, whatever the weight; ours flips a bit drawn uniformly from a memory. Both find how many
answers change.

``pip install --no-deps pytorchfi==0.6.0``: it wants versions of torch and torchvision of its own,
and needs neither.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from hwsim.engine.module import Engine
from hwsim.faults.draw import draw
from hwsim.faults.trials import Trials
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels
from hwsim.rom.words import WordReader
from tests.bench.measure import Line, seconds

MODEL, IMAGES, FAULTS = "mnist-cnn-h16", 1000, 50
PEER = "PyTorchFI 0.6.0, float"
#: Of many faults a trial: upsets a bit, trials in turn, and about as many faults as that makes.
RATE, FEW, SIGNS = 1e-5, 4, 830


def weights() -> Line:
    """One bit of the weight memory."""
    return _line("weights")


def index() -> Line:
    """One bit of the index memory, which PyTorchFI has not."""
    return _line("index")


def many() -> Line:
    """Hundreds of faults a trial: the index memory at one upset in 100,000 bits."""
    ours, peer = _ours("index", RATE, FEW), _peer(SIGNS)
    found = seconds({"ours": ours, "peer": peer}, rounds=3)
    mine = found["ours"] / FEW
    return Line(
        "fault-many-mnist-h16", 1 / mine, 1 / found["peer"], "trials/s", found["peer"] / mine,
        PEER, ">= 10", f"{IMAGES} images, about {SIGNS} faults a trial; of the peer, signs",
    )  # fmt: skip


def _line(memory: str) -> Line:
    ours, peer = _ours(memory), _peer()
    found = seconds({"ours": ours, "peer": peer}, rounds=3)
    mine = found["ours"] / FAULTS
    return Line(
        f"fault-{memory}-mnist-h16", 1 / mine, 1 / found["peer"], "trials/s", found["peer"] / mine,
        PEER, ">= 10", f"{IMAGES} images a trial, {FAULTS} random faults of ours in turn",
    )  # fmt: skip


def _ours(memory: str, rate: float | None = None, count: int = FAULTS) -> Callable[[], Any]:
    program, images = open_network(MODEL).program, _images()
    engine = Engine(program)
    trials = Trials(program, engine.grid(images))
    clean = trials.logits.argmax(1)
    file = WordReader(program).files[f"{memory}.mem"]
    flips = 1 if rate is None else None
    faults = [
        draw(file, "uniform", np.random.default_rng(n), rate or 0.0, flips) for n in range(count)
    ]

    def task() -> int:
        return sum(int((trials.run(one).logits.argmax(1) != clean).sum()) for one in faults)

    return task


def _peer(signs: int = 1) -> Callable[[], Any]:
    try:
        from pytorchfi.core import fault_injection
        from pytorchfi.weight_error_models import random_weight_location
    except ImportError:
        sys.exit("the peer of this benchmark: pip install --no-deps pytorchfi==0.6.0")
    module, images = open_network(MODEL).module.eval(), _images()
    kinds = [torch.nn.Conv2d, torch.nn.Linear]
    injector = fault_injection(module, IMAGES, list(images.shape[1:]), layer_types=kinds)
    with torch.inference_mode():
        clean = torch.cat([module(part) for part in images.split(250)]).argmax(1)
    random.seed(0)

    def task() -> int:
        places = [random_weight_location(injector) for _ in range(signs)]
        layer, k, c, y, x = ([n for part in one for n in part] for one in zip(*places, strict=True))
        faulty = injector.declare_weight_fi(
            function=lambda data, at: -data[at], layer_num=layer, k=k, dim1=c, dim2=y, dim3=x
        )
        with torch.inference_mode():
            found = torch.cat([faulty(part) for part in images.split(250)]).argmax(1)
        injector.fi_reset()
        return int((found != clean).sum())

    return task


@cache
def _images() -> torch.Tensor:
    return pixels(load_dataset("mnist", "test").take(IMAGES))
