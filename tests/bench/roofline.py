"""What share of the processor's peak each attack's passes reach: python -m tests.bench.roofline

An attack's products are those of its passes, no more: int8 forward through the engine, float32 (or
bfloat16) backward, both float32 on a float network. At the peaks of this processor's own matrix
products they take so long and no less; what the attack takes beside that is layers that reach less,
gates, requantization, and the attack itself. One thread, CPU seconds: other work on the machine
moves both sides alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwsim.attacks.apgd import APGD
from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.criteria import Targeted, Untargeted
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
from tests.bench.forward import random_network
from tests.bench.imported import one_thread

EPSILON = 0.2, 8 / 255
Runner = tuple[str, Attack, int, float]


def descent(epsilon: float) -> list[Runner]:
    """Attack, images and ε of the two that spend a budget; every step is taken."""
    pgd = PGD(steps=40, step_size=epsilon / 30, early_exit=False)
    return [("HFGSM", HFGSM(), 64, epsilon), ("PGD-40", pgd, 32, epsilon)]


def searches() -> list[Runner]:
    """Those that look for the nearest image, and one that chooses its steps."""
    return [
        ("APGD-CE, 20 steps", APGD(steps=20, norm="linf"), 32, EPSILON[0]),
        ("FMN L2, 25 steps", FMN(steps=25, norm="l2"), 32, math.inf),
        ("C&W L2, 3 × 50 steps", CWL2(steps=50, binary_search_steps=3), 8, math.inf),
    ]


@dataclass(frozen=True)
class Share:
    """An attack's time.

    products: GOP by what they are of, ``int8``, ``float32`` or ``bfloat16``.
    """

    network: str
    attack: str
    images: int
    seconds: float
    products: dict[str, float]

    def least(self, peaks: dict[str, float]) -> float:
        """Seconds of the products at the peaks (GOP/s)."""
        return sum(amount / peaks[kind] for kind, amount in self.products.items())


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


def on_engine(
    name: str, program: Program, runners: list[Runner], mode: GradientMode = "ste"
) -> list[Share]:
    """Each attack through the engine."""
    engine, found = Engine(program, mode), []
    back = "bfloat16" if mode == "ste-bfloat16" else "float32"
    products = 2 * sum(layer.macs for layer in program.mac_layers) / 1e9
    for title, attack, count, epsilon in runners:
        x = engine.space.snap(torch.rand(count, *program.input_shape))
        task = _task(engine, attack, x, epsilon)
        there, way_back = passes(task())
        amount = {"int8": products * there, back: products * way_back}
        found.append(Share(name, title, count, cpu_seconds(task), amount))
    return found


def on_float(name: str, module: nn.Module, runners: list[Runner]) -> list[Share]:
    """The same on a float network; torch counts the products of an image."""
    module, found = module.eval().to(memory_format=torch.channels_last), []
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.rand(1, 1, 28, 28))
    products = counter.get_total_flops() / 1e9
    for title, attack, count, epsilon in runners:
        task = _task(module, attack, torch.rand(count, 1, 28, 28), epsilon)
        amount = {"float32": products * sum(passes(task()))}
        found.append(Share(name, title, count, cpu_seconds(task), amount))
    return found


def passes(result: AttackResult) -> tuple[int, int]:
    """Forward and backward passes of all examples, the final check included."""
    return int(result.forward.sum()), int(result.backward.sum())


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
    wide, narrow = (descent(epsilon) for epsilon in EPSILON)
    jsma: Runner = ("JSMA", JSMA(theta=1.0, max_distortion=0.145), 8, math.inf)
    shapes = [random_network(build)[1].program for build in (resnet20, resnet8)]
    with one_thread():
        known = peaks()
        found = on_engine(
            "mnist-cnn-h16", open_network("mnist-cnn-h16").program, [*wide, *searches()]
        )
        float_network = open_network("mnist-cnn").module
        found += on_float("mnist-cnn, float", float_network, [*wide, *searches(), jsma])
        for mode, said in (("ste", ""), ("ste-bfloat16", ", bfloat16")):
            found += on_engine(f"resnet20{said}", shapes[0], narrow[:1], mode)
            found += on_engine(f"resnet8{said}", shapes[1], narrow[1:], mode)
    return found, known


def main() -> None:
    """The table, in Markdown."""
    torch.manual_seed(0)
    shares, known = measured()
    rows = []
    for share in shares:
        least = share.least(known)
        amounts = ", ".join(f"{amount:,.1f} {kind}" for kind, amount in share.products.items())
        rows.append([
            share.network, share.attack, str(share.images), amounts, f"{share.seconds:.3g} s",
            f"{least:.3g} s", f"{100 * least / share.seconds:.0f}%",
        ])  # fmt: skip
    heads = ["network", "attack", "images", "GOP", "CPU time", "at the peaks", "share"]
    print(markdown.table(heads, rows))
    print("Peaks: " + ", ".join(f"{kind} {rate:,.0f} GOP/s" for kind, rate in known.items()) + ".")


if __name__ == "__main__":
    main()
