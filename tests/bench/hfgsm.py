"""HFGSM through the engine against Foolbox, ART and torchattacks on the float network."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import torch

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.fgsm import HFGSM
from hwsim.engine.module import Engine
from hwsim.networks.open import open_network
from tests.bench.measure import Line, check_reached, seconds

EPSILON = 0.2


def mnist() -> Line:
    """mnist-cnn-h16, 256 images, ε = 0.2; crafting and judging, as each library does it."""
    network = open_network("mnist-cnn-h16")
    images = Grid(255).snap(torch.rand(256, 1, 28, 28))
    engine = Engine(network.program)
    labels = engine(images).argmax(1)
    goal, attack = Untargeted(labels), HFGSM()
    tasks = {"engine": lambda: attack(engine, images, goal, epsilon=EPSILON).adversarial}
    for form in (torch.contiguous_format, torch.channels_last):
        module = network.module.to(memory_format=form)
        x = images.contiguous(memory_format=form)
        suffix = " channels_last" if form == torch.channels_last else ""
        tasks |= {name + suffix: task for name, task in _peers(module, x, labels).items()}
    # One step of ε each, and that far: torchattacks' and ART's defaults are other budgets.
    for name, task in tasks.items():
        check_reached(name, images, task(), EPSILON)
    taken = seconds(tasks, 5)
    ours = len(images) / taken.pop("engine")
    fastest = min(taken, key=lambda key: taken[key])
    peer = len(images) / taken[fastest]
    everyone = ", ".join(f"{name} {len(images) / t:.0f}" for name, t in taken.items())
    note = f"1 step of {EPSILON:g}, reached by all; {everyone}"
    return Line("hfgsm-mnist-h16", ours, peer, "img/s", ours / peer, fastest, ">= 1.0", note)


def _peers(module, x, labels):  # type: ignore[no-untyped-def]
    import copy

    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox
        import torchattacks
        from art.attacks.evasion import FastGradientMethod
        from art.estimators.classification import PyTorchClassifier

    module = copy.deepcopy(module)
    foolbox_model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    foolbox_attack = foolbox.attacks.LinfFastGradientAttack()
    torchattack = torchattacks.FGSM(module, eps=EPSILON)
    classifier = PyTorchClassifier(
        module, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )
    art_attack = FastGradientMethod(classifier, eps=EPSILON, batch_size=len(x))
    arrays, targets = x.numpy(), labels.numpy().astype(np.int64)
    return {
        "Foolbox": lambda: foolbox_attack(foolbox_model, x, labels, epsilons=EPSILON)[1],
        "torchattacks": lambda: torchattack(x, labels),
        "ART": lambda: art_attack.generate(arrays, targets),
    }
