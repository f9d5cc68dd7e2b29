"""Carlini and Wagner against Foolbox and ART on the float MNIST network: speed and quality.

All are given the same images in one batch, the same channels_last module, the same step size and
the same limits, large enough for every one of them to find images. Their images are rounded to 8
bits before they are judged, as ours are. Foolbox returns a black image where it has found none; a
black image is not counted as a success.
"""

from __future__ import annotations

import copy
import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.budget import Norm
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.minimizing import MinimizingAttack
from hwsim.attacks.core.result import distances
from hwsim.attacks.cw_l0 import CWL0
from hwsim.attacks.cw_l2 import CWL2
from hwsim.attacks.cw_linf import CWLinf
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels
from tests.bench.measure import Line

SEARCHES, STEPS, STEP_SIZE = 9, 100, 0.05
#: ART takes a line search at every step and is slow, and L0 and L∞ take many runs.
IMAGES, FEW = 8, 4


@dataclass(frozen=True)
class Outcome:
    """seconds for all images; success (n,) bool and distance (n,) of the images on the grid."""

    seconds: float
    success: Tensor
    distance: Tensor

    @property
    def rate(self) -> float:
        """Images found per second."""
        return int(self.success.sum()) / self.seconds


@lru_cache(maxsize=1)
def setting() -> tuple[nn.Module, Tensor, Tensor]:
    """The module, and images that it classifies correctly on the grid."""
    network = open_network("mnist-cnn")
    module = network.module.to(memory_format=torch.channels_last)
    test = load_dataset(network.dataset, "test").take(2 * IMAGES)
    x, labels = Grid(255).snap(pixels(test)), torch.as_tensor(test.labels).long()
    right = (judge(module, x).argmax(1) == labels).nonzero().flatten()[:IMAGES]
    return module, x[right], labels[right]


def _outcome(
    norm: Norm, count: int, make: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    module, x, labels = setting()
    began = clock()
    images = torch.as_tensor(make())
    taken = clock() - began
    images = Grid(255).snap(images.float().clamp(0, 1))
    black = (images == 0).flatten(1).all(1)
    success = (judge(module, images).argmax(1) != labels[:count]) & ~black
    return Outcome(taken, success, distances(images, x[:count], norm))


def _ours(attack: MinimizingAttack, count: int) -> Outcome:
    module, x, labels = setting()
    goal = Untargeted(labels[:count])
    return _outcome(
        attack.norm, count, lambda: attack.minimize(module, x[:count], goal).adversarial
    )


def foolbox_l2(clock: Callable[[], float] = time.perf_counter) -> Outcome:
    """Foolbox's L2 attack on the images of ``setting``; clock: seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

    module, x, labels = setting()
    model = foolbox.PyTorchModel(copy.deepcopy(module), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=SEARCHES, steps=STEPS, stepsize=STEP_SIZE
    )
    return _outcome("l2", IMAGES, lambda: attack(model, x, labels, epsilons=None)[1], clock)


def _art(name: str, norm: Norm, count: int, **options: Any) -> Outcome:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

    module, x, labels = setting()
    classifier = PyTorchClassifier(
        copy.deepcopy(module), nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1),
        device_type="cpu",
    )  # fmt: skip
    attack = getattr(evasion, name)(classifier, batch_size=count, verbose=False, **options)
    return _outcome(norm, count, lambda: attack.generate(x[:count].numpy(), labels[:count].numpy()))


@lru_cache(maxsize=1)
def _l2() -> dict[str, Outcome]:
    return {
        "ours": _ours(
            CWL2(binary_search_steps=SEARCHES, steps=STEPS, step_size=STEP_SIZE), IMAGES
        ),
        "Foolbox": foolbox_l2(),
        "ART": _art(
            "CarliniL2Method", "l2", IMAGES, binary_search_steps=SEARCHES, max_iter=STEPS,
            learning_rate=STEP_SIZE, initial_const=1e-3,
        ),
    }  # fmt: skip


def l2_speed() -> Line:
    """Images found a second, against the faster of the two; not before ours go as near as theirs.

    A peer that finds fewer has done less in its time: it is counted by what it has found.
    """
    found = _l2()
    for peer in ("Foolbox", "ART"):
        _check_as_good(found["ours"], found[peer], peer)
    rate = {name: outcome.rate for name, outcome in found.items()}
    ours = rate.pop("ours")
    name = max(rate, key=lambda key: rate[key])
    note = f"{SEARCHES} searches of {STEPS} steps of {STEP_SIZE:g} each; " + _reached(found)
    if not rate[name]:
        return Line("cw-l2-mnist", ours, 0.0, "found/s", 0.0, "none finds any", ">= 2.0", note)
    return Line("cw-l2-mnist", ours, rate[name], "found/s", ours / rate[name], name, ">= 2.0", note)


def l2_success() -> Line:
    """Share of the images that fool the module, against the better peer, on the peer's images."""
    found = dict(_l2())
    ours = found.pop("ours").success
    shares = {
        name: (float(ours[: len(o.success)].double().mean()), float(o.success.double().mean()))
        for name, o in found.items()
    }
    worst = min(shares, key=lambda key: shares[key][0] - shares[key][1])
    mine, theirs = shares[worst]
    ratio = mine / theirs if theirs else float("inf")
    return Line("cw-l2-success", mine, theirs, "share", ratio, worst, ">= 1.0")


def _check_as_good(ours: Outcome, theirs: Outcome, peer: str) -> None:
    """Exit unless ours finds all that the peer finds, no farther by 1%, so that speeds compare.

    A peer that finds none leaves nothing to check, and says so in the row.
    """
    count = len(theirs.success)
    both = ours.success[:count] & theirs.success
    if not bool(both[theirs.success].all()):
        sys.exit(f"{peer} finds images that ours misses: their speeds do not compare")
    if not bool(both.any()):
        return
    mine, other = (float(o.distance[:count][both].mean()) for o in (ours, theirs))
    if mine > 1.01 * other:
        sys.exit(f"ours stands at a mean distance of {mine:.4g} where {peer} reaches {other:.4g}")


def _reached(found: dict[str, Outcome]) -> str:
    """Successes, distance reached and time of each."""
    said = []
    for key, o in found.items():
        what = f"{key} finds {int(o.success.sum()) or 'none'} of {len(o.success)}"
        if bool(o.success.any()):
            what += f" at a mean distance of {float(o.distance[o.success].mean()):.3g}"
        said.append(f"{what} in {o.seconds:.3g} s")
    return ", ".join(said)


def _quality(name: str, found: dict[str, Outcome], unit: str) -> Line:
    """Mean distance where both succeed, against the better peer; successes in the note."""
    ours, lines = found["ours"], {}
    for peer in (key for key in found if key != "ours"):
        count = len(found[peer].success)
        both = ours.success[:count] & found[peer].success
        if bool(both.any()):
            mine = float(ours.distance[:count][both].mean())
            lines[peer] = (mine, float(found[peer].distance[both].mean()))
    note = _reached(found)
    if not lines:
        return Line(name, float(ours.distance[ours.success].mean()), float("inf"), unit, 0.0,
                    "none succeeds", "<= 1.0", note)  # fmt: skip
    worst = max(lines, key=lambda key: lines[key][0] / lines[key][1])
    mine, theirs = lines[worst]
    return Line(name, mine, theirs, unit, mine / theirs, worst, "<= 1.0", note)


def l2_distance() -> Line:
    """Mean L2 of the images that both find."""
    return _quality("cw-l2-distance", _l2(), "mean L2")


def l0_distance() -> Line:
    """Mean number of changed values, on a few images."""
    found = {
        "ours": _ours(CWL0(), FEW),
        "ART": _art("CarliniL0Method", "l0", FEW, learning_rate=STEP_SIZE),
    }
    return _quality("cw-l0-distance", found, "mean L0")


def linf_distance() -> Line:
    """Mean largest change, on a few images; ART with its own default of ten steps."""
    found = {
        "ours": _ours(CWLinf(), FEW),
        "ART": _art("CarliniLInfMethod", "linf", FEW, learning_rate=STEP_SIZE),
    }
    return _quality("cw-linf-distance", found, "mean L∞")
