"""JSMA against ART and torchattacks on one float network: speed, success, peak memory.

Same images, same targets (the next class), θ = 1, Υ = 14.5%. Every contestant runs once, after a
run of one image; ART in its better of two batch sizes. torchattacks takes seconds an image, so it
gets the first few images only, and success against it is counted on these. Speed is measured in a
second run, on the images whose targets all have reached: nobody is paid for giving up early.
"""

from __future__ import annotations

import copy
import logging
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.jsma import JSMA
from hwsim.attacks.pairs import best_pairs
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels
from tests.bench.measure import Line, seconds

MODEL, THETA, LEVEL = "mnist-cnn", 1.0, 0.145
IMAGES, FEW = 20, 4

#: Images and their labels -> images that aim at the next class.
Task = Callable[[Tensor, Tensor], Tensor]

#: Ours: as published, with the map of the probabilities, and that in blocks of 4 iterations.
OURS = {
    "published": JSMA(theta=THETA, max_distortion=LEVEL, output="logits"),
    "probabilities": JSMA(theta=THETA, max_distortion=LEVEL),
    "block": JSMA(theta=THETA, max_distortion=LEVEL, block=4),
}

#: Reports the peak resident memory, in bytes, of a batch of 256.
_BATCH = """
import resource, torch
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.jsma import JSMA
from hwsim.networks.open import open_network
module = open_network("mnist-cnn").module
x = torch.rand(256, 1, 28, 28)
JSMA(max_distortion=0.02, output="logits")(module, x, Untargeted(module(x).argmax(1)), epsilon=16)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def speed() -> Line:
    """Blocks on the map of the probabilities, the option for speed."""
    return _speed("jsma-mnist", "block", ">= 50")


def speed_every_step() -> Line:
    """The same map, drawn anew after every pair."""
    return _speed("jsma-mnist-every-pair", "probabilities", "")


def speed_published() -> Line:
    """The published map of the logits, drawn anew after every pair."""
    return _speed("jsma-mnist-published", "published", "")


def success_art() -> Line:
    """Share of images that reach the target, the attack as in ``speed``."""
    return _success("jsma-success-art", "ART", IMAGES)


def success_torchattacks() -> Line:
    """The same on fewer images."""
    return _success("jsma-success-torchattacks", "torchattacks", FEW)


def memory() -> Line:
    """Batch 256 of 28×28, interpreter and libraries included, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _BATCH], capture_output=True, text=True, check=True
    )
    ours, limit = int(done.stdout) / 2**30, 1.0
    return Line("jsma-memory", ours, limit, "GiB", ours / limit, "limit", "<= 1.0")


def pairs() -> Line:
    """The pair search alone, 64 images of 784 values, against scoring all M² pairs in torch."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(64, 784, generator=draw)
    v = u + 0.5 * torch.randn(64, 784, generator=draw)
    domain = torch.rand(64, 784, generator=draw) < 0.8
    taken = seconds({"ours": lambda: best_pairs(u, v, domain), "all": lambda: _all(u, v, domain)})
    ours, peer = taken["ours"] / 64 * 1e6, taken["all"] / 64 * 1e6
    return Line("jsma-pairs", ours, peer, "µs", ours / peer, "all M² pairs, an image at a time", "")


def _all(u: Tensor, v: Tensor, domain: Tensor) -> list[int]:
    best = []
    for a, b, free in zip(u, v, domain, strict=True):
        alpha, beta = a[:, None] + a, b[:, None] + b
        score = (alpha * beta).masked_fill_((alpha <= 0) | (beta <= 0), 0.0)
        score.mul_(free).mul_(free[:, None]).fill_diagonal_(0.0)
        best.append(int(score.argmax()))
    return best


def _speed(name: str, which: str, goal: str) -> Line:
    first, runs = _runs(), _equal()
    rates = {n: len(run.won) / run.seconds for n, run in runs.items()}
    peer = max((n for n in runs if n not in OURS), key=lambda n: rates[n])
    note = (
        f"pairs of steps of {THETA:g}, at most {LEVEL:.1%} of the values; timed on the "
        f"{len(runs[which].won)} of {IMAGES} images whose targets all reach: "
    )
    note += ", ".join(
        f"{n} {rates[n]:.2g} img/s with {runs[n].mean_changed:.3g} values changed" for n in runs
    )
    note += "; targets reached in all: "
    note += ", ".join(f"{n} {sum(run.won)}/{len(run.won)}" for n, run in first.items())
    ours = rates[which]
    return Line(name, ours, rates[peer], "img/s", ours / rates[peer], peer, goal, note)


def _success(name: str, peer: str, count: int) -> Line:
    found = {n: run for n, run in _runs().items() if n in OURS or n.startswith(peer)}
    shares = {n: sum(run.won[:count]) / count for n, run in found.items()}
    best = max((n for n in shares if n not in OURS), key=lambda n: shares[n])
    ratio = shares["block"] / max(shares[best], 1e-9)
    note = f"at most {LEVEL:.1%} of the values: " + ", ".join(
        f"{n} {shares[n]:.3f} with {run.mean_changed:.3g} values changed"
        for n, run in found.items()
    )
    return Line(name, shares["block"], shares[best], "share", ratio, best, ">= 1.0", note)


@dataclass(frozen=True)
class Run:
    """seconds for all images; for each, whether it reached its target and the values changed."""

    seconds: float
    won: list[bool]
    changed: list[int]

    @property
    def mean_changed(self) -> float:
        """Of the images that reached their target."""
        reached = [count for count, won in zip(self.changed, self.won, strict=True) if won]
        return sum(reached) / max(1, len(reached))


def _check_budget(name: str, originals: Tensor, images: Tensor) -> list[int]:
    """Values changed in each image; exit unless all kept to θ and Υ, so that speeds compare.

    The last pair may pass Υ, as the published loop has it; θ = 1 takes a pixel to an end at once.
    """
    far = (images - originals).abs()
    changed = (far > 1 / 510).flatten(1).sum(1)
    most = math.ceil(LEVEL * originals[0].numel()) + 1
    if int(changed.max()) > most:
        sys.exit(f"{name} changes {int(changed.max())} values where {most} are allowed")
    if bool(((far > 1 / 510) & (images > 0) & (images < 1)).any()):
        sys.exit(f"{name} takes other steps than {THETA:g}")
    return changed.tolist()  # type: ignore[no-any-return]


@cache
def _contest() -> tuple[torch.nn.Module, Tensor, Tensor, dict[str, tuple[int, Task]]]:
    """The network, IMAGES and their labels, and by contestant how many of these it gets."""
    module = open_network(MODEL).module
    last = copy.deepcopy(module).to(memory_format=torch.channels_last)
    test = load_dataset("mnist", "test").take(IMAGES)
    tasks: dict[str, tuple[int, Task]] = {
        name: (IMAGES, lambda x, y, a=attack: _ours(a, last, x, y)) for name, attack in OURS.items()
    }
    return module, pixels(test), torch.from_numpy(test.labels), tasks | _peers(module)


@cache
def _runs() -> dict[str, Run]:
    """By contestant, on all images that it gets."""
    _, x, labels, tasks = _contest()
    found = {}
    for name, (count, task) in tasks.items():
        task(x[:1], labels[:1])
        found[name] = _run(name, list(range(count)))
    return found


@cache
def _equal() -> dict[str, Run]:
    """By contestant, on those of its images whose targets all have reached that got them."""
    first = _runs().values()
    common = [i for i in range(IMAGES) if all(run.won[i] for run in first if i < len(run.won))]
    if not common:
        sys.exit("there is no target that all reach: their speeds do not compare")
    found = {}
    for name, (count, _) in _contest()[3].items():
        if shared := [index for index in common if index < count]:
            found[name] = _run(name, shared)
            if not all(found[name].won):
                sys.exit(f"{name} misses targets in one run that it has reached in another")
    return found


def _run(name: str, indices: list[int]) -> Run:
    module, x, labels, tasks = _contest()
    began = time.perf_counter()
    images = tasks[name][1](x[indices], labels[indices])
    taken = time.perf_counter() - began
    changed = _check_budget(name, x[indices], images)
    with torch.no_grad():
        won = (module(images).argmax(1) == (labels[indices] + 1) % 10).tolist()
    return Run(taken, won, changed)


def _ours(attack: JSMA, module: torch.nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    goal = Targeted((labels + 1) % 10, labels)
    x = x.contiguous(memory_format=torch.channels_last)
    return attack(module, x, goal, epsilon=math.inf).adversarial


def _peers(module: torch.nn.Module) -> dict[str, tuple[int, Task]]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchattacks
        from art.attacks.evasion import SaliencyMapMethod
        from art.estimators.classification import PyTorchClassifier

    module = copy.deepcopy(module).requires_grad_(True)  # as whoever trained it has it
    classifier = PyTorchClassifier(
        module, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )

    def art(size: int) -> Task:
        attack = SaliencyMapMethod(
            classifier, theta=THETA, gamma=LEVEL, batch_size=size, verbose=False
        )
        return lambda x, y: torch.from_numpy(attack.generate(x.numpy(), ((y + 1) % 10).numpy()))

    # Untargeted it aims at the next class.
    attack = torchattacks.JSMA(module, theta=THETA, gamma=LEVEL)
    return {
        "ART, batch 1": (IMAGES, art(1)),
        f"ART, batch {IMAGES}": (IMAGES, art(IMAGES)),
        "torchattacks": (FEW, lambda x, y: attack(x, y).detach()),
    }
