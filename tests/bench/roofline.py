"""What share of the processor's peak each attack's passes reach: python -m tests.bench.roofline

An attack's products are those of its passes, no more: int8 forward through the engine, float32 (or
bfloat16) backward, both float32 on a float network. At the peaks of this processor's own matrix
products they take so long and no less; what the attack takes beside that is layers that reach less,
gates, requantization, and the attack itself. Where `make bench` has a peer, it runs here, too: what
the ratio would be with ours at the peaks, and its peer as it is.

One thread, CPU seconds: other work on the machine moves both sides alike. Ratios of `make bench`
are of all threads, whose use of two cores is not that of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwsim.attacks.apgd import APGD
from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.criteria import Targeted, Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.result import AttackResult
from hwsim.attacks.cw_l2 import CWL2
from hwsim.attacks.fgsm import HFGSM
from hwsim.attacks.fmn import FMN
from hwsim.attacks.jsma import JSMA
from hwsim.attacks.pgd import PGD
from hwsim.engine.backward import GradientMode
from hwsim.engine.module import Engine
from hwsim.files import markdown
from hwsim.models.residual import resnet8, resnet20
from hwsim.networks.open import open_network
from hwsim.program.program import Program
from tests.bench import cw, hfgsm, iterated
from tests.bench.forward import random_network
from tests.bench.imported import one_thread

#: Of images of digits, and of PGD on those of CIFAR-10's size.
WIDE, NARROW = hfgsm.EPSILON, 8 / 255
Tasks = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Runner:
    """An attack on random images of 8 bits, every step of it.

    peers: of the float network, images and answers, what the same work takes elsewhere. asked: the
    ratio to the fastest that was asked for.
    """

    title: str
    attack: Attack
    images: int
    epsilon: float
    peers: Callable[[nn.Module, Tensor, Tensor], Tasks] | None = None
    asked: float = 0.0


@dataclass(frozen=True)
class Share:
    """An attack's time.

    products: GOP by what they are of, ``int8``, ``float32`` or ``bfloat16``. peer: the fastest.
    ratio: ours over it.
    """

    network: str
    attack: str
    images: int
    seconds: float
    products: Mapping[str, float]
    peer: str = ""
    ratio: float = 0.0
    asked: float = 0.0

    def cells(self, peaks: Mapping[str, float]) -> list[str]:
        """Of a table; peaks: GOP/s."""
        least = sum(amount / peaks[kind] for kind, amount in self.products.items())
        amounts = ", ".join(f"{amount:,.1f} {kind}" for kind, amount in self.products.items())
        against = ["", "", "", "", ""]
        if self.peer:
            best = self.ratio * self.seconds / least
            against = [self.peer, f"{self.ratio:.2f}", f"{best:.1f}", f"{self.asked:g}",
                       f"{100 * self.asked / best:.0f}%"]  # fmt: skip
        return [
            self.network, self.attack, str(self.images), amounts, f"{self.seconds:.3g} s",
            f"{least:.3g} s", f"{100 * least / self.seconds:.0f}%", *against,
        ]  # fmt: skip


HEADS = ["network", "attack", "images", "GOP", "CPU time", "at peaks", "share", "the peer is",
         "ratio", "ratio at peaks", "asked", "share it needs"]  # fmt: skip


def cpu_seconds(task: Callable[[], Any], rounds: int = 3) -> float:
    """The best of a few calls behind a first one."""
    task()
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        task()
        best = min(best, time.process_time() - began)
    return best


def peaks() -> dict[str, float]:
    """GOP/s of a large matrix product in each type."""
    size = 1536
    whole = [torch.randint(-128, 128, (size, size), dtype=torch.int8) for _ in range(2)]
    real = torch.rand(size, size)
    narrow = real.bfloat16()
    tasks = {
        "int8": lambda: torch._int_mm(*whole),
        "float32": lambda: real @ real,
        "bfloat16": lambda: narrow @ narrow,
    }
    return {kind: 2 * size**3 / cpu_seconds(task, 7) / 1e9 for kind, task in tasks.items()}


def pgd(epsilon: float) -> PGD:
    """PGD of 40 steps that leaves no image early."""
    return PGD(steps=40, step_size=epsilon / 30, early_exit=False)


def foolbox_pgd(module: nn.Module, images: Tensor, answers: Tensor) -> Tasks:
    """Foolbox's, in both memory formats."""
    found = {}
    for name, form in iterated.FORMATS.items():
        twin, x = iterated.formed(module, images, form)
        told = "LinfPGD", 40, iterated.EPSILON / 30
        found[f"Foolbox {name}"] = iterated.foolbox_task(twin, x, answers, told)
    return found


def own_pgd(module: nn.Module, images: Tensor, answers: Tensor) -> Tasks:
    """The same attack on the float network, as no library knows it better."""
    found = {}
    for name, form in iterated.FORMATS.items():
        twin, x = iterated.formed(module, images, form)
        found[f"float {name}"] = _task(twin, pgd(NARROW), x, NARROW)
    return found


def on_engine(
    name: str,
    module: nn.Module,
    program: Program,
    runners: list[Runner],
    mode: GradientMode = "ste",
) -> list[Share]:
    """Each attack through the engine; peers have the float module."""
    engine, found = Engine(program, mode), []
    back = "bfloat16" if mode == "ste-bfloat16" else "float32"
    products = 2 * sum(layer.macs for layer in program.mac_layers) / 1e9
    for one in runners:
        x = Grid(255).snap(torch.rand(one.images, *program.input_shape))
        task = _task(engine, one.attack, x, one.epsilon)
        there, way_back = passes(task())
        amount = {"int8": products * there, back: products * way_back}
        taken = cpu_seconds(task)
        peer, ratio = "", 0.0
        if one.peers is not None:
            with torch.no_grad():
                answers = engine(x).argmax(1)
            others = {who: cpu_seconds(t) for who, t in one.peers(module, x, answers).items()}
            peer = min(others, key=lambda who: others[who])
            ratio = others[peer] / taken
        found.append(
            Share(name, one.title, one.images, taken, amount, peer, ratio, one.asked)
        )  # fmt: skip
    return found


def on_float(name: str, module: nn.Module, runners: list[Runner]) -> list[Share]:
    """The same on a float network."""
    module, found = module.eval().to(memory_format=torch.channels_last), []
    products = _products(module)
    for one in runners:
        task = _task(module, one.attack, torch.rand(one.images, 1, 28, 28), one.epsilon)
        amount = {"float32": products * sum(passes(task()))}
        found.append(Share(name, one.title, one.images, cpu_seconds(task), amount))
    return found


def carlini() -> Share:
    """C&W as `make bench` has it, against Foolbox by images found: test images, float."""
    module, x, labels = cw.setting()
    attack = CWL2(binary_search_steps=cw.SEARCHES, steps=cw.STEPS, step_size=cw.STEP_SIZE)
    task = lambda: attack(module, x, Untargeted(labels), epsilon=math.inf)  # noqa: E731
    result, taken = task(), cpu_seconds(task, 1)
    theirs = cw.foolbox_l2(time.process_time)
    amount = {"float32": _products(module) * sum(passes(result))}
    ratio = int(result.success.sum()) / taken / theirs.rate
    title = f"C&W L2, {cw.SEARCHES} × {cw.STEPS} steps"
    peer = (
        f"Foolbox, found {int(theirs.success.sum())} of {len(x)}, ours {int(result.success.sum())}"
    )
    return Share("mnist-cnn, float", title, len(x), taken, amount, peer, ratio, 3.5)


def passes(result: AttackResult) -> tuple[int, int]:
    """Forward and backward passes of all examples, the final check included."""
    return int(result.forward.sum()), int(result.backward.sum())


def _products(module: nn.Module) -> float:
    """GOP of an image, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.rand(1, 1, 28, 28))
    return counter.get_total_flops() / 1e9


def _task(
    model: nn.Module, attack: Attack, x: Tensor, epsilon: float
) -> Callable[[], AttackResult]:
    with torch.no_grad():
        answers = model(x).argmax(1)
    goal = (
        Targeted((answers + 1) % 10, answers) if isinstance(attack, JSMA) else Untargeted(answers)
    )
    return lambda: attack(model, x, goal, epsilon=epsilon)


def measured() -> tuple[list[Share], dict[str, float]]:
    """All rows, and the peaks."""
    others = [
        Runner("APGD-CE, 20 steps", APGD(steps=20, norm="linf"), 32, WIDE),
        Runner("FMN L2, 25 steps", FMN(steps=25, norm="l2"), 32, math.inf),
    ]
    digits = [
        Runner("HFGSM", HFGSM(), 64, WIDE, hfgsm.peers, 2.2),
        Runner("PGD-40", pgd(WIDE), 32, WIDE, foolbox_pgd, 3.5),
        *others,
    ]
    plain = [
        Runner("HFGSM", HFGSM(), 64, WIDE), Runner("PGD-40", pgd(WIDE), 32, WIDE), *others,
        Runner("JSMA", JSMA(theta=1.0, max_distortion=0.145), 8, math.inf),
    ]  # fmt: skip
    step = [Runner("HFGSM", HFGSM(), 64, WIDE, hfgsm.peers, 1.5)]
    steps = [Runner("PGD-40", pgd(NARROW), 32, NARROW, own_pgd, 3.0)]
    network, dense = open_network("mnist-cnn-h16"), open_network("mnist-cnn").module
    shapes = [(deepcopy(module), engine.program) for module, engine in map(
        random_network, (resnet20, resnet8)
    )]  # fmt: skip
    with one_thread():
        known = peaks()
        found = on_engine("mnist-cnn-h16", network.module, network.program, digits)
        found += on_float("mnist-cnn, float", dense, plain)
        found.append(carlini())
        modes: tuple[tuple[GradientMode, str], ...] = (("ste", ""), ("ste-bfloat16", ", bfloat16"))
        for mode, said in modes:
            for name, shape, runners in (
                ("resnet20", shapes[0], step), ("resnet8", shapes[1], steps),
            ):  # fmt: skip
                found += on_engine(f"{name}{said}", *shape, runners, mode)
    return found, known


def main() -> None:
    """The table, in Markdown."""
    torch.manual_seed(0)
    shares, known = measured()
    print(markdown.table(HEADS, [share.cells(known) for share in shares]))
    print("Peaks: " + ", ".join(f"{kind} {rate:,.0f} GOP/s" for kind, rate in known.items()) + ".")


if __name__ == "__main__":
    main()
