"""BIM and PGD, through the engine and on the float network, against Foolbox on the float network.

All take every step from the same images with the same ε, step size and batch; what early exit
adds is in the note.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.pgd import BIM, PGD
from hwsim.engine.module import Engine
from hwsim.networks.open import open_network
from tests.bench.measure import Line, check_reached, seconds

EPSILON, IMAGES = 0.2, 128
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def bim() -> Line:
    """BIM with 10 steps through the engine of mnist-cnn-h16."""
    step = EPSILON / 5
    attacks = [BIM(steps=10, step_size=step, early_exit=early) for early in (False, True)]
    return _compare("bim10-engine", attacks, ("LinfBasicIterativeAttack", 10, step), ">= 1.5")


def pgd() -> Line:
    """PGD with 40 steps through the engine of mnist-cnn-h16."""
    step = EPSILON / 30
    attacks = [PGD(steps=40, step_size=step, early_exit=early) for early in (False, True)]
    return _compare("pgd40-engine", attacks, ("LinfPGD", 40, step), ">= 1.5")


def pgd_float() -> Line:
    """PGD with 10 steps on the same float network as Foolbox."""
    step = EPSILON / 8
    attacks = [PGD(steps=10, step_size=step, early_exit=early) for early in (False, True)]
    return _compare("pgd10-float", attacks, ("LinfPGD", 10, step), ">= 1.0", on_engine=False)


def _compare(
    name: str,
    attacks: list[Attack],
    peer: tuple[str, int, float],
    goal: str,
    on_engine: bool = True,
) -> Line:
    network = open_network("mnist-cnn-h16")
    images = Grid(255).snap(torch.rand(IMAGES, 1, 28, 28))
    forms = {key: formed(network.module, images, form) for key, form in FORMATS.items()}
    labels = network.module(images).argmax(1)
    target = Untargeted(labels)
    tasks: dict[str, Callable[[], Any]] = {}
    full, early = attacks
    for key, (module, x) in forms.items():
        tasks[f"Foolbox {key}"] = foolbox_task(module, x, labels, peer)
        if not on_engine:
            tasks[f"ours {key}"] = lambda m=module, x=x: (
                full(m, x, target, epsilon=EPSILON).adversarial
            )  # type: ignore[misc]
    if on_engine:
        engine = Engine(network.program)
        tasks["ours"] = lambda: full(engine, images, target, epsilon=EPSILON).adversarial
        tasks["early exit"] = lambda: early(engine, images, target, epsilon=EPSILON)
    for key, task in tasks.items():
        if key != "early exit":  # which stops where the image is adversarial, and says so
            check_reached(key, images, task(), EPSILON)
    taken = {key: IMAGES / t for key, t in seconds(tasks, 2).items()}
    ours = max(speed for key, speed in taken.items() if key.startswith("ours"))
    best = max((key for key in taken if key.startswith("Foolbox")), key=lambda key: taken[key])
    _, steps, step = peer
    note = f"{steps} steps of {step:.3g} to a distance of {EPSILON:g}, reached by all; "
    note += ", ".join(f"{key} {speed:.3g}" for key, speed in taken.items())
    return Line(name, ours, taken[best], "img/s", ours / taken[best], f"{best} float", goal, note)


def formed(
    module: nn.Module, images: Tensor, form: torch.memory_format
) -> tuple[nn.Module, Tensor]:
    """A copy of the module, and the images, in a memory format."""
    twin = copy.deepcopy(module).eval().to(memory_format=form)
    return twin, images.contiguous(memory_format=form)


def foolbox_task(
    module: nn.Module, x: Tensor, labels: Tensor, peer: tuple[str, int, float]
) -> Callable[[], Any]:
    """Foolbox's attack at EPSILON; peer: its class, steps and their length."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

    name, steps, step = peer
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = getattr(foolbox.attacks, name)(steps=steps, abs_stepsize=step)
    return lambda: attack(model, x, labels, epsilons=EPSILON)[1]
