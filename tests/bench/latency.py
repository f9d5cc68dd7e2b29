"""The latency attack on an engine that skips zeros against PGD on the same engine and images.

Both take 10 steps from the same 100 images with the same ε, all of them to the end; the latency
attack counts the cycles of every image that it looks at. What its search adds is in the note.
"""

from __future__ import annotations

import torch

from hwsim.attacks.latency import Latency
from hwsim.attacks.pgd import PGD
from hwsim.engine.machine import SkippingMachine
from hwsim.engine.module import Engine
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network
from tests.bench.measure import Line, seconds

EPSILON, IMAGES, STEPS, QUERIES = 0.3, 100, 10, 10


def mnist() -> Line:
    """mnist-cnn-h16-banked, 100 test images."""
    network = open_network("mnist-cnn-h16-banked")
    engine = Engine(network.program.skipping())
    machine = SkippingMachine(engine)
    test = load_dataset("mnist", "test").take(IMAGES)
    images, labels = network.inputs(test), torch.from_numpy(test.labels)
    pgd = PGD(steps=STEPS, early_exit=False, space=engine.space)
    steps = Latency(steps=STEPS, queries=0, space=engine.space)
    search = Latency(steps=STEPS, queries=QUERIES, space=engine.space)
    took = seconds(
        {
            "pgd": lambda: pgd(engine, images, labels, epsilon=EPSILON),
            "steps": lambda: steps(machine, images, epsilon=EPSILON),
            "search": lambda: search(machine, images, epsilon=EPSILON),
            "forward": lambda: engine(images),
            "cycles": lambda: engine.cycles(images),
        },
        rounds=5,
    )
    found = steps(machine, images, epsilon=EPSILON)
    note = (
        f"{IMAGES} images, ε = {EPSILON}, {torch.get_num_threads()} threads; "
        f"{float((found.cost / found.clean).mean()):.3f} times the cycles; with {QUERIES} squares "
        f"tried behind the steps {took['search'] / took['pgd']:.2f} times PGD's time; "
        f"engine.cycles {took['cycles'] / took['forward']:.2f} times a forward pass"
    )
    return Line(
        "latency10-mnist-h16-banked", took["steps"], took["pgd"], "s",
        took["steps"] / took["pgd"], "PGD-10 through the engine", "<= 2", note,
    )  # fmt: skip
