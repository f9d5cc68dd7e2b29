"""The attacks of today against public code: who is nearer, who finds more, who is quicker.

Each contestant has the same images of a float network and the same number of steps. Distances are
medians over all images, and an image that was not fooled stands at infinity: adv-lib returns the
original there, which would count as a distance of 0. Two readings of each: images as they are made,
and images of 8 bits, among which ours search, and a peer's where it can; else they are rounded.
"""

from __future__ import annotations

import math
import sys
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.alma import ALMA
from hwsim.attacks.apgd import APGD, APGDT
from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.budget import ORDERS, Norm
from hwsim.attacks.core.dlr import DLR
from hwsim.attacks.core.grid import Continuous, Grid, Space
from hwsim.attacks.core.result import distances
from hwsim.attacks.ddn import DDN
from hwsim.attacks.fab import FAB
from hwsim.attacks.fmn import FMN
from hwsim.attacks.sigma_zero import SigmaZero
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels
from tests.bench.measure import Line

STEPS, IMAGES = 50, 12
#: Classes that APGD-T tries, of both.
TARGETS = 3
#: FAB takes nine backward passes a step where no class is named.
FAB_STEPS = 12
#: L∞ and L2 budgets at which some images stand.
EPSILONS = {"mnist": {"linf": 30 / 255, "l2": 1.3}, "cifar10": {"linf": 1 / 255, "l2": 0.12}}

#: Makes images (N, C, H, W) of a model, images, labels and ε.
Peer = Callable[[nn.Module, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Race:
    """ours: our attack in a space, with so many steps. theirs: adv-lib's, and theirs8 among images

    of 8 bits where it knows them. steps: of both. budget: ε is spent.
    """

    ours: Callable[[Space, int], Attack]
    theirs: Peer
    theirs8: Peer | None = None
    steps: int = STEPS
    budget: bool = False


@lru_cache(maxsize=1)
def adv_lib() -> Any:
    """The package, with stand-ins for what it declares and these attacks do not use."""
    made = {
        name: types.ModuleType(name)
        for name in ("torchvision", "torchvision.models", "visdom")
        if name not in sys.modules
    }
    if "torchvision" in made:
        made["torchvision"].models = made["torchvision.models"]  # type: ignore[attr-defined]
    sys.modules |= made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import adv_lib.attacks as found
    finally:
        # Whoever asks for them later is told that they are not there.
        for name in made:
            del sys.modules[name]
    return found


def _images(made: Any) -> Tensor:
    images: Tensor = made
    return images.detach()


def _apgd(norm: Norm, loss: str) -> Race:
    made = {
        "ce": lambda space, steps: APGD(norm=norm, steps=steps, space=space),
        "dlr": lambda space, steps: APGD(norm=norm, steps=steps, loss=DLR(), space=space),
        "t": lambda space, steps: APGDT(norm=norm, steps=steps, targets=TARGETS, space=space),
    }[loss]

    def theirs(model: nn.Module, x: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        task = (model, x, labels, epsilon, ORDERS[norm])
        if loss == "t":
            return _images(adv_lib().apgd_targeted(*task, n_iter=STEPS, num_targets=TARGETS))
        return _images(adv_lib().apgd(*task, n_iter=STEPS, loss_function=loss))

    return Race(made, theirs, budget=True)


def _alma(norm: Norm) -> Race:
    # The settings of its paper for MNIST (section 4.2), where the library's are others.
    first, average = {"l2": (1.0, 0.9), "l1": (10.0, 0.5)}[norm]

    def theirs(levels: int | None) -> Peer:
        return lambda m, x, y, _: _images(
            adv_lib().alma(
                m, x, y, num_steps=STEPS, distance=norm, init_lr_distance=first, α=average,
                levels=levels,
            )
        )  # fmt: skip

    return Race(
        lambda space, steps: ALMA(norm=norm, steps=steps, space=space), theirs(None), theirs(256)
    )


def _fmn(norm: Norm) -> Race:
    return Race(
        lambda space, steps: FMN(norm=norm, steps=steps, space=space),
        lambda m, x, y, _: _images(adv_lib().fmn(m, x, y, ORDERS[norm], steps=STEPS)),
    )


def _fab(norm: Norm) -> Race:
    return Race(
        lambda space, steps: FAB(norm=norm, steps=steps, space=space),
        lambda m, x, y, _: _images(adv_lib().fab(m, x, y, ORDERS[norm], n_iter=FAB_STEPS)),
        steps=FAB_STEPS,
    )


RACES: dict[str, Race] = {
    "APGD-CE linf": _apgd("linf", "ce"),
    "APGD-DLR linf": _apgd("linf", "dlr"),
    "APGD-T linf": _apgd("linf", "t"),
    "APGD-CE l2": _apgd("l2", "ce"),
    "APGD-DLR l2": _apgd("l2", "dlr"),
    "APGD-T l2": _apgd("l2", "t"),
    "FMN l0": _fmn("l0"),
    "FMN l1": _fmn("l1"),
    "FMN l2": _fmn("l2"),
    "FMN linf": _fmn("linf"),
    "DDN l2": Race(
        lambda space, steps: DDN(steps=steps, space=space),
        lambda m, x, y, _: _images(adv_lib().ddn(m, x, y, steps=STEPS, levels=None)),
        lambda m, x, y, _: _images(adv_lib().ddn(m, x, y, steps=STEPS, levels=256)),
    ),
    "σ-zero l0": Race(
        lambda space, steps: SigmaZero(steps=steps, space=space),
        lambda m, x, y, _: _images(adv_lib().sigma_zero(m, x, y, num_steps=STEPS)),
    ),
    "ALMA l2": _alma("l2"),
    "ALMA l1": _alma("l1"),
    "FAB linf": _fab("linf"),
    "FAB l2": _fab("l2"),
    "FAB l1": _fab("l1"),
}


@lru_cache(maxsize=4)
def setting(name: str, count: int = IMAGES) -> tuple[nn.Module, Tensor, Tensor, str]:
    """A float network, images that it gets right, their labels, and the data set."""
    network = open_network(name)
    module = network.module.to(memory_format=torch.channels_last).requires_grad_(False)
    test = load_dataset(network.dataset, "test").take(2 * count)
    x, labels = Grid(255).snap(pixels(test)), torch.as_tensor(test.labels).long()
    right = (judge(module, x).argmax(1) == labels).nonzero().flatten()[:count]
    return module, x[right], labels[right], network.dataset


@dataclass(frozen=True)
class Made:
    """seconds of processor time; success (n,) bool and distance (n,), inf without it."""

    seconds: float
    success: Tensor
    distance: Tensor

    @property
    def rate(self) -> float:
        return float(self.success.double().mean())

    @property
    def median(self) -> float:
        """Over all images; the lower of the two in the middle."""
        return float(self.distance.median())


def _epsilon(race: Race, dataset: str) -> float:
    norm = race.ours(Grid(255), 1).norm
    return EPSILONS[dataset][norm] if race.budget else math.inf


def _made(
    race: Race, name: str, make: Callable[[], Tensor], grid: bool, known: float | None = None
) -> Made:
    """What images are worth: fooled, and within ε where there is one. known: seconds they took."""
    module, x, labels, dataset = setting(name)
    torch.manual_seed(0)  # of the peer's random starts; ours belong to the images
    began = time.process_time()
    images = make()
    taken = time.process_time() - began
    if grid:
        images = Grid(255).snap(images.clamp(0.0, 1.0))
    away = distances(images, x, race.ours(Grid(255), 1).norm)
    success = judge(module, images).argmax(1) != labels
    success &= away <= _epsilon(race, dataset) + 1e-5
    return Made(taken if known is None else known, success, torch.where(success, away, math.inf))


def theirs(key: str, name: str, grid: bool) -> Made:
    """The peer; with ``grid`` its images of 8 bits."""
    race = RACES[key]
    module, x, labels, dataset = setting(name)
    if not grid or race.theirs8 is None:
        images, taken = _peers_images(key, name)
        return _made(race, name, lambda: images, grid, taken)
    peer = race.theirs8
    epsilon = _epsilon(race, dataset)
    return _made(race, name, lambda: peer(module, x, labels, epsilon), grid)


@lru_cache(maxsize=1)
def _peers_images(key: str, name: str) -> tuple[Tensor, float]:
    """Made once for both readings, and the seconds of it."""
    race = RACES[key]
    module, x, labels, dataset = setting(name)
    torch.manual_seed(0)
    began = time.process_time()
    images = race.theirs(module, x, labels, _epsilon(race, dataset))
    return images, time.process_time() - began


def ours(key: str, name: str, grid: bool, steps: int | None = None) -> Made:
    """This package's attack; with ``grid`` among images of 8 bits."""
    race = RACES[key]
    module, x, labels, dataset = setting(name)
    attack = race.ours(Grid(255) if grid else Continuous(), steps or race.steps)
    epsilon = _epsilon(race, dataset)
    return _made(race, name, lambda: attack(module, x, labels, epsilon=epsilon).adversarial, grid)


def run(key: str, name: str) -> dict[str, Made]:
    """``theirs`` and ``ours``, and both in images of 8 bits: ``theirs8``, ``ours8``."""
    return {
        f"{who.__name__}{'8' if grid else ''}": who(key, name, grid)
        for grid in (False, True)
        for who in (theirs, ours)
    }


def line(key: str, share: float = 1.0) -> Line:
    """Images of 8 bits a second on mnist-cnn: ours with ``share`` of the peer's steps.

    Exits where ours are not at least as near and as many.
    """
    race = RACES[key]
    steps = max(1, round(share * race.steps))
    found = {"ours": ours(key, "mnist-cnn", True, steps), "adv-lib": theirs(key, "mnist-cnn", True)}
    mine, other = found["ours"], found["adv-lib"]
    if mine.rate < other.rate or (not race.budget and mine.median > 1.01 * other.median):
        sys.exit(f"{key}: ours with {steps} steps is no match for adv-lib with {race.steps}")
    said = ", ".join(
        f"{who} finds {made.rate:.0%} at a median of {made.median:.4g}"
        for who, made in found.items()
    )
    slug = key.lower().replace("σ", "sigma").replace(" ", "-")
    note = f"ours {steps} steps, adv-lib {race.steps}, images of 8 bits; {said}"
    speed, peer = IMAGES / mine.seconds, IMAGES / other.seconds
    return Line(slug, speed, peer, "img/s", speed / peer, "adv-lib", ">= 1.5", note)
