"""HFGSM through the engine against Foolbox, ART and torchattacks on the float network."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.fgsm import HFGSM
from hwsim.engine.backward import GradientMode
from hwsim.engine.module import Engine
from hwsim.models.residual import resnet20
from hwsim.networks.open import open_network
from tests.bench.forward import float32_peak, random_network
from tests.bench.measure import Line, check_reached, seconds

EPSILON = 0.2
#: Foolbox and ART look which of their images fool, as the engine's attack does; torchattacks
#: returns them unseen. *As it is*: each as it comes. *judged*: torchattacks' are looked at, too.
#: *crafted*: the engine's are not.
Work = Literal["as it is", "judged", "crafted"]


def mnist(work: Work = "as it is", mode: GradientMode = "ste") -> Line:
    """mnist-cnn-h16, 256 images, ε = 0.2."""
    network = open_network("mnist-cnn-h16")
    images = Grid(255).snap(torch.rand(256, 1, 28, 28))
    engine = Engine(network.program, mode)
    name = _name("hfgsm-mnist-h16", work, mode)
    return _compare(name, engine, network.module, images, ">= 2.2", work)


def residual(work: Work = "as it is", mode: GradientMode = "ste") -> Line:
    """ResNet-20 shape with random weights, 64 images, ε = 0.2."""
    module, engine = random_network(resnet20)
    images = Grid(255).snap(torch.rand(64, 3, 32, 32))
    name = _name("hfgsm-resnet20", work, mode)
    return _compare(name, Engine(engine.program, mode), module, images, ">= 1.5", work)


def _name(network: str, work: Work, mode: GradientMode) -> str:
    parts = [network, *([] if work == "as it is" else [work])]
    return "-".join([*parts, *(["bfloat16"] if mode == "ste-bfloat16" else [])])


def _compare(
    name: str,
    engine: Engine,
    network: nn.Module,
    images: Tensor,
    goal: str,
    work: Work,
) -> Line:
    """Against each library on the float network in both memory formats, batch norms folded."""
    labels = engine(images).argmax(1)
    aim, attack = Untargeted(labels), HFGSM()

    def crafted() -> Tensor:
        return engine.space.clip(attack.aim(engine, images, aim).at(EPSILON))

    def judged() -> Tensor:
        return attack(engine, images, aim, epsilon=EPSILON).adversarial

    tasks = {"engine": crafted if work == "crafted" else judged}
    tasks |= peers(network, images, labels, judged=work == "judged")
    # One step of ε each, and that far: torchattacks' and ART's defaults are other budgets.
    for who, task in tasks.items():
        check_reached(who, images, task(), EPSILON)
    taken = seconds(tasks, 5)
    ours = len(images) / taken.pop("engine")
    fastest = min(taken, key=lambda key: taken[key])
    peer = len(images) / taken[fastest]
    everyone = ", ".join(f"{who} {len(images) / t:.0f}" for who, t in taken.items())
    note = f"{work}; 1 step of {EPSILON:g}, reached by all; {everyone}; "
    note += f"batch {len(images)}, {torch.get_num_threads()} threads; "
    # What no arrangement of loops goes below: the products of the way back, all float32.
    products = 2 * sum(layer.macs for layer in engine.program.mac_layers) * len(images)
    least = products / float32_peak() / 1e9
    note += f"ours {1e3 * len(images) / ours:.0f} ms, the way back alone at the float32 GEMM peak "
    note += f"{1e3 * least:.0f}; the fastest peer {1e3 * len(images) / peer:.0f}"
    return Line(name, ours, peer, "img/s", ours / peer, fastest, goal, note)


def peers(
    network: nn.Module, images: Tensor, labels: Tensor, *, judged: bool = False
) -> dict[str, Callable[[], Any]]:
    """Each library's step of EPSILON, in both memory formats, batch norms folded.

    judged: torchattacks' images are looked at, as the others' are.
    """
    network, found = fuse(copy.deepcopy(network)).eval(), {}
    for form in (torch.contiguous_format, torch.channels_last):
        module = network.to(memory_format=form)
        x = images.contiguous(memory_format=form)
        suffix = " channels_last" if form == torch.channels_last else ""
        found |= {
            name + suffix: task for name, task in _libraries(module, x, labels, judged).items()
        }
    return found


def _libraries(module, x, labels, judged):  # type: ignore[no-untyped-def]
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
        module, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu"
    )
    art_attack = FastGradientMethod(classifier, eps=EPSILON, batch_size=len(x))
    arrays, targets = x.numpy(), labels.numpy().astype(np.int64)

    def unseen() -> Tensor:
        images = torchattack(x, labels)
        if judged:
            with torch.inference_mode():
                _ = module(images).argmax(1) != labels
        return images

    return {
        "Foolbox": lambda: foolbox_attack(foolbox_model, x, labels, epsilons=EPSILON)[1],
        "torchattacks": unseen,
        "ART": lambda: art_attack.generate(arrays, targets),
    }
